"""One row a mixture and label source; metrics are ratios of sums over rows.

Each metric adds a numerator and a denominator for every row and divides the sums. Ranks, uneven batches and resampled
mixtures need nothing else, for sums add up.

Axes: n rows, m metrics.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sedsep.metrics.bootstrap import FEWEST, Bootstrap, Difference, Estimate, differences, ratios
from sedsep.metrics.labels import exact, hits
from sedsep.metrics.registry import GROUPS
from sedsep.metrics.sdri import ClassScore, Waveforms, matched_sdri, pairs, score_mixture

Part = tuple[float, float]
"""Numerator and denominator that a row adds to a metric; a denominator of 0 leaves the row out."""

NOTHING = (0.0, 0.0)
Key = TypeVar("Key", str, int, tuple[float, float])
Value = TypeVar("Value", bound=Estimate)
Improvement = Literal["improvement", "si_improvement"]
LEVELS = (-10.0, -5.0, 0.0, 5.0, 10.0)
BOOTSTRAP = Bootstrap()


@dataclass(frozen=True)
class MixtureRow:
    """What a label source, and a separator asked for its labels, made of a mixture.

    Attributes:
        name: of the mixture.
        labels_from: the label source.
        true: labels that sound, without silence; they may repeat.
        predicted: labels that are named, without silence; they may repeat.
        passes: of refinement; `None` where there is one kind only.
        scores: entries of CAPI-SDRi; empty where nothing was separated, and where nothing sounds or is named.
        ca_sdri: dB, `None` without entries; other than CAPI-SDRi where labels repeat.
        matched_sdri: dB, `None` without entries.
    """

    name: str
    labels_from: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    passes: int | None = None
    scores: tuple[ClassScore, ...] = ()
    ca_sdri: float | None = None
    matched_sdri: float | None = None

    @property
    def group(self) -> str:
        """What the mixture holds: one of `GROUPS`."""
        if len(self.true) < 2:
            return "one" if self.true else "none"
        return "different" if len(set(self.true)) == len(self.true) else "repeated"

    @property
    def _key(self) -> dict[str, object]:
        return {"mixture": self.name, "labels_from": self.labels_from, "passes": self.passes}

    def record(self) -> dict[str, object]:
        """The mixture's line in a table; labels are joined by `+`, and what is not defined is `None`."""
        parts = {name: part(self) for name, part in PARTS.items()}
        values = {name: total / count if count else None for name, (total, count) in parts.items()}
        return {**self._key, "true": "+".join(self.true), "predicted": "+".join(self.predicted), **values}

    def entries(self) -> list[dict[str, object]]:
        """A line in a table for each entry of the score."""
        return [{**self._key, **asdict(score)} for score in self.scores]


def score_estimates(
    name: str,
    labels_from: str,
    estimates: Waveforms,
    references: Waveforms,
    mixture: Tensor,
    passes: int | None = None,
) -> MixtureRow:
    """Score the estimates of a mixture; arguments and errors as of `MixtureRow` and `score_mixture`."""
    predicted, true = pairs(estimates), pairs(references)
    scores = tuple(score_mixture(predicted, true, mixture))
    last = scores
    if len(dict(predicted)) < len(predicted) or len(dict(true)) < len(true):
        last = tuple(score_mixture(dict(predicted), dict(true), mixture))  # CA-SDRi: the last of a repeated label
    return MixtureRow(
        name,
        labels_from,
        true=tuple(label for label, _ in true),
        predicted=tuple(label for label, _ in predicted),
        passes=passes,
        scores=scores,
        ca_sdri=fmean(score.improvement for score in last) if last else None,
        matched_sdri=matched_sdri(predicted, true, mixture),
    )


def _mean_improvement(of: Improvement) -> Callable[[MixtureRow], Part]:
    return lambda row: (fmean(getattr(score, of) for score in row.scores), 1.0) if row.scores else NOTHING


def _entries(of: str, counted: Callable[[ClassScore], bool]) -> Callable[[MixtureRow], Part]:
    """Mean over the entries that count, of all mixtures together."""

    def part(row: MixtureRow) -> Part:
        values = [getattr(score, of) for score in row.scores if counted(score)]
        return math.fsum(values), float(len(values))

    return part


def class_part(label: str, of: Improvement = "improvement") -> Callable[[MixtureRow], Part]:
    """What a row adds to the improvement of a class."""
    return _entries(of, lambda score: score.label == label)


def _source_accuracy(row: MixtureRow) -> Part:
    both = hits(row.predicted, row.true)
    return 100.0 * both, float(len(row.predicted) + len(row.true) - both)


Parts = Mapping[Key, Callable[[MixtureRow], Part]]
"""What a row adds to each of some metrics."""

PARTS: Parts[str] = {
    "ca_sdri": lambda row: NOTHING if row.ca_sdri is None else (row.ca_sdri, 1.0),
    "capi_sdri": _mean_improvement("improvement"),
    "matched_sdri": lambda row: NOTHING if row.matched_sdri is None else (row.matched_sdri, 1.0),
    "si_sdri": _mean_improvement("si_improvement"),
    "sdr": _entries("sdr", lambda score: score.outcome == "hit"),
    "si_sdr": _entries("si_sdr", lambda score: score.outcome == "hit"),
    "label_accuracy": lambda row: (100.0 * exact(row.predicted, row.true), 1.0),
    "source_accuracy": _source_accuracy,
    "silence_precision": lambda row: NOTHING if row.predicted else (100.0 * (not row.true), 1.0),
    "silence_recall": lambda row: NOTHING if row.true else (100.0 * (not row.predicted), 1.0),
    "false_alarms": lambda row: NOTHING if row.true else (float(len(row.predicted)), 1.0),
    "leakage": _entries("level", lambda score: score.level is not None),
}
"""What a row adds to each metric of rows."""


