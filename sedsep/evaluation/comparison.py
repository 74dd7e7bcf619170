"""Systems beside one another on the same mixtures: what each of them is above the first, and where they stand.

Axes: n mixtures, K systems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sedsep.errors import UserError, printable
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.bootstrap import Bootstrap, Difference, Place, ranking
from sedsep.metrics.registry import METRICS, Metric, MetricName, ordered_sources
from sedsep.metrics.rows import (
    PARTS,
    MixtureRow,
    Part,
    band_name,
    class_parts,
    compare,
    count_parts,
    group_parts,
    heard_often,
    level_parts,
    table,
)

LEVEL_TOLERANCE = 0.1
"""dB by which a source's level may differ between two scorings of the same mixture: what 16 bits and devices do."""


@dataclass(frozen=True)
class System:
    """What is compared.

    Attributes:
        letter: A, B, ...
        source: what a person calls it: a path, or a name.
        evaluation: its scores, mixture by mixture.
        metrics: all of its metrics by name, also those of which a mixture has no share.
    """

    letter: str
    source: str
    evaluation: Evaluation
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class Change:
    """What a system is above A.

    Attributes:
        table: `all` for all mixtures, or what they are broken down by: `class`, `sources` or `level`.
        part: the class, number or level; empty for all.
        score: the metric, with its setting, if it has one.
        labels: the label source, or those of the systems.
        system: the letter.
        difference: of the metric, A's own value beside it.
    """

    table: str
    part: str
    score: MetricName
    labels: str
    system: str
    difference: Difference

    @property
    def metric(self) -> Metric:
        """What is measured."""
        return METRICS[self.score.metric]

    @property
    def better(self) -> float:
        """Probability that the system is better than A; NaN where there is no interval."""
        higher = self.difference.higher
        return higher if self.metric.higher_is_better else 1 - higher


@dataclass(frozen=True)
class Contrast:
    """A mixture, and how far apart systems are in it.

    Attributes:
        rows: what each system made of it, under its own labels.
        values: what ranks them, of this mixture.
    """

    rows: tuple[MixtureRow, ...]
    values: tuple[float, ...]

    @property
    def spread(self) -> float:
        """The largest value less the smallest."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True)
class Comparison:
    """Two systems or more, of which A is the first, that were scored on the same mixtures.

    Attributes:
        systems: at least two.
        bootstrap: of the intervals.

    Raises:
        UserError: they were scored on other mixtures.
    """

    systems: Sequence[System]
    bootstrap: Bootstrap = Bootstrap()  # noqa: RUF009

    def __post_init__(self) -> None:
        check_same(self.systems)

    @property
    def separated(self) -> bool:
        """Whether all of them have sounds to score."""
        return all(system.evaluation.separated for system in self.systems)

    @property
    def ranked_by(self) -> Metric:
        """The metric that places them."""
        return METRICS[self.systems[0].evaluation.ranking if self.separated else "label_accuracy"]

    @cached_property
    def label_sources(self) -> dict[str, tuple[str, ...]]:
        """The label source of each system, by what they are called together: first those that users have, which need
        not be the same, then those that all have."""
        own = tuple(system.evaluation.main_source for system in self.systems)
        sources = {own[0] if len(set(own)) == 1 else "/".join(own): own}
        shared = set.intersection(*(set(system.evaluation.sources) for system in self.systems))
        return sources | {source: (source,) * len(own) for source in ordered_sources(shared - sources.keys())}

    @cached_property
    def changes(self) -> list[Change]:
        """All of them: by label source, table and system, in the order they are shown."""
        return [change for labels in self.label_sources for change in self._changes(labels)]

    @property
    def main_changes(self) -> list[Change]:
        """Those of the metrics of all mixtures at the systems' own settings, under the labels that users have."""
        own = next(iter(self.label_sources))
        return [c for c in self.changes if c.table == "all" and c.labels == own and c.score.setting is None]

    @cached_property
    def places(self) -> list[Place]:
        """Of the systems, under the labels that users have."""
        (own, *_), part = self.label_sources.values(), {"": PARTS[self.ranked_by.name]}
        return ranking(
            np.stack([table(self._rows(k, source), part)[:, 0] for k, source in enumerate(own)]), self.bootstrap
        )

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Mixtures that count in all systems, those that differ most first."""
        (own, *_), part = (
            self.label_sources.values(),
            PARTS[self.ranked_by.name if self.separated else "source_accuracy"],
        )
        found = []
        for rows in zip(*(self._rows(k, source) for k, source in enumerate(own)), strict=True):
            parts = [part(row) for row in rows]
            if all(count for _, count in parts):
                found.append(Contrast(rows, tuple(total / count for total, count in parts)))
        return sorted(found, key=lambda contrast: -contrast.spread)

    def _rows(self, k: int, source: str, passes: int | None = None) -> list[MixtureRow]:
        """Of a system, in the order of A's mixtures; after as many passes as it is for, or others."""
        evaluation = self.systems[k].evaluation
        rows = {row.name: row for row in evaluation.rows[source, passes or evaluation.passes]}
        return [rows[mixture.name] for mixture in self.systems[0].evaluation.mixtures]

    def _changes(self, labels: str) -> Iterator[Change]:
        sources = self.label_sources[labels]
        a = self._rows(0, sources[0])
        ranked_by = MetricName("", self.ranked_by.name)
        for k, system in enumerate(self.systems[1:], 1):
            b = self._rows(k, sources[k])
            for score, difference in self._metrics(sources, k).items():
                yield Change("all", "", score, labels, system.letter, difference)
            counts = compare(a, b, count_parts(a, ranked_by.metric), self.bootstrap)
            for count, difference in counts.items():
                part = f"{count} source{'s' * (count != 1)}"
                yield Change("sources", part, ranked_by, labels, system.letter, difference)
            if self.separated:
                classes = compare(a, b, class_parts([*a, *b]), self.bootstrap)
                for label, difference in heard_often(a, classes).items():
                    yield Change("class", label, MetricName("", "capi_sdri"), labels, system.letter, difference)
                for band, difference in compare(a, b, level_parts(), self.bootstrap).items():
                    if difference.count:
                        score = MetricName("", "capi_sdri")
                        yield Change("level", band_name(band), score, labels, system.letter, difference)

    def _metrics(self, sources: Sequence[str], k: int) -> dict[MetricName, Difference]:
        """What each metric that A and another system have is in that one above A."""
        a, b = self.systems[0], self.systems[k]
        parts: dict[int | None, dict[str, Callable[[MixtureRow], Part]]] = {}
        found = {}
        for name, value in a.metrics.items():
            score = MetricName.parse(name)
            theirs = str(replace(score, split=b.evaluation.split, source=sources[k]))
            if score.source != sources[0] or score.metric not in METRICS or theirs not in b.metrics:
                continue
            short = replace(score, split="", source="")
            before, after = (math.nan if one is None else one for one in (value, b.metrics[theirs]))
            # Where mixtures have no share in it, there is no interval.
            found[short] = Difference(after - before, math.nan, math.nan, 0, before, after, math.nan)
            if score.metric in PARTS and isinstance(score.setting, str):
                part = group_parts(score.metric)[score.setting]
            elif score.metric in PARTS and (score.setting is None or METRICS[score.metric].setting == "passes"):
                part = PARTS[score.metric]
            else:
                continue
            passes = score.setting if isinstance(score.setting, float) else None
            parts.setdefault(None if passes is None else int(passes), {})[str(short)] = part
        for passes, some in parts.items():
            before_rows, after_rows = (self._rows(index, sources[index], passes) for index in (0, k))
            for name, difference in compare(before_rows, after_rows, some, self.bootstrap).items():
                found[MetricName.parse(name)] = difference
        return found


