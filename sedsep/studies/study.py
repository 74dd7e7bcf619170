"""What a study is: rows, each with the columns that it fills and the numbers published for them, and cells, a row and a
seed each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser

from sedsep.fingerprint import fingerprint

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
        variant: what tells it from other rows of its experiment, which have other overrides.
    """

    experiment: str
    title: str
    columns: Mapping[str, str]
    overrides: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    variant: str = ""

    @property
    def name(self) -> str:
        """In files: its experiment's, and what it varies."""
        return f"{self.experiment}-{self.variant}" if self.variant else self.experiment


@dataclass(frozen=True)
class Study:
    """Rows to be compared.

    Attributes:
        folder: with `study.py` and `published.csv`, below `experiments/` of the project; gives the study its name.
        title: of its table.
        quantity: what the columns hold, with the unit.
        by: what sets the columns apart.
        rows: in the order of the table.
        reference: the name of the row that the others are compared with.
        draw: makes the figure, as SVG bytes, of the study, its summary and whether it compares with what is published.
        data: whose test set the published numbers are of.
    """

    folder: Path
    title: str
    quantity: str
    by: str
    rows: tuple[Row, ...]
    reference: str
    draw: Callable[[Study, pd.DataFrame, bool], bytes]
    data: str = "dcase2025"

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
        return next(row for row in self.rows if row.name == self.reference)

    @cached_property
    def published(self) -> pd.DataFrame:
        """`mean` and, where it is published, `deviation`, by experiment and column; # begins a line on the source."""
        table = pd.read_csv(self.folder / PUBLISHED, comment="#", dtype={"experiment": str, "column": str})
        return table.astype({"mean": float, "deviation": float}).set_index(["experiment", "column"])


WITHOUT_EFFECT = (
    *("logger", "paths", "speed", "hydra", "data.workers=", "data.local_copy="),
    *("refinement.eval_iters=", "task.label_sources="),
    *("trainer=cpu", "trainer=gpu", "trainer.accelerator=", "trainer.log_every_n_steps=", "trainer.benchmark="),
)
"""Beginnings of overrides that leave the numbers as they are, but for rounding. Several devices do not: each has a
batch of its own. Passes and label sources that were measured are seen by the metrics of a run."""

Key = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class Cell:
    """A row and a seed.

    Attributes:
        row: of the study.
        seed: of the run.
        overrides: beside experiment and seed.
        settings: name of all else that decides about the numbers.
    """

    row: Row
    seed: int
    overrides: tuple[str, ...]
    settings: str

    @property
    def key(self) -> Key:
        """Settings, row and seed: the tags of its runs."""
        return self.settings, self.row.experiment, str(self.seed)

    def __str__(self) -> str:
        return f"{self.row.name}, seed {self.seed}"


def settings_name(choices: Mapping[str, str], overrides: Iterable[str], weights: Path | None = None) -> str:
    """Scale and data; where overrides go further, also the data's folder and a digest of them, whatever their order.

    Args:
        choices: what was chosen for `scale` and `data`.
        overrides: of the jobs.
        weights: folder of the checkpoints to be scored.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))  # to one writing: no spaces, short numbers
    texts = {f"{override.get_key_element()}={override.get_value_element_as_str()}" for override in parsed}
    texts -= {f"{group}={option}" for group, option in choices.items()}
    others = sorted(text for text in texts if not text.lstrip("+~").startswith(WITHOUT_EFFECT))
    names = [Path(text.removeprefix("data.root=")).name for text in others if text.startswith("data.root=")]
    if weights:
        names.append(f"weights-{weights.name}")
        others.append(f"weights={weights}")
    digest = [fingerprint(others)[:6]] if others else []
    return "-".join(re.sub(r"[^\w.-]", "", part) for part in (*choices.values(), *names, *digest))


def products(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Groups that are each a product of experiments and seeds, with the same overrides and settings."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row.name, []).append(cell)
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for row in rows.values():
        groups.setdefault((row[0].overrides, *(cell.seed for cell in row)), []).extend(row)
    return list(groups.values())
