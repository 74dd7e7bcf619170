"""The loaders a trainer asks for."""

from __future__ import annotations

import logging
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from sedsep.errors import UserError, choice
from sedsep.fingerprint import fingerprint
from sedsep.labels import LabelSet
from sedsep.memory import keep_freed_memory
from sedsep.scenes.dataset import (
    EpochSampler,
    GeneratedScenes,
    IndexedScenes,
    Item,
    SharedScenes,
    Skip,
    TrainingItems,
    collate,
)
from sedsep.scenes.device import UnmixedBatch, collate_parts, mix_batch
from sedsep.scenes.layout import Layout, recorded_splits
from sedsep.scenes.metadata import load_index
from sedsep.scenes.mixing import SceneParts
from sedsep.scenes.recorded import RecordedScenes
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.sampling import SceneSampler
from sedsep.scenes.spatialscaper import SpatialScaperRenderer
from sedsep.signals import leave_to_parent
from sedsep.types import Batch, Scene

RENDER = ("worker", "device")
ENGINES = {"sedsep": Renderer, "spatialscaper": SpatialScaperRenderer}

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class SceneDataModule(LightningDataModule):
    """Training scenes drawn without end; validation and test scenes that stay fixed.

    The evaluation scenes come from `metadata/<split>.json`, or the recordings in `<split>/soundscape`; a data set
    without either has `eval_scenes` of them drawn from the split.

    Args:
        layout: the data set.
        labels: the classes.
        sampler: a `SceneSampler` still lacking split and duration.
        seed: of the training scenes.
        epoch_size: training scenes of an epoch, over all devices.
        batch_size: training scenes a device takes at once.
        eval_batch_size: evaluation scenes a device takes at once.
        duration: of a training scene, seconds.
        eval_duration: of a drawn evaluation scene, seconds.
        workers: processes that read and render; 0 does it in the training process.
        eval_scenes: evaluation scenes drawn where the data set fixes none.
        train_split: the split that training draws from.
        valid_split: the split of the validation scenes.
        test_split: the split of the test scenes.
        render: where training scenes are mixed: `worker`, or `device` for whole batches on the training device.
            Evaluation scenes are mixed by workers.
        engine: `sedsep`, or `spatialscaper` to play sources through that package.
        on_error: what a file that cannot be used does in training: `raise`, or `skip` to draw the scene anew, with a
            warning for each file and a total after each epoch.
        rendering: the choices of `Renderer`.
        events: fewest and most targets of a training scene; `None` as the sampler has it.
        pool: training scenes that epochs go round, kept in the memory of workers; `None` for new ones without end.
        channels: the first ones of a training scene, all that it is left with, without targets; `None` for the whole.
        augment: what is done to training scenes, by name; `joining` is the sampler's.

    Raises:
        UserError: the data set holds sound events that are no classes, an unknown choice, choices that exclude one
            another, or a package that is not installed.
    """

    layout: Layout
    labels: LabelSet
    sampler: Callable[..., SceneSampler]
    seed: int
    epoch_size: int
    batch_size: int
    eval_batch_size: int
    duration: float
    eval_duration: float
    workers: int
    eval_scenes: int = 24
    train_split: str = "train"
    valid_split: str = "valid"
    test_split: str = "test"
    render: str = "worker"
    engine: str = "sedsep"
    on_error: str = "raise"
    rendering: Mapping[str, str] | None = None
    events: Sequence[int] | None = None
    pool: int | None = None
    channels: int | None = None
    augment: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.layout.check(self.labels)
        if choice(self.render, RENDER, "data.render") == "device" and self.engine == "spatialscaper":
            raise UserError("data.render=device mixes with our own engine: leave data.engine=sedsep or render=worker.")
        engine = ENGINES[choice(self.engine, tuple(ENGINES), "data.engine")]
        self.renderer = engine(self.layout, **(self.rendering or {}))

    def train_dataloader(self) -> SceneLoader:
        """Scenes of the current epoch; the sampler learns the epoch from the trainer."""
        trainer = self.trainer

        def seen() -> int:
            """Items that an interrupted training has had of its epoch."""
            return 0 if trainer is None else trainer.fit_loop.epoch_loop.batch_progress.current.ready * self.batch_size

        return SceneLoader(
            TrainingItems(self.train_dataset(), self.render == "worker", self.pool, self.channels),
            self.labels,
            self.workers,
            _device(self),
            batch_size=self.batch_size,
            sampler=EpochSampler(self.epoch_size, *_ranks(self), seen),
        )

    def train_dataset(self) -> GeneratedScenes:
        """The scenes drawn for training."""
        own = {} if self.events is None else {"events": self.events}
        changes = dict(self.augment or {})
        joining = changes.pop("joining", None)
        split = self.layout.split(self.train_split)
        sampler = self.sampler(split=split, duration=self.duration, joining=joining, **own)
        changed = tuple(changes.values())
        return GeneratedScenes(sampler, self.renderer, self.seed, self.epoch_size, self.on_error, changed)

    def val_dataloader(self) -> SceneLoader:
        """The validation scenes, in order; of several ranks, each has its share."""
        scenes = SharedScenes(self.eval_dataset(self.valid_split), *_ranks(self))
        return SceneLoader(scenes, self.labels, self.workers, _device(self), batch_size=self.eval_batch_size)

    def eval_dataset(self, split: str) -> IndexedScenes | GeneratedScenes | RecordedScenes:
        """The fixed scenes of a split: described by an index, recorded, or drawn.

        Raises:
            UserError: the split is missing, or its scenes cannot be read.
        """
        index = self.layout.root / "metadata" / f"{split}.json"
        if index.is_file():
            return IndexedScenes(load_index(index, self.layout, self.labels), self.renderer)
        if folder := recorded_splits(self.layout.root).get(split):
            return RecordedScenes(folder, self.labels, self.layout.sample_rate, self.layout.channels)
        # The same scenes in every run, whatever its seed; each split's from a stream of its own.
        seed = zlib.crc32(f"evaluation/{split}".encode())
        sampler = self.sampler(split=self.layout.split(split), duration=self.eval_duration)
        return GeneratedScenes(sampler, self.renderer, seed, self.eval_scenes)

    def fingerprint(self, split: str) -> str:
        """Changes with the fixed scenes of a split or the content of its files."""
        scenes = self.eval_dataset(split)
        if isinstance(scenes, RecordedScenes):
            return scenes.fingerprint()
        specs = [scenes.spec(index) for index in range(len(scenes))]
        return f"{self.layout.fingerprint(split)}-{fingerprint(repr(specs))[:16]}"


