"""Results on disk: `cells.csv`, a line a row and seed; `summary.csv`, over seeds; `table.md` with `figure.svg`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from sedsep.files import write_whole
from sedsep.studies.results import Results

CELLS, SUMMARY, TABLE, FIGURE = "cells.csv", "summary.csv", "table.md", "figure.svg"
SUMMARY_COLUMNS = [
    *("metric", "seeds", "mean", "deviation", "published", "published_deviation"),
    *("difference", "effect", "effect_deviation", "published_effect"),
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
    summary = results.summary.reindex(pd.MultiIndex.from_product([[r.experiment for r in study.rows], study.columns]))
    scores, effects = [], []
    for row in study.rows:
        table = summary.loc[row.experiment]
        own = _numbers(table["mean"], table["deviation"], table["seeds"], len(seeds))
        gaps = ["missing" if column in row.columns else "" for column in study.columns]
        scores.append((row.title, [number or gap for number, gap in zip(own, gaps, strict=True)]))
        if results.comparable:
            scores.append(("*published*", _numbers(table["published"], table["published_deviation"])))
            scores.append(("*difference*", _numbers(table["difference"], sign="+")))
        if row is not study.reference_row:
            difference = _numbers(table["effect"], table["effect_deviation"], table["effects"], len(seeds), "+")
            effects.append((row.title, difference))
            effects.append(("*published*", _numbers(table["published_effect"], sign="+")))
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
            "The published scores are of `scale=paper data=dcase2025`: they do not compare with these. What sets a row "
            "apart from the reference may be held beside what does so in the publication."
        )
    parts += [
        f"## Against {reference}",
        "Differences of runs with the same seed, which share scenes and taggers; of the published ones, of means.",
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


def _grid(corner: str, columns: Sequence[str], lines: Iterable[Line]) -> str:
    """A Markdown table; a line in italics is left out where it has no number."""
    rows = [[corner, *columns], ["---", *["---:"] * len(columns)]]
    rows += [[title, *numbers] for title, numbers in lines if any(numbers) or not title.startswith("*")]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
