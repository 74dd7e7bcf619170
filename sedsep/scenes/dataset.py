"""Scenes as data sets, and the batches made of them.

Axes: B batch, K slots, M microphones, L samples, N classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from sedsep.errors import UserError, choice
from sedsep.labels import LabelSet
from sedsep.scenes.augment import Augment
from sedsep.scenes.mixing import SceneParts
from sedsep.scenes.problems import FileError
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import FILLER, Batch, Scene, SceneSpec

REDRAWS = 20
"""Scenes drawn for one place before giving up on finding one that can be used."""

ON_ERROR = ("raise", "skip")


Skip = tuple[str, str]
"""A file that cannot be used, and the sentence that says why."""

Item = tuple[Scene | SceneParts, list[Skip]]
"""What a worker makes: a scene, mixed or only read, and the files that were skipped on the way."""


@dataclass(eq=False)
class GeneratedScenes(Dataset[Scene]):
    """Scenes drawn and rendered on demand, without end.

    Item `i` is scene `i % epoch_size` of epoch `i // epoch_size`: a function of the seed and `i` alone, whatever the
    worker, rank or resume point. `EpochSampler` counts them.

    Args:
        sampler: draws the scenes.
        renderer: renders them.
        seed: of all scenes.
        epoch_size: scenes of an epoch.
        on_error: what an unusable file does: `raise` ends with a sentence that names it; `skip` draws the scene anew.
        augment: what is then done to a scene, one after the other.

    Raises:
        UserError: an unknown `on_error`.
    """

    sampler: SceneSampler
    renderer: Renderer
    seed: int
    epoch_size: int
    on_error: str = "raise"
    augment: Sequence[Augment] = ()

    def __post_init__(self) -> None:
        choice(self.on_error, ON_ERROR, "data.on_error")

    @property
    def names(self) -> list[str]:
        """Of the scenes of the first epoch."""
        return [self.spec(index).name for index in range(self.epoch_size)]

    def spec(self, index: int) -> SceneSpec:
        """A scene of the first epoch, as it is drawn first."""
        return self.sampler.sample(self.seed, 0, index)

    def __len__(self) -> int:
        """Scenes of an epoch."""
        return self.epoch_size

    def __getitem__(self, item: int) -> Scene:
        """The scene of item `item`; raises what `draw` does."""
        return self.renderer.mix(self.draw(item)[0])

    def draw(self, item: int) -> tuple[SceneParts, list[Skip]]:
        """Draw and read the scene of item `item`; drawn anew while a source is all zeros, as a silent stretch of its
        file gives.

        Returns:
            The scene, and the unusable files met before, one for each time.

        Raises:
            FileError: a file cannot be used, and `on_error` is `raise`.
            UserError: scenes are unusable time and again.
        """
        epoch, index = divmod(item, self.epoch_size)
        skipped: list[Skip] = []
        for attempt in range(REDRAWS):
            try:
                spec = self.sampler.sample(self.seed, epoch, index, attempt)
                parts = self.renderer.read(spec)
            except FileError as error:
                if self.on_error == "raise":
                    raise
                skipped.append((str(error.path), str(error)))
                last = str(error.path)
                continue
            if not parts.silent:
                # Beside the stream that drew the scene, which stays the same scene.
                rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index, attempt], spawn_key=(1,)))
                for change in self.augment:
                    parts = change(parts, rng)
                return parts, skipped
            file = next(event.source_file for event in spec.foreground if event.label in parts.silent)
            last = str(self.renderer.root / spec.dirs.foreground / file)
        raise UserError(
            f"{REDRAWS} scenes drawn in a row had a silent source or an unusable file, the last one {last}: remove or "
            "replace such files."
        )


@dataclass(eq=False)
class TrainingItems(Dataset[Item]):
    """What workers make of generated scenes.

    Args:
        scenes: the scenes.
        mixed: whether workers mix them.
        pool: scenes that items go round, each made once by a worker and kept; `None` makes every item anew.
        channels: the first ones of a mixed scene, all that it is left with, without targets; `None` for the whole.
    """

    scenes: GeneratedScenes
    mixed: bool
    pool: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        self._kept: dict[int, Scene | SceneParts] = {}

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, item: int) -> Item:
        if self.pool is None:
            return self._make(item)
        item %= self.pool
        if item in self._kept:
            return self._kept[item], []
        self._kept[item], skipped = self._make(item)
        return self._kept[item], skipped

    def _make(self, item: int) -> Item:
        parts, skipped = self.scenes.draw(item)
        if not self.mixed:
            return parts, skipped
        scene = self.scenes.renderer.mix(parts)
        if self.channels is not None:  # copied: a view would keep the rest
            scene = replace(scene, mixture=scene.mixture[: self.channels].copy(), targets=scene.targets[:, :0].copy())
        return scene, skipped


class EpochSampler(DistributedSampler[int]):
    """Counts the items of `GeneratedScenes`: epoch e holds `e * epoch_size` to `(e + 1) * epoch_size - 1`, in order.

    A `DistributedSampler` because Lightning would otherwise wrap it and keep the epoch from it. The ranks take turns;
    where they do not divide the epoch, its first scenes fill up the last turn.

    Args:
        epoch_size: scenes of an epoch, over all ranks.
        replicas: number of ranks.
        rank: this one.
        seen: items of the epoch that this rank has had, asked when it starts: a training that was interrupted within
            an epoch goes on after them.
    """

    def __init__(self, epoch_size: int, replicas: int = 1, rank: int = 0, seen: Callable[[], int] = lambda: 0) -> None:
        super().__init__(range(epoch_size), num_replicas=replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.epoch_size, self.seen = epoch_size, seen

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.epoch_size
        return (first + index for index in itertools.islice(super().__iter__(), self.seen(), None))


@dataclass(eq=False)
class IndexedScenes(Dataset[Scene]):
    """Fixed scenes, rendered on demand.

    Args:
        specs: the scenes.
        renderer: renders them.
    """

    specs: Sequence[SceneSpec]
    renderer: Renderer

    @property
    def names(self) -> list[str]:
        """Of the scenes."""
        return [spec.name for spec in self.specs]

    def spec(self, index: int) -> SceneSpec:
        """The description of a scene."""
        return self.specs[index]

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, item: int) -> Scene:
        return self.renderer.render(self.specs[item])


@dataclass(eq=False)
class SharedScenes(Dataset[Item]):
    """One rank's share of fixed scenes. The ranks take turns, and all have as many items, so that none waits for a
    batch that another does not have: what is missing is filled up with scenes named `FILLER`, which nobody counts.

    Args:
        scenes: all of them.
        replicas: number of ranks.
        rank: this one.
    """

    scenes: Dataset[Scene]
    replicas: int
    rank: int

    def __len__(self) -> int:
        return math.ceil(len(self.scenes) / self.replicas)  # type: ignore[arg-type]

    def __getitem__(self, item: int) -> Item:
        index = item * self.replicas + self.rank
        missing = index >= len(self.scenes)  # type: ignore[arg-type]
        return replace(self.scenes[0], name=FILLER) if missing else self.scenes[index], []


def collate(scenes: Sequence[Scene], labels: LabelSet) -> Batch:
    """Stack scenes of equal length and slot count.

    Raises:
        UserError: the scenes differ in shape, or hold a label that is no class.
    """
    check_alike([(scene.mixture.shape, scene.targets.shape) for scene in scenes], scenes)
    return Batch(
        mixture=torch.from_numpy(np.stack([scene.mixture for scene in scenes])),
        targets=torch.from_numpy(np.stack([scene.targets for scene in scenes])),
        query=query([scene.labels for scene in scenes], labels),
        spans=torch.tensor([scene.spans for scene in scenes], dtype=torch.int64),
        names=[scene.name for scene in scenes],
    )


def check_alike(shapes: Sequence[object], scenes: Sequence[Scene | SceneParts]) -> None:
    """Raise a `UserError` unless all scenes have the same shapes."""
    if len(set(shapes)) > 1:
        raise UserError(
            f"The scenes {scenes[0].name} to {scenes[-1].name} differ in length, channels or slots and cannot share "
            "a batch: use scenes of one shape, or batches of one scene (model.training.eval_batch_size=1)."
        )


def query(slots: Sequence[Sequence[str]], labels: LabelSet) -> Tensor:
    """One-hot rows of the labels of each scene's slots, float32 [B, K, N]; zeros for silence."""
    return torch.stack([labels.one_hot(row) for row in slots])
