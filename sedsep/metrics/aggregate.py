"""The metrics as torchmetrics: summed over batches and ranks, however uneven, with a rank that sees nothing too.

Not imported by `sedsep.metrics` itself: torchmetrics takes long to start.

Axes: N classes, S SED frames, n scenes, E events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sedsep.metrics.rows import PARTS, MixtureRow
from sedsep.metrics.sed import SedEvent, SedScene, SedScore, segment_pauroc

MICRO = 1_000_000


class RowScores(Metric):
    """Metrics of rows.

    Args:
        metrics: names in `PARTS`.
    """

    full_state_update = False
    higher_is_better = True
    sums: Tensor

    def __init__(self, metrics: Iterable[str] = tuple(PARTS), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metrics = tuple(metrics)
        self.add_state("sums", torch.zeros(len(self.metrics), 2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, rows: Iterable[MixtureRow]) -> None:
        """Add the rows of a batch."""
        for row in rows:
            parts = [PARTS[name](row) for name in self.metrics]
            self.sums += torch.tensor(parts, dtype=torch.float64, device=self.sums.device)

    def compute(self) -> dict[str, Tensor]:
        """Value of every metric; NaN where nothing counted."""
        return dict(zip(self.metrics, self.sums[:, 0] / self.sums[:, 1], strict=True))


class Measure(Protocol):
    """`segment_pauroc` and its like."""

    def __call__(self, scenes: Sequence[SedScene], labels: Sequence[str]) -> SedScore: ...


class SedCurve(Metric):
    """A measure of the scenes of all batches and ranks together: a curve over thresholds is no mean of theirs.

    Args:
        labels: names of the N classes. measure: of the scenes.
    """

    full_state_update = False
    higher_is_better = True
    probabilities: list[Tensor]
    events: list[Tensor]
    scenes: list[Tensor]

    def __init__(self, labels: Sequence[str], measure: Measure = segment_pauroc, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.labels, self.measure = tuple(labels), measure
        self.add_state("probabilities", [], dist_reduce_fx="cat")  # float32 [S, N] of each scene
        self.add_state("events", [], dist_reduce_fx="cat")  # int64 [E, 3]: onset and offset in microseconds, class
        self.add_state("scenes", [], dist_reduce_fx="cat")  # int64 [n, 3]: frames, events, duration in microseconds

    def update(self, scenes: Iterable[SedScene]) -> None:
        """Add the scenes of a batch."""
        for scene in scenes:
            events = [[round(e.onset * MICRO), round(e.offset * MICRO), e.class_index] for e in scene.events]
            shape = [len(scene.probabilities), len(events), round(scene.duration * MICRO)]
            self._add(torch.from_numpy(scene.probabilities), events, [shape])

    def _add(self, probabilities: Tensor, events: list[list[int]], scenes: list[list[int]]) -> None:
        self.probabilities.append(probabilities.float().to(self.device))
        self.events.append(torch.tensor(events, dtype=torch.int64, device=self.device).reshape(-1, 3))
        self.scenes.append(torch.tensor(scenes, dtype=torch.int64, device=self.device).reshape(-1, 3))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Let a rank without scenes say so with tensors of the shape and type that the others send."""
        if not self.scenes:
            self._add(torch.empty(0, len(self.labels)), [], [])
        super().sync(*args, **kwargs)

    def compute(self) -> Tensor:
        """The measure's overall value; NaN where no class has a curve."""
        value = self.measure(self._gathered(), self.labels).overall.value
        return torch.tensor(value, device=self.device)

    def _gathered(self) -> list[SedScene]:
        probabilities, events, scenes = (dim_zero_cat(s).cpu() for s in (self.probabilities, self.events, self.scenes))
        frames, counts, durations = scenes.unbind(1)
        parts = zip(
            probabilities.split(frames.tolist()), events.split(counts.tolist()), durations.tolist(), strict=True
        )
        return [
            SedScene(
                said.numpy(),
                tuple(SedEvent(onset / MICRO, offset / MICRO, index) for onset, offset, index in true.tolist()),
                duration / MICRO,
            )
            for said, true, duration in parts
        ]
