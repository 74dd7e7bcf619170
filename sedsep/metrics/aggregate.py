"""Measures of all scenes together, summed up over batches and ranks.

Axes: N classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from sedsep.metrics.sed import SedScene, SedScore, segment_pauroc


class SedCurve:
    """A measure of the scenes of all batches and ranks together: a curve over thresholds is no mean of theirs.

    Args:
        labels: names of the N classes.
        measure: of scenes and labels, such as `segment_pauroc`.
    """

    def __init__(self, labels: Sequence[str], measure: Callable[..., SedScore] = segment_pauroc) -> None:
        self.labels, self.measure = tuple(labels), measure
        self.scenes: list[SedScene] = []

    def reset(self) -> None:
        """Forget the scenes."""
        self.scenes = []

    def update(self, scenes: Iterable[SedScene]) -> None:
        """Add the scenes of a batch."""
        self.scenes.extend(scenes)

    def compute(self) -> Tensor:
        """The measure's overall value, alike on every rank; NaN where no class has a curve."""
        shares: list[Any] = [self.scenes]
        if distributed.is_available() and distributed.is_initialized():
            shares = [None] * distributed.get_world_size()
            distributed.all_gather_object(shares, self.scenes)
        value = self.measure([scene for share in shares for scene in share], self.labels).overall.value
        return torch.tensor(value)
