"""Results on disk: `cells.csv`, a line a row and seed; `summary.csv`, over seeds; `table.md` with `figure.svg`."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sedsep.files import write_whole
from sedsep.studies.cells import WITHOUT_EFFECT, as_swept
from sedsep.studies.results import Results, Score, score
from sedsep.studies.study import Row

CELLS, SUMMARY, TABLE, FIGURE = "cells.csv", "summary.csv", "table.md", "figure.svg"
SUMMARY_HEADER = (
    *("experiment", "column", "metric", "seeds", "mean", "deviation", "published", "published_deviation"),
    *("difference", "effect", "effect_deviation", "published_effect"),
)


def folder_name(choices: Mapping[str, str], overrides: Iterable[str], weights: Path | None) -> str:
    """Scale and data; where overrides go further, also the data's folder and a digest of them, whatever their order."""
    others = sorted(
        text
        for text in as_swept(overrides)
        if not WITHOUT_EFFECT.match(text) and text not in {f"{key}={value}" for key, value in choices.items()}
    )
    parts = list(choices.values())
    roots = (text.removeprefix("data.root=") for text in others if text.startswith("data.root="))
    parts += [Path(re.sub(r"[^\w./-]", "", root)).name for root in roots]
    if weights:
        parts.append(f"weights-{weights.name}")
        others.append(f"weights={weights}")
    if others:
        parts.append(hashlib.sha256(" ".join(others).encode()).hexdigest()[:6])
    return "-".join(parts)


def write(results: Results, out: Path, command: Sequence[str]) -> None:
    """Write the files of a study, and print its table."""
    text = markdown(results, command)
    write_whole(out / CELLS, _csv(_cell_lines(results)))
    write_whole(out / SUMMARY, _csv(_summary_lines(results)))
    write_whole(out / FIGURE, results.study.draw(results).decode())
    write_whole(out / TABLE, text)
    print(f"\n{text}\nWritten to {out}", flush=True)


def markdown(results: Results, command: Sequence[str]) -> str:
    """The table, what sets rows apart from the reference, and the cells without a run."""
    study = results.study
    reference = study.reference_row.title
    seeds = ", ".join(map(str, results.seeds))
    parts = [
        f"# {study.title}",
        f"`{shlex.join(['python', *command])}`",
        f"{study.quantity} on the {results.split} split, mean ± deviation (n - 1) over seeds {seeds}."
        + f" Commit: {', '.join(sorted({run.commit for run in results.runs.values()} - {''})) or 'unknown'}.",
        _grid(results, f"{study.quantity}, by {study.by}", study.rows, _scores),
    ]
    if not results.comparable:
        parts.append(
            "The published scores are of `scale=paper data=dcase2025`: they do not compare with these. What sets a row "
            "apart from the reference may be held beside what does so in the publication."
        )
    others = [row for row in study.rows if row.experiment != study.reference]
    parts += [
        f"## Against {reference}",
        "Differences of runs with the same seed, which share scenes and taggers; of the published ones, of means.",
        _grid(results, f"{study.quantity}, against {reference}, by {study.by}", others, _effects),
        f"![{study.title}]({FIGURE})",
    ]
    if results.missing:
        parts += ["## Missing", "\n".join(f"- {cell}: {why}" for cell, why in results.missing.items())]
    return "\n\n".join(parts) + "\n"


def _grid(
    results: Results, corner: str, rows: Sequence[Row], lines: Callable[[Results, Row], dict[str, list[str]]]
) -> str:
    """A Markdown table; a row of the study may have several lines, those without any number are left out."""
    table = [[corner, *results.study.columns], ["---", *["---:"] * len(results.study.columns)]]
    for row in rows:
        for number, (title, numbers) in enumerate(lines(results, row).items()):
            if number == 0 or any(numbers):
                table.append([title, *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _scores(results: Results, row: Row) -> dict[str, list[str]]:
    columns = results.study.columns
    own = {column: _told(results.score(row, column), len(results.seeds)) for column in columns}
    lines = {row.title: [own[column] or ("missing" if column in row.columns else "") for column in columns]}
    if results.comparable:
        published = {column: results.study.published.get((row.experiment, column)) for column in columns}
        lines["*published*"] = [_told(Score(*known, 1)) if known else "" for known in published.values()]
        lines["*difference*"] = [_signed(_difference(results, row, column)) for column in columns]
    return lines


def _effects(results: Results, row: Row) -> dict[str, list[str]]:
    columns = results.study.columns
    effects = [results.effect(row, column) for column in columns]
    published = [results.study.published_effect(row.experiment, column) for column in columns]
    return {
        row.title: [_told(effect, len(results.seeds), "+") for effect in effects],
        "*published*": [_signed(value) for value in published],
    }


def _difference(results: Results, row: Row, column: str) -> float | None:
    """Our mean less the published one, where they compare."""
    own, known = results.score(row, column), results.study.published.get((row.experiment, column))
    return own.mean - known[0] if results.comparable and own and known else None


def _told(value: Score | None, seeds: int = 1, sign: str = "") -> str:
    if value is None:
        return ""
    deviation = "" if value.deviation is None else f" ± {value.deviation:.2f}"
    return f"{value.mean:{sign}z.2f}{deviation}{f' ({value.count} of {seeds})' if value.count < seeds else ''}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+z.2f}"


def _cell_lines(results: Results) -> list[list[object]]:
    metrics = list(dict.fromkeys(name for row in results.study.rows for name in (*row.columns.values(), *row.also)))
    lines: list[list[object]] = [["experiment", "seed", *metrics, "run", "commit", "ended"]]
    for row in results.study.rows:
        for seed in results.seeds:
            run = results.runs.get((row.experiment, seed))
            numbers = [run.metric(results.split, name) if run else None for name in metrics]
            ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.ended / 1000)) if run else None
            lines.append([row.experiment, seed, *numbers, *((run.id, run.commit, ended) if run else (None,) * 3)])
    return lines


def _summary_lines(results: Results) -> list[list[object]]:
    lines: list[list[object]] = [list(SUMMARY_HEADER)]
    for row in results.study.rows:
        for column, metric in (*row.columns.items(), *((name, name) for name in row.also)):
            own = score(results.values(row.experiment, metric).values())
            known = results.study.published.get((row.experiment, column), (None, None))
            effect = results.effect(row, column)
            lines.append(
                [row.experiment, column, metric]
                + ([own.count, own.mean, own.deviation] if own else [0, None, None])
                + [*known, _difference(results, row, column) if column in row.columns else None]
                + ([effect.mean, effect.deviation] if effect else [None, None])
                + [results.study.published_effect(row.experiment, column) if effect else None]
            )
    return lines


def _csv(lines: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    rounded = ([round(value, 4) if isinstance(value, float) else value for value in line] for line in lines)
    csv.writer(text, lineterminator="\n").writerows(rounded)
    return text.getvalue()
