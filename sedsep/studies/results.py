"""What came out: scores over seeds, and what sets a row apart from the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sedsep.runs.tracking.finished import Run
from sedsep.studies.study import Row, Study


@dataclass(frozen=True)
class Score:
    """A number over seeds: mean, sample deviation (n - 1; `None` for a single seed), count of seeds."""

    mean: float
    deviation: float | None
    count: int


def score(values: Iterable[float]) -> Score | None:
    """The score that values make; `None` for no values."""
    listed = list(values)
    return Score(fmean(listed), stdev(listed) if len(listed) > 1 else None, len(listed)) if listed else None


@dataclass(frozen=True)
class Results:
    """What was found for a study's cells.

    Attributes:
        runs: by experiment and seed. missing: why a cell has none, by its name.
        split: that was scored. comparable: whether the published numbers are of the same scale and data.
    """

    study: Study
    seeds: Sequence[int]
    runs: Mapping[tuple[str, int], Run]
    missing: Mapping[str, str]
    split: str
    comparable: bool

    def values(self, experiment: str, metric: str) -> dict[int, float]:
        """A metric by seed."""
        found = {seed: self.runs.get((experiment, seed)) for seed in self.seeds}
        values = {seed: run.metric(self.split, metric) for seed, run in found.items() if run}
        return {seed: value for seed, value in values.items() if value is not None}

    def score(self, row: Row, column: str) -> Score | None:
        """What stands in a column of the table."""
        return score(self.values(row.experiment, row.columns[column]).values()) if column in row.columns else None

    def effect(self, row: Row, column: str) -> Score | None:
        """A row's numbers less the reference's of the same seed, which shares its taggers and scenes."""
        reference = self.study.reference_row
        if row is reference or column not in row.columns:
            return None
        own = self.values(row.experiment, row.columns[column])
        other = self.values(reference.experiment, reference.columns[self.study.reference_column(column)])
        return score(own[seed] - other[seed] for seed in own if seed in other)
