"""Confidence intervals by resampling mixtures.

Axes: n mixtures, m metrics, K systems, R resamples, r of them in a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

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

    def bare(self) -> Self:
        """Without its interval."""
        return replace(self, low=math.nan, high=math.nan)


@dataclass(frozen=True)
class Difference(Estimate):
    """What a metric of B is above that of A, both scored on the same mixtures.

    Attributes:
        count: of mixtures in which it counts in both.
        a: its value in A.
        b: its value in B.
        higher: share of resamples in which B's is the higher one, a tie counted half: the probability that it is, for
            other mixtures like these. NaN where there is no interval.
    """

    a: float
    b: float
    higher: float

    def bare(self) -> Self:
        """Without its interval, and without what is known from resamples only."""
        return replace(super().bare(), higher=math.nan)


@dataclass(frozen=True)
class Place:
    """Where a system stands among others that were scored on the same mixtures.

    Attributes:
        score: by which they are ranked.
        rank: 1 is the best; as good is as high.
        low: the best rank of its confidence interval; 0 where there is none.
        high: the worst rank of it.
        best: share of resamples in which none is better, divided among those that tie; NaN where there is no interval.
    """

    score: Estimate
    rank: int
    low: int
    high: int
    best: float


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
    counts = np.count_nonzero(parts_nm2[..., 1], axis=0)
    low, high = np.where(counts >= FEWEST, bootstrap.interval(resampled(parts_nm2, bootstrap)), np.nan)
    columns = (column.tolist() for column in (_ratio(parts_nm2.sum(0)), low, high, counts))
    return [Estimate(*row) for row in zip(*columns, strict=True)]


def differences(a_nm2: NDArray[np.float64], b_nm2: NDArray[np.float64], bootstrap: Bootstrap) -> list[Difference]:
    """What such metrics of B are above those of A: paired, for each resample draws the same mixtures of both.

    Args:
        a_nm2: numerators and denominators of A.
        b_nm2: those of B, of the same mixtures in the same order.
        bootstrap: of the intervals.
    """
    change_rm = resampled(b_nm2, bootstrap) - resampled(a_nm2, bootstrap)
    known = np.isfinite(change_rm).sum(0)
    above = (change_rm > 0).sum(0) + (change_rm == 0).sum(0) / 2
    share = np.divide(above, known, out=np.full(len(known), np.nan), where=known > 0)
    counts = np.count_nonzero(np.minimum(a_nm2[..., 1], b_nm2[..., 1]), axis=0)
    low, high, share = np.where(counts >= FEWEST, [*bootstrap.interval(change_rm), share], np.nan)
    a, b = _ratio(a_nm2.sum(0)), _ratio(b_nm2.sum(0))
    columns = (column.tolist() for column in (b - a, low, high, counts, a, b, share))
    return [Difference(*row) for row in zip(*columns, strict=True)]


def ranking(parts_kn2: NDArray[np.float64], bootstrap: Bootstrap) -> list[Place]:
    """The places of K systems by a metric of which more is better.

    Args:
        parts_kn2: numerators and denominators, of the same mixtures in the same order.
        bootstrap: of the intervals.
    """
    parts_nk2 = parts_kn2.swapaxes(0, 1)
    scores, values_rk = ratios(parts_nk2, bootstrap), resampled(parts_nk2, bootstrap)
    values_rk = values_rk[np.isfinite(values_rk).all(1)]
    ranks_rk = _ranks(values_rk)
    tail = (1 - bootstrap.level) / 2
    top_rk = ranks_rk == 1
    best = (top_rk / top_rk.sum(1, keepdims=True)).mean(0) if len(top_rk) else np.zeros(len(scores))
    places = []
    for k, rank in enumerate(_ranks(np.array([[score.value for score in scores]]))[0].tolist()):
        known = len(ranks_rk) > 0 and scores[k].count >= FEWEST
        low, high = np.quantile(ranks_rk[:, k], [tail, 1 - tail], method="inverted_cdf") if known else (0, 0)
        places.append(Place(scores[k], rank, int(low), int(high), float(best[k]) if known else math.nan))
    return places


def _ranks(values_rk: NDArray[np.float64]) -> NDArray[np.int64]:
    """1 and how many are higher [R, K]."""
    return 1 + (values_rk[:, None, :] > values_rk[:, :, None]).sum(2)


def resampled(parts_nm2: NDArray[np.float64], bootstrap: Bootstrap) -> NDArray[np.float64]:
    """The ratios [R, m] of each resample; what is of equally many mixtures is resampled alike."""
    n, m, _ = parts_nm2.shape
    values = [np.empty((0, m))]
    for drawn_rn in bootstrap.draws(n) if n else ():
        r = len(drawn_rn)
        flat = (drawn_rn + n * np.arange(r)[:, None]).ravel()
        how_often_rn = np.bincount(flat, minlength=r * n).reshape(r, n).astype(float)
        values.append(_ratio(np.tensordot(how_often_rn, parts_nm2, 1)))
    return np.concatenate(values)


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numerators over denominators [..., 2]; NaN where nothing counted."""
    numerators, denominators = sums[..., 0], sums[..., 1]
    return np.divide(numerators, denominators, out=np.full(numerators.shape, np.nan), where=denominators > 0)
