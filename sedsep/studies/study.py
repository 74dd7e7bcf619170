"""What a study is: rows, each with the columns that it fills, and the numbers published for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

PUBLISHED = "published.csv"


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        experiment: of `conf/experiment`.
        title: shown for it.
        columns: title of a column to the metric in it, `<metric>/<label source>` without the split; a run needs all.
        overrides: that the experiment is run with.
        also: metrics that `cells.csv` and `summary.csv` have beside them.
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
        title: of its table.
        quantity: what the columns hold, with the unit.
        by: what sets the columns apart.
        rows: in the order of the table.
        reference: the experiment that the others are compared with.
        draw: makes the figure, as SVG bytes, of the study, its summary and whether it compares with what is published.
    """

    folder: Path
    title: str
    quantity: str
    by: str
    rows: tuple[Row, ...]
    reference: str
    draw: Callable[[Study, pd.DataFrame, bool], bytes]

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
    def metrics(self) -> list[str]:
        """All that rows ask for, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in (*row.columns.values(), *row.also)))

    @property
    def reference_row(self) -> Row:
        return next(row for row in self.rows if row.experiment == self.reference)

    @cached_property
    def published(self) -> pd.DataFrame:
        """`mean` and, where it is published, `deviation`, by experiment and column; # begins a line on the source."""
        table = pd.read_csv(self.folder / PUBLISHED, comment="#", dtype={"experiment": str, "column": str})
        return table.astype({"mean": float, "deviation": float}).set_index(["experiment", "column"])
