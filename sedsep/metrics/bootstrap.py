"""Confidence intervals by resampling mixtures.

Axes: n mixtures, m metrics, R resamples, r of them in a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sedsep.errors import UserError

DRAWS_AT_ONCE = 4_000_000

FEWEST = 5
"""Mixtures in which a metric must count for an interval: resamples of fewer say nothing of what others would give."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value with its confidence interval.

    Attributes:
        value: NaN where nothing counted.
        low: lower bound; NaN, too, without resamples, and where it counts in fewer than `FEWEST` mixtures.
        high: upper bound, as `low`.
        count: of mixtures behind it.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap over mixtures: what a test set of other mixtures like these could have given.

    Args:
        resamples: how often mixtures are drawn with replacement; 0 for no intervals.
        level: of confidence, between 0 and 1.
        seed: of the draws. Metrics of one list of mixtures share them.

    Raises:
        UserError: a level or number of resamples that gives no interval.
    """

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UserError(f"bootstrap.level={self.level} gives no interval: choose a number between 0 and 1.")
        if self.resamples < 0:
            raise UserError(f"task.resamples={self.resamples} is no count: give 0 for no intervals, or more.")

    def draws(self, n: int) -> Iterator[NDArray[np.int64]]:
        """Indices [r, n] of the mixtures of each resample, in blocks of bounded size."""
        generator = np.random.default_rng(self.seed)
        block = max(1, DRAWS_AT_ONCE // max(1, n))
        for start in range(0, self.resamples, block):
            yield generator.integers(n, size=(min(block, self.resamples - start), n))

    def interval(self, values: ArrayLike) -> NDArray[np.float64]:
        """Lower and upper bound [2, ...] of values [R, ...]; resamples where nothing counted are NaN and left out."""
        values = np.asarray(values, float)
        bounds = np.full((2, *values.shape[1:]), np.nan)
        some = np.isfinite(values).any(0)
        if some.any():
            tail = 50 * (1 - self.level)
            bounds[:, some] = np.nanpercentile(values[:, some], [tail, 100 - tail], axis=0)
        return bounds


def ratios(parts_nm2: NDArray[np.float64], bootstrap: Bootstrap) -> list[Estimate]:
    """Metrics that are ratios of sums over mixtures, from numerators and denominators."""
    n, m, _ = parts_nm2.shape
    resampled = [np.empty((0, m))]
    for drawn_rn in bootstrap.draws(n) if n else ():
        r = len(drawn_rn)
        flat = (drawn_rn + n * np.arange(r)[:, None]).ravel()
        how_often_rn = np.bincount(flat, minlength=r * n).reshape(r, n).astype(float)
        resampled.append(_ratio(np.tensordot(how_often_rn, parts_nm2, 1)))
    counts = np.count_nonzero(parts_nm2[..., 1], axis=0)
    low, high = np.where(counts >= FEWEST, bootstrap.interval(np.concatenate(resampled)), np.nan)
    columns = (column.tolist() for column in (_ratio(parts_nm2.sum(0)), low, high, counts))
    return [Estimate(*row) for row in zip(*columns, strict=True)]


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numerators over denominators [..., 2]; NaN where nothing counted."""
    numerators, denominators = sums[..., 0], sums[..., 1]
    return np.divide(numerators, denominators, out=np.full(numerators.shape, np.nan), where=denominators > 0)