@dataclass(eq=False, repr=False)
class FixedScenes(LightningDataModule):
    """Fixed scenes to score.

    Args:
        scenes: the scenes.
        labels: the classes.
        batch_size: scenes a device takes at once.
        workers: processes that read and render.
    """

    scenes: Dataset[Scene]
    labels: LabelSet
    batch_size: int
    workers: int

    def __post_init__(self) -> None:
        super().__init__()

    def test_dataloader(self) -> SceneLoader:
        """The scenes in order; of several ranks, each has its share."""
        scenes = SharedScenes(self.scenes, *_ranks(self))
        return SceneLoader(scenes, self.labels, self.workers, _device(self), batch_size=self.batch_size)


def _ranks(module: LightningDataModule) -> tuple[int, int]:
    """Number of ranks, and this one."""
    return (1, 0) if module.trainer is None else (module.trainer.world_size, module.trainer.global_rank)


def _device(module: LightningDataModule) -> torch.device:
    """Where batches go."""
    return torch.device("cpu") if module.trainer is None else module.trainer.strategy.root_device


class SceneLoader(DataLoader[Batch]):
    """Yields batches, mixes those that workers only read, and says what was skipped.

    Args:
        items: the scenes.
        labels: the classes.
        workers: processes that make the items.
        device: where batches go, and are mixed where that is left to do; for a GPU they are pinned.
        options: of `DataLoader`.

    Attributes:
        waited: seconds spent here so far: on workers, and on what is left to do when they are ready.
        skipped: how often each unusable file was met.
    """

    def __init__(
        self,
        items: Dataset[Item],
        labels: LabelSet,
        workers: int,
        device: torch.device,
        **options: Any,
    ) -> None:
        # Workers run torch on one thread each by themselves, and the renderer uses no other threads.
        super().__init__(
            _Answers(items),  # type: ignore[arg-type]
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_start_worker,
            collate_fn=partial(_gather, labels=labels),
            pin_memory=device.type == "cuda",
            **options,
        )
        self.device = device
        self.skipped: Counter[str] = Counter()
        self.waited = 0.0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """The batches of an epoch.

        Raises:
            UserError: the sentence of a worker that met a file or a scene that cannot be used.
        """
        try:
            start = time.perf_counter()
            for answer in super().__iter__():
                if isinstance(answer, UserError):
                    raise answer
                batch, skipped = answer
                for file, sentence in skipped:
                    if file not in self.skipped:
                        log.warning("A scene is drawn anew: %s", sentence)
                    self.skipped[file] += 1
                mixed = mix_batch(batch, self.device) if isinstance(batch, UnmixedBatch) else batch
                self.waited += time.perf_counter() - start
                yield mixed
                start = time.perf_counter()
        finally:
            if self.skipped:
                log.warning(
                    "%d scenes were drawn anew so far, for %d files that cannot be used: task=verify lists them",
                    self.skipped.total(), len(self.skipped),
                )  # fmt: skip


@dataclass(frozen=True)
class _Answers(Dataset[Item | UserError]):
    """Items, or the sentence for why there is none: of an error that a worker raises, torch makes another's text."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item | UserError:
        try:
            return self.items[index]
        except UserError as error:
            return UserError(str(error))


def _start_worker(_: int) -> None:
    keep_freed_memory()
    leave_to_parent()


def _gather(
    answers: Sequence[Item | UserError], labels: LabelSet
) -> tuple[Batch | UnmixedBatch, list[Skip]] | UserError:
    """A batch, mixed or not, and the files skipped on the way to its items; or the first error."""
    items: list[Item] = []
    for answer in answers:
        if isinstance(answer, UserError):
            return answer
        items.append(answer)
    skipped = [skip for _, skips in items for skip in skips]
    if mixed := [scene for scene, _ in items if isinstance(scene, Scene)]:
        return collate(mixed, labels), skipped
    return collate_parts([scene for scene, _ in items if isinstance(scene, SceneParts)], labels), skipped
