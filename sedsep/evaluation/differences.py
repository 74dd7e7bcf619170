"""A comparison on the terminal, and as files.

`comparison.json` has all of it, `comparison.csv` a line a metric, class or group and system,
`comparison_mixtures.csv` a line a mixture, those that differ most first.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from sedsep.console import print_table
from sedsep.evaluation.comparison import Change, Comparison, Contrast
from sedsep.files import write_csv, write_json

FILES = ("comparison.json", "comparison.csv", "comparison_mixtures.csv")


def write_changes(folder: Path, comparison: Comparison) -> list[Path]:
    """Write a comparison as `FILES`; returns those that are there: of no mixture that counts there is none."""
    account, changes, mixtures = files = [folder / name for name in FILES]
    lines = [_line(change) for change in comparison.changes]
    letters = [system.letter for system in comparison.systems]
    write_json(
        account,
        {
            "systems": {system.letter: system.source for system in comparison.systems},
            "label_sources": comparison.label_sources,
            "mixtures": len(comparison.systems[0].evaluation.mixtures),
            "bootstrap": asdict(comparison.bootstrap),
            "ranked_by": comparison.ranked_by.name,
            "ranking": {
                letter: {
                    "score": _known(asdict(place.score)),
                    "rank": {"value": place.rank, "low": place.low, "high": place.high},
                    **_known({"best": place.best}),
                }
                for letter, place in zip(letters, comparison.places, strict=True)
            },
            "changes": lines,
        },
    )
    write_csv(changes, lines)
    write_csv(mixtures, [_mixture(letters, contrast) for contrast in comparison.contrasts])
    return [file for file in files if file.is_file()]


def _line(change: Change) -> dict[str, Any]:
    difference = change.difference
    return {
        "table": change.table,
        "part": change.part,
        "metric": str(change.score),
        "labels": change.labels,
        "system": change.system,
    } | _known(
        {
            "a": difference.a,
            "value": difference.b,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "better": change.better,
            "mixtures": difference.count,
        }
    )


def _mixture(letters: list[str], contrast: Contrast) -> dict[str, Any]:
    values = dict(zip(letters, contrast.values, strict=True))
    named = {f"{letter}_labels": "+".join(row.predicted) for letter, row in zip(letters, contrast.rows, strict=True)}
    first = contrast.rows[0]
    return {"mixture": first.name, "true": "+".join(first.true), "spread": contrast.spread, **values, **named}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: an undefined number is null, an empty cell of a table."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def show_comparison(comparison: Comparison) -> None:
    """Print where the systems stand, and what each of them is above the first in every metric."""
    metric = comparison.ranked_by
    table = Table("Rank", "", "System", metric.axis, title="Ranking, with 95 % intervals", title_justify="left")
    for system, place in sorted(zip(comparison.systems, comparison.places, strict=True), key=lambda pair: pair[1].rank):
        ranks = f"\n{place.low} to {place.high}" if place.low else ""
        score = place.score
        table.add_row(
            Text(str(place.rank)).append(ranks, style="dim"),
            system.letter,
            Text(system.source),
            _number(score.value, score.low, score.high, metric.digits),
        )
    print_table(table)
    for system in comparison.systems[1:]:
        title = f"{system.letter} against A, {next(iter(comparison.label_sources))} labels"
        table = Table("", "A", system.letter, "Difference", "Better", title=title, title_justify="left")
        for change in comparison.main_changes:
            if change.system == system.letter:
                one, digits = change.difference, change.metric.digits
                better = "" if math.isnan(change.better) else f"{100 * change.better:.0f} %"
                cells = (f"{value:z.{digits}f}" for value in (one.a, one.b))
                table.add_row(change.metric.axis, *cells, _number(one.value, one.low, one.high, digits), better)
        print_table(table)


def _number(value: float, low: float, high: float, digits: int) -> Text:
    interval = "" if math.isnan(low) else f"\n{low:z.{digits}f} to {high:z.{digits}f}"
    return Text(f"{value:z.{digits}f}").append(interval, style="dim")


def main_scores(comparison: Comparison) -> str:
    """The differences that matter most as a table in Markdown."""
    lines = ["| metric | system | A | its own | difference | better |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for change in comparison.main_changes:
        one, digits = change.difference, change.metric.digits
        interval = "" if math.isnan(one.low) else f" ({one.low:z.{digits}f} to {one.high:z.{digits}f})"
        better = "" if math.isnan(change.better) else f"{100 * change.better:.0f} %"
        cells = [change.metric.axis, change.system, *(f"{value:z.{digits}f}" for value in (one.a, one.b))]
        lines.append("| " + " | ".join([*cells, f"{one.value:+z.{digits}f}{interval}", better]) + " |")
    return "\n".join(lines)
