"""Scenes as data sets, and the batches made of them.

Axes: B batch, K slots, M microphones, L samples, N classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler

from sedsep.data.rendering import Renderer, silent_labels
from sedsep.data.sampling import SceneSampler
from sedsep.errors import UserError
from sedsep.labels import SILENCE, LabelSet
from sedsep.types import Batch, Scene, SceneSpec

REDRAWS = 20
"""Scenes drawn for one place before giving up on finding sources that are not silent."""


class GeneratedScenes(Dataset[Scene]):
    """Scenes drawn and rendered on demand, without end.

    Item `i` is scene `i % epoch_size` of epoch `i // epoch_size`: a function of the seed and `i` alone, whatever the
    worker, rank or resume point. `EpochSampler` counts them.

    Args:
        sampler: draws the scenes. renderer: renders them.
        seed: of all scenes. epoch_size: scenes of an epoch.
    """

    def __init__(self, sampler: SceneSampler, renderer: Renderer, seed: int, epoch_size: int) -> None:
        self.sampler = sampler
        self.renderer = renderer
        self.seed = seed
        self.epoch_size = epoch_size

    def __len__(self) -> int:
        """Scenes of an epoch."""
        return self.epoch_size

    def __getitem__(self, item: int) -> Scene:
        """The scene of item `item`; drawn anew while a target is all zeros, as a silent stretch of its file gives.

        Raises:
            UserError: a file is damaged, or the sources are silent time and again.
        """
        epoch, index = divmod(item, self.epoch_size)
        for attempt in range(REDRAWS):
            spec = self.sampler.sample(self.seed, epoch, index, attempt)
            scene = self.renderer.render(spec)
            silent = silent_labels(scene)
            if not silent:
                return scene
        files = [event.source_file for event in spec.foreground if event.label in silent]
        raise UserError(
            f"{REDRAWS} scenes drawn in a row had a silent source, the last one {files[0]} in "
            f"{self.renderer.root / spec.dirs.foreground}: remove the silent files."
        )


class IndexedScenes(Dataset[Scene]):
    """Fixed scenes, rendered on demand.

    Args:
        specs: the scenes. renderer: renders them. labels: the classes.

    Raises:
        UserError: a scene holds a label that is no class.
    """

    def __init__(self, specs: Sequence[SceneSpec], renderer: Renderer, labels: LabelSet) -> None:
        for spec in specs:
            for slot in spec.slots:
                if slot != SILENCE and slot not in labels:
                    raise UserError(
                        f"The scene {spec.name} holds the label '{slot}', which is not in the label set: "
                        "choose the label set of this data set."
                    )
        self.specs = list(specs)
        self.renderer = renderer

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, item: int) -> Scene:
        return self.renderer.render(self.specs[item])


class EpochSampler(DistributedSampler[int]):
    """Counts the items of `GeneratedScenes`: epoch e holds `e * epoch_size` to `(e + 1) * epoch_size - 1`, in order.

    A `DistributedSampler` because Lightning would otherwise wrap it and keep the epoch from it. The ranks take turns;
    where they do not divide the epoch, its first scenes fill up the last turn.

    Args:
        epoch_size: scenes of an epoch, over all ranks.
        replicas: number of ranks. rank: this one.
    """

    def __init__(self, epoch_size: int, replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(epoch_size), num_replicas=replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.epoch_size = epoch_size

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.epoch_size
        return (first + index for index in super().__iter__())


def collate(scenes: Sequence[Scene], labels: LabelSet) -> Batch:
    """Stack scenes of equal length and slot count.

    Raises:
        UserError: the scenes differ in shape, or hold a label that is no class.
    """
    shapes = {(scene.mixture.shape, scene.targets.shape) for scene in scenes}
    if len(shapes) > 1:
        raise UserError(
            f"The scenes {scenes[0].name} to {scenes[-1].name} differ in length, channels or slots and cannot share "
            "a batch: use scenes of one shape or batches of one scene."
        )
    return Batch(
        mixture=torch.from_numpy(np.stack([scene.mixture for scene in scenes])),
        targets=torch.from_numpy(np.stack([scene.targets for scene in scenes])),
        query=torch.stack([labels.one_hot(scene.labels) for scene in scenes]),
        spans=torch.tensor([scene.spans for scene in scenes], dtype=torch.int64),
        names=[scene.name for scene in scenes],
    )