def check_same(systems: Sequence[System]) -> None:
    """Make sure that systems were scored on the same mixtures: by their names, the events in each, and how loud each
    event is beside all else, which no two mixtures share.

    Raises:
        UserError: they were not.
    """
    for system in systems[1:]:
        if why := _difference(systems[0], system):
            a, b = (f"{one.letter} ({printable(one.source)})" for one in (systems[0], system))
            raise UserError(
                f"{b} was scored on other mixtures than {a}: {why}; score both on the same data (task=evaluate), and "
                "compare these runs."
            )


def _difference(a: System, b: System) -> str:
    """By what two systems' mixtures differ first; empty for nothing."""
    first, second = (_mixtures(system.evaluation) for system in (a, b))
    if missing := sorted(first.keys() ^ second.keys()):
        one = a if missing[0] in first else b
        return f"{printable(missing[0], 60)} is in {one.letter} alone, {len(first.keys() & second.keys())} are in both"
    other = next((name for name in first if not _alike(first[name], second[name])), None)
    return "" if other is None else f"in {printable(other, 60)} other events sound, or others as loud"


def _mixtures(evaluation: Evaluation) -> dict[str, list[tuple[str, float | None]]]:
    """Name to the events, and the level of each where it is known."""
    found = {}
    for mixture in evaluation.mixtures:
        row = next((row for row in mixture.rows if row.scores), mixture.rows[0])
        known = [(score.label, score.input_sdr) for score in row.scores if score.input_sdr is not None]
        events: list[tuple[str, float | None]] = [*known] or [(label, None) for label in row.true]
        found[mixture.name] = sorted(events, key=lambda e: (e[0], e[1] or 0))
    return found


def _alike(a: Sequence[tuple[str, float | None]], b: Sequence[tuple[str, float | None]]) -> bool:
    return [label for label, _ in a] == [label for label, _ in b] and all(
        one is None or other is None or abs(one - other) < LEVEL_TOLERANCE
        for (_, one), (_, other) in zip(a, b, strict=True)
    )
