"""The loaders a trainer asks for."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import partial

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from sedsep.data.dataset import EpochSampler, GeneratedScenes, IndexedScenes, collate
from sedsep.data.layout import Layout
from sedsep.data.metadata import load_index
from sedsep.data.rendering import Renderer
from sedsep.data.sampling import SceneSampler
from sedsep.labels import LabelSet
from sedsep.types import Batch, Scene


class SceneDataModule(LightningDataModule):
    """Training scenes drawn without end; validation and test scenes that stay fixed.

    The evaluation scenes come from `metadata/<split>.json`; a data set without that file has `eval_scenes` of them
    drawn from the split.

    Args:
        layout: the data set. labels: the classes.
        sampler: a `SceneSampler` still lacking split, labels, duration and sample rate.
        seed: of the training scenes. epoch_size: training scenes of an epoch, over all devices.
        batch_size, eval_batch_size: scenes a device takes at once.
        duration: of a training scene, seconds. eval_duration: of a drawn evaluation scene, seconds.
        workers: processes that render; 0 renders in the training process.
        eval_scenes: evaluation scenes drawn where the data set fixes none.
        train_split, valid_split, test_split: the splits to use.

    Raises:
        UserError: the data set holds sound events that are no classes.
    """

    def __init__(
        self,
        layout: Layout,
        labels: LabelSet,
        sampler: Callable[..., SceneSampler],
        seed: int,
        epoch_size: int,
        batch_size: int,
        eval_batch_size: int,
        duration: float,
        eval_duration: float,
        workers: int,
        eval_scenes: int = 24,
        train_split: str = "train",
        valid_split: str = "valid",
        test_split: str = "test",
    ) -> None:
        super().__init__()
        layout.check(labels)
        self.layout = layout
        self.labels = labels
        self.renderer = Renderer(layout)
        self.seed = seed
        self.epoch_size = epoch_size
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.duration = duration
        self.eval_duration = eval_duration
        self.workers = workers
        self.eval_scenes = eval_scenes
        self.train_split = train_split
        self.valid_split = valid_split
        self.test_split = test_split
        self._make_sampler = sampler

    def train_dataloader(self) -> DataLoader[Batch]:
        """Scenes of the current epoch; the sampler learns the epoch from the trainer."""
        sampler = self._sampler(self.train_split, self.duration)
        scenes = GeneratedScenes(sampler, self.renderer, self.seed, self.epoch_size)
        if self.trainer is None:
            return self._loader(scenes, self.batch_size, EpochSampler(self.epoch_size))
        order = EpochSampler(self.epoch_size, self.trainer.world_size, self.trainer.global_rank)
        # On resuming, Lightning starts the loader before it tells the sampler the epoch.
        order.set_epoch(self.trainer.current_epoch)
        return self._loader(scenes, self.batch_size, order)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation scenes, in order."""
        return self._loader(self.eval_dataset(self.valid_split), self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test scenes, in order."""
        return self._loader(self.eval_dataset(self.test_split), self.eval_batch_size)

    def eval_dataset(self, split: str) -> IndexedScenes | GeneratedScenes:
        """The fixed scenes of a split.

        Raises:
            UserError: the split is missing, or its scenes cannot be read.
        """
        index = self.layout.root / "metadata" / f"{split}.json"
        if index.is_file():
            return IndexedScenes(load_index(index, self.layout), self.renderer, self.labels)
        # The same scenes in every run, whatever its seed; each split's from a stream of its own.
        seed = zlib.crc32(f"evaluation/{split}".encode())
        return GeneratedScenes(self._sampler(split, self.eval_duration), self.renderer, seed, self.eval_scenes)

    def fingerprint(self, split: str) -> str:
        """Changes with the fixed scenes of a split or the content of its files."""
        scenes = self.eval_dataset(split)
        if isinstance(scenes, IndexedScenes):
            specs = scenes.specs
        else:
            specs = [scenes.sampler.sample(scenes.seed, 0, index) for index in range(len(scenes))]
        digest = hashlib.sha256(repr(specs).encode()).hexdigest()[:16]
        return f"{self.layout.fingerprint(split)}-{digest}"

    def _sampler(self, split: str, duration: float) -> SceneSampler:
        return self._make_sampler(
            split=self.layout.split(split),
            labels=self.labels,
            duration=duration,
            sample_rate=self.layout.sample_rate,
        )

    def _loader(
        self, scenes: Dataset[Scene], batch_size: int, sampler: EpochSampler | None = None
    ) -> DataLoader[Batch]:
        # Workers run torch on one thread each by themselves, and the renderer uses no other threads.
        return DataLoader(
            scenes,  # type: ignore[arg-type]
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=partial(collate, labels=self.labels),
            pin_memory=torch.cuda.is_available(),
        )
