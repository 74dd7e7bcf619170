"""The table that ends a sweep: on the screen, as Markdown and as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sedsep.runs.sweeps.manifest import Manifest, differing
from sedsep.runs.sweeps.outcomes import ORDER, SCORES, Outcome

MARKDOWN, CSV = "jobs.md", "jobs.csv"
WIDTH = 160
"""Columns of a page that is no terminal: enough for a row a line."""

STYLES = {"failed": "bold red", "interrupted": "red", "not started": "red", "finished": "green"}


def listed(found: Sequence[Outcome]) -> list[Outcome]:
    """Failures first, then what goes on, then what is done; by number within each."""
    return sorted(found, key=lambda one: (ORDER.index(one.state), one.job.number))


def write(manifest: Manifest, found: Sequence[Outcome]) -> None:
    """Write `jobs.md` and `jobs.csv` to the sweep's directory."""
    header, rows = _cells(manifest, found)
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (manifest.root / MARKDOWN).write_text(f"`{manifest.command}`\n\n{text}")
    with (manifest.root / CSV).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "overrides", "state", "metric", "score", "seconds", "cause", "log"])
        for one in listed(found):
            facts = (one.state, one.metric, one.score, one.seconds, one.cause, manifest.log(one.job))
            writer.writerow([one.job.number, " ".join(one.job.overrides), *facts])


def show(manifest: Manifest, found: Sequence[Outcome]) -> None:
    """Print the table."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=WIDTH)
    header, rows = _cells(manifest, found)
    table = Table(title=str(manifest.root), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in ("job", "time") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _cells(manifest: Manifest, found: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows; a column for causes where there are any."""
    metric = min((one.metric for one in found if one.metric), key=SCORES.index, default=None)
    told = differing(manifest.jobs)
    with_cause = any(one.cause for one in found)
    header = ["job", "overrides", "state", *(["cause"] if with_cause else []), _title(metric), "time", "log"]
    rows = []
    for one in listed(found):
        cause = [one.cause or ""] if with_cause else []
        score = _score(one, metric)
        row = [str(one.job.number), " ".join(told[one.job.number]), one.state, *cause, score, _clock(one.seconds)]
        rows.append([*row, one.job.log or ""])
    return header, rows


def _title(metric: str | None) -> str:
    if metric is None:
        return "score"
    _, kind, source = metric.split("/")
    return f"{'CA-SDRi, dB' if kind == 'ca_sdri' else 'label accuracy, %'} ({source} labels)"


def _score(one: Outcome, metric: str | None) -> str:
    """The number; with its name where it is of another kind than the column's."""
    if one.score is None:
        return ""
    return f"{one.score:.2f}" if one.metric == metric else f"{one.score:.2f} ({_title(one.metric)})"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
