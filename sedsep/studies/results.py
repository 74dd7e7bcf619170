"""What came out: scores over seeds, and what sets a row apart from the reference.

On disk `cells.csv`, a line a row and seed; `summary.csv`, over seeds; `table.md` with `figure.svg`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sedsep.evaluation.results import Evaluation
from sedsep.files import write_whole
from sedsep.metrics.bootstrap import Bootstrap, Difference, differences
from sedsep.metrics.registry import MetricName
from sedsep.metrics.rows import PARTS, table
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
        evaluations: by row and seed what each mixture scored, where that is known.
    """

    study: Study
    cells: pd.DataFrame
    missing: Mapping[str, str]
    split: str
    comparable: bool
    evaluations: Mapping[tuple[str, int], Evaluation] = field(default_factory=dict)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Over seeds, by experiment and column (of a metric beside the columns: its name).

        `mean` and `deviation` (n - 1) over `seeds`; `effect` and `effect_deviation` over `effects`, of a row's numbers
        less the reference's of the same seed, which shares its taggers and scenes; `low` and `high` of the effect when
        other mixtures are drawn; the same of what is published.
        """
        study, compared = self.study, self.study.reference_row.columns
        lines: list[tuple[str, str, str, str | None]] = []
        for row in study.rows:
            for column, metric in row.columns.items():  # held against the same of the reference, or the only one
                against = column if column in compared else next(iter(compared))
                lines.append((row.name, column, metric, None if row is study.reference_row else against))
            lines += [(row.name, metric, metric, None) for metric in row.also]
        places = pd.DataFrame(lines, columns=[*PLACE, "metric", "against"])
        paired = [self.paired(row, metric, compared[against]) if against else None for row, _, metric, against in lines]
        places["low"], places["high"] = zip(
            *((one.low, one.high) if one else (None, None) for one in paired), strict=True
        )
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

    def paired(self, row: str, metric: str, other: str) -> Difference | None:
        """What a row is above the reference in the mixtures of all seeds that both have, with the interval of other
        mixtures; `None` where that is not known.

        Args:
            row: its name.
            metric: of the row, `<metric>/<label source>`.
            other: of the reference.
        """
        tables, mixtures_of = [], set[tuple[str, ...]]()
        for seed in self.cells["seed"].unique():
            known = [self.evaluations.get((name, seed)) for name in (self.study.reference, row)]
            scores = [MetricName.parse(f"{self.split}/{name}") for name in (other, metric)]
            rows = [one.of_score(score) if one else [] for one, score in zip(known, scores, strict=True)]
            if all(rows) and scores[0].metric in PARTS:
                mixtures_of |= {tuple(mixture.name for mixture in mixtures) for mixtures in rows}
                tables.append([table(mixtures, {"": PARTS[scores[0].metric]}) for mixtures in rows])
        if len(mixtures_of) != 1:  # nothing to pair, or other mixtures
            return None
        a, b = np.sum(tables, axis=0)
        return differences(a, b, Bootstrap())[0]


CELLS, SUMMARY, TABLE, FIGURE = "cells.csv", "summary.csv", "table.md", "figure.svg"
SUMMARY_COLUMNS = [
    *("metric", "seeds", "mean", "deviation", "published", "published_deviation"),
    *("difference", "effect", "effect_deviation", "low", "high", "published_effect"),
]

Line = tuple[str, list[str]]


def write(results: Results, out: Path, command: Sequence[str]) -> None:
    """Write the files of a study, and print its table."""
    text = markdown(results, command)
    summary = results.summary.copy()
    summary["published_effect"] = summary["published_effect"].where(summary["effect"].notna())
    write_whole(out / CELLS, _csv(results.cells.set_index("experiment")))
    write_whole(out / SUMMARY, _csv(summary[SUMMARY_COLUMNS]))
    write_whole(out / FIGURE, results.study.draw(results.study, results.summary, results.comparable).decode())
    write_whole(out / TABLE, text)
    print(f"\n{text}\nWritten to {out}", flush=True)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(
        float_format=lambda value: str(round(float(value), 4)), date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n"
    )


def markdown(results: Results, command: Sequence[str]) -> str:
    """The table, what sets rows apart from the reference, and the cells without a run."""
    study, seeds = results.study, results.cells["seed"].unique()
    summary = results.summary.reindex(pd.MultiIndex.from_product([[r.name for r in study.rows], study.columns]))
    scores, effects = [], []
    for row in study.rows:
        place = summary.loc[row.name]
        own = _numbers(place["mean"], place["deviation"], place["seeds"], len(seeds))
        gaps = ["missing" if column in row.columns else "" for column in study.columns]
        scores.append((row.title, [number or gap for number, gap in zip(own, gaps, strict=True)]))
        if results.comparable:
            scores.append(("*published*", _numbers(place["published"], place["published_deviation"])))
            scores.append(("*difference*", _numbers(place["difference"], sign="+")))
        if row is not study.reference_row:
            difference = _numbers(place["effect"], place["effect_deviation"], place["effects"], len(seeds), "+")
            interval = _intervals(place["low"], place["high"])
            effects.append(
                (row.title, [f"{text} {bounds}".strip() for text, bounds in zip(difference, interval, strict=True)])
            )
            effects.append(("*published*", _numbers(place["published_effect"], sign="+")))
    commits = sorted(set(results.cells["commit"].dropna()) - {""})
    reference = study.reference_row.title
    parts = [
        f"# {study.title}",
        f"`{shlex.join(['python', *command])}`",
        f"{study.quantity} on the {results.split} split, mean ± deviation (n - 1) over seeds "
        f"{', '.join(map(str, seeds))}. Commit: {', '.join(commits) or 'unknown'}.",
        _grid(f"{study.quantity}, by {study.by}", study.columns, scores),
    ]
    if not results.comparable:
        parts.append(
            f"The published scores are of `scale=paper data={study.data}`: they do not compare with these. What sets a "
            "row apart from the reference may be held beside what does so in the publication."
        )
    parts += [
        f"## Against {reference}",
        "Differences of runs with the same seed, which share scenes and taggers; of the published ones, of means. In "
        "brackets what 95 % of other test sets of such mixtures would give with these seeds.",
        _grid(f"{study.quantity}, against {reference}, by {study.by}", study.columns, effects),
        f"![{study.title}]({FIGURE})",
    ]
    if results.missing:
        parts += ["## Missing", "\n".join(f"- {cell}: {why}" for cell, why in results.missing.items())]
    return "\n\n".join(parts) + "\n"


def _numbers(
    means: pd.Series, deviations: pd.Series | None = None, counts: pd.Series | None = None, of: int = 0, sign: str = ""
) -> list[str]:
    """Means with what deviation there is, and with their count where it is not complete; empty where there is none."""
    texts = []
    for column, mean in means.items():
        text = "" if pd.isna(mean) else f"{mean:{sign}z.2f}"
        if text and deviations is not None and not pd.isna(deviations[column]):
            text += f" ± {deviations[column]:.2f}"
        if text and counts is not None and counts[column] < of:
            text += f" ({counts[column]:.0f} of {of})"
        texts.append(text)
    return texts


def _intervals(lows: pd.Series, highs: pd.Series) -> list[str]:
    """Bounds in brackets; empty where they are not known."""
    bounds = zip(lows, highs, strict=True)
    return ["" if pd.isna(low) else f"[{low:+z.2f}, {high:+z.2f}]" for low, high in bounds]


def _grid(corner: str, columns: Sequence[str], lines: Iterable[Line]) -> str:
    """A Markdown table; a line in italics is left out where it has no number."""
    rows = [[corner, *columns], ["---", *["---:"] * len(columns)]]
    rows += [[title, *numbers] for title, numbers in lines if any(numbers) or not title.startswith("*")]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
