"""What came out: scores over seeds, and what sets a row apart from the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from sedsep.studies.study import Study

PLACE = ["experiment", "column"]


@dataclass(frozen=True)
class Results:
    """What is there for a study's cells.

    Attributes:
        study: with what is published.
        cells: a line a cell: `experiment`, `seed`, metrics, and of its run `run`, `commit`, `ended`; empty without one.
        missing: why a cell has no run, by its name.
        split: that was scored.
        comparable: whether the published numbers are of the same scale and data.
    """

    study: Study
    cells: pd.DataFrame
    missing: Mapping[str, str]
    split: str
    comparable: bool

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Over seeds, by experiment and column (of a metric beside the columns: its name).

        `mean` and `deviation` (n - 1) over `seeds`; `effect` and `effect_deviation` over `effects`, of a row's numbers
        less the reference's of the same seed, which shares its taggers and scenes; the same of what is published.
        """
        study, compared = self.study, self.study.reference_row.columns
        lines: list[tuple[str, str, str, str | None]] = []
        for row in study.rows:
            for column, metric in row.columns.items():  # held against the same of the reference, or the only one
                against = column if column in compared else next(iter(compared))
                lines.append((row.experiment, column, metric, None if row is study.reference_row else against))
            lines += [(row.experiment, metric, metric, None) for metric in row.also]
        places = pd.DataFrame(lines, columns=[*PLACE, "metric", "against"])
        numbers = self.cells.drop(columns=["run", "commit", "ended"]).melt(["experiment", "seed"], var_name="metric")
        values = places.merge(numbers.dropna().astype({"value": float}), on=["experiment", "metric"])
        reference = values.loc[values["experiment"] == study.reference, ["column", "seed", "value"]]
        reference = reference.rename(columns={"column": "against", "value": "other"})
        values = values.merge(reference, on=["against", "seed"], how="left")
        values["effect"] = values["value"] - values["other"]
        over_seeds = values.groupby(PLACE).agg(
            seeds=("value", "count"), mean=("value", "mean"), deviation=("value", "std"),
            effects=("effect", "count"), effect=("effect", "mean"), effect_deviation=("effect", "std"),
        )  # fmt: skip
        published = study.published.add_prefix("published_").rename(columns={"published_mean": "published"})
        others = published.loc[study.reference, "published"] if study.reference in published.index else pd.Series()
        summary = places.join(over_seeds, on=PLACE).join(published, on=PLACE)
        summary["seeds"] = summary["seeds"].fillna(0).astype(int)
        summary["difference"] = summary["mean"] - summary["published"] if self.comparable else None
        summary["published_effect"] = summary["published"] - summary["against"].map(others)
        return summary.set_index(PLACE)
