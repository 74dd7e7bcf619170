"""What a study is: rows, each with the columns that it fills, and the numbers published for them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sedsep.studies.results import Results

PUBLISHED = "published.csv"


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        experiment: of `conf/experiment`. title: shown for it.
        columns: title of a column to the metric in it, `<metric>/<label source>` without the split; a run needs all.
        overrides: that the experiment is run with. also: metrics that `cells.csv` and `summary.csv` have beside them.
    """

    experiment: str
    title: str
    columns: Mapping[str, str]
    overrides: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """Rows to be compared.

    Attributes:
        folder: with `study.py` and `published.csv`, below `experiments/` of the project; gives the study its name.
        title: of its table. quantity: what the columns hold, with the unit. by: what sets them apart.
        draw: makes the figure, as SVG bytes.
        reference: the experiment that the others are compared with.
    """

    folder: Path
    title: str
    quantity: str
    by: str
    rows: tuple[Row, ...]
    reference: str
    draw: Callable[[Results], bytes]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def run_py(self) -> Path:
        """The entry of the project that the study belongs to."""
        return self.folder.parents[1] / "run.py"

    @property
    def columns(self) -> list[str]:
        """Titles of all columns, in order."""
        return list(dict.fromkeys(column for row in self.rows for column in row.columns))

    @property
    def reference_row(self) -> Row:
        return next(row for row in self.rows if row.experiment == self.reference)

    def reference_column(self, column: str) -> str:
        """The reference's column to hold another row's against: the same, or the only one that it has."""
        columns = self.reference_row.columns
        return column if column in columns else next(iter(columns))

    @cached_property
    def published(self) -> dict[tuple[str, str], tuple[float, float | None]]:
        """Mean and, where it is known, deviation, by experiment and column; lines that begin with # say wherefrom."""
        lines = (self.folder / PUBLISHED).read_text(encoding="utf-8").splitlines()
        read = csv.DictReader(line for line in lines if not line.startswith("#"))
        return {
            (line["experiment"], line["column"]): (
                float(line["mean"]),
                float(line["deviation"]) if line["deviation"] else None,
            )
            for line in read
        }

    def published_effect(self, experiment: str, column: str) -> float | None:
        """A row's published mean less the reference's."""
        own = self.published.get((experiment, column))
        other = self.published.get((self.reference, self.reference_column(column)))
        return own[0] - other[0] if own and other else None