def summarise(
    rows: Sequence[MixtureRow], metrics: Iterable[str] = tuple(PARTS), bootstrap: Bootstrap = BOOTSTRAP
) -> dict[str, Estimate]:
    """Metrics of the rows of one label source and number of passes."""
    return _estimates(rows, {name: PARTS[name] for name in metrics}, bootstrap)


def by_class(
    rows: Sequence[MixtureRow], of: Improvement = "improvement", bootstrap: Bootstrap = BOOTSTRAP
) -> dict[str, Estimate]:
    """Mean over the entries of each class, dB; misses and false alarms count 0 dB, as in CAPI-SDRi.

    A class that sounds fewer than `FEWEST` times has no interval, however often it was named.
    """
    return heard_often(rows, _estimates(rows, class_parts(rows, of), bootstrap))


def by_count(
    rows: Sequence[MixtureRow], metric: str = "ca_sdri", bootstrap: Bootstrap = BOOTSTRAP
) -> dict[int, Estimate]:
    """A metric of the mixtures that hold 0, 1, 2, ... sources, as far as there are any."""
    return _estimates(rows, count_parts(rows, metric), bootstrap)


def by_group(rows: Sequence[MixtureRow], metric: str, bootstrap: Bootstrap = BOOTSTRAP) -> dict[str, Estimate]:
    """A metric of the mixtures of each of `GROUPS`, as far as it counts in any."""
    groups = _estimates(rows, group_parts(metric), bootstrap)
    return {group: estimate for group, estimate in groups.items() if estimate.count}


def by_level(
    rows: Sequence[MixtureRow],
    edges: Sequence[float] = LEVELS,
    of: Improvement = "improvement",
    bootstrap: Bootstrap = BOOTSTRAP,
) -> dict[tuple[float, float], Estimate]:
    """Mean over the sources of each band of SNR, from `low` to below `high` dB; misses count 0 dB.

    A source's SNR is the SDR of the mixture: its level beside all else that sounds. False alarms have none and are
    left out.
    """
    return _estimates(rows, level_parts(edges, of), bootstrap)


def compare(
    a: Sequence[MixtureRow], b: Sequence[MixtureRow], parts: Parts[Key], bootstrap: Bootstrap = BOOTSTRAP
) -> dict[Key, Difference]:
    """What metrics of the rows of B are above those of A, whose mixtures are the same in the same order."""
    return dict(zip(parts, differences(table(a, parts), table(b, parts), bootstrap), strict=True))


def class_parts(rows: Iterable[MixtureRow], of: Improvement = "improvement") -> Parts[str]:
    """Parts of the mean of each class that is scored in the rows."""
    labels = sorted({score.label for row in rows for score in row.scores})
    return {label: class_part(label, of) for label in labels}


def heard_often(rows: Iterable[MixtureRow], estimates: Mapping[str, Value]) -> dict[str, Value]:
    """The estimates by class, without the interval of a class that sounds fewer than `FEWEST` times."""
    events = Counter(label for row in rows for label in row.true)
    return {label: one if events[label] >= FEWEST else one.bare() for label, one in estimates.items()}


def count_parts(rows: Iterable[MixtureRow], metric: str) -> Parts[int]:
    """Parts of a metric of the mixtures that hold each number of sources which one of the rows holds."""
    return _divided(metric, lambda row: len(row.true), sorted({len(row.true) for row in rows}))


def group_parts(metric: str) -> Parts[str]:
    """Parts of a metric of the mixtures of each of `GROUPS`."""
    return _divided(metric, lambda row: row.group, list(GROUPS))


def level_parts(edges: Sequence[float] = LEVELS, of: Improvement = "improvement") -> Parts[tuple[float, float]]:
    """Parts of the mean over the sources of each band of SNR."""

    def within(low: float, high: float) -> Callable[[ClassScore], bool]:
        return lambda score: score.input_sdr is not None and low <= score.input_sdr < high

    return {band: _entries(of, within(*band)) for band in pairwise([-math.inf, *edges, math.inf])}


def band_name(band: tuple[float, float]) -> str:
    """A band of SNR for a reader."""
    low, high = band
    if math.isinf(low):
        return f"below {high:g} dB"
    return f"{low:g} dB or more" if math.isinf(high) else f"{low:g} to {high:g} dB"


def _divided(metric: str, kind: Callable[[MixtureRow], Key], kinds: Iterable[Key]) -> Parts[Key]:
    """Parts of a metric of the mixtures of each kind."""

    def of(one: Key) -> Callable[[MixtureRow], Part]:
        return lambda row: PARTS[metric](row) if kind(row) == one else NOTHING

    return {one: of(one) for one in kinds}


def _estimates(rows: Sequence[MixtureRow], parts: Parts[Key], bootstrap: Bootstrap) -> dict[Key, Estimate]:
    return dict(zip(parts, ratios(table(rows, parts), bootstrap), strict=True))


def table(rows: Sequence[MixtureRow], parts: Parts[Key]) -> NDArray[np.float64]:
    """Numerators and denominators [n, m, 2]."""
    return np.array([[part(row) for part in parts.values()] for row in rows], float).reshape(len(rows), len(parts), 2)
