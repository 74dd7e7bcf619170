"""The table that ends a sweep: on the screen, as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sedsep.console import print_table
from sedsep.files import write_csv, write_whole
from sedsep.metrics.registry import MetricName, metric
from sedsep.runs.sweeps import ORDER, SCORES, Manifest, Outcome, differing

MARKDOWN, CSV = "jobs.md", "jobs.csv"
STYLES = {"failed": "bold red", "interrupted": "red", "not started": "red", "finished": "green"}


def write(manifest: Manifest, outcomes: Sequence[Outcome]) -> None:
    """Write `jobs.md` and `jobs.csv` to the sweep's directory."""
    header, rows = _cells(manifest, outcomes)
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_whole(manifest.root / MARKDOWN, f"`{manifest.command}`\n\n{text}")
    facts = [
        {
            "number": outcome.job.number,
            "overrides": " ".join(outcome.job.overrides),
            **{name: getattr(outcome, name) for name in ("state", "metric", "score", "seconds", "cause")},
            "log": manifest.root / outcome.job.log if outcome.job.log else None,
        }
        for outcome in _by_urgency(outcomes)
    ]
    write_csv(manifest.root / CSV, facts)


def show(manifest: Manifest, outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    header, rows = _cells(manifest, outcomes)
    table = Table(title=str(manifest.root), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in ("job", "time") else "left")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    print_table(table)


def _by_urgency(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Failures first, then what goes on, then what is done; by number within each."""
    return sorted(outcomes, key=lambda outcome: (ORDER.index(outcome.state), outcome.job.number))


def _cells(manifest: Manifest, outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows; a column for causes where there are any."""
    # The column is of one metric; a score of another kind stands there with its name.
    main = min((outcome.metric for outcome in outcomes if outcome.metric), key=SCORES.index, default=None)
    overrides = differing(manifest.jobs)
    with_cause = any(outcome.cause for outcome in outcomes)
    title = _title(main) if main else "score"
    header = ["job", "overrides", "state", *(["cause"] if with_cause else []), title, "time", "log"]
    rows = []
    for outcome in _by_urgency(outcomes):
        job, name, score, time = outcome.job, outcome.metric, "", ""
        if name is not None:
            digits = metric(MetricName.parse(name).metric).digits
            score = f"{outcome.score:.{digits}f}{'' if name == main else f' ({_title(name)})'}"
        if outcome.seconds is not None:
            minutes, seconds = divmod(round(outcome.seconds), 60)
            time = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
        cause = [outcome.cause or ""] if with_cause else []
        own = " ".join(overrides[job.number])
        rows.append([str(job.number), own, outcome.state, *cause, score, time, job.log or ""])
    return header, rows


def _title(name: str) -> str:
    parts = MetricName.parse(name)
    return f"{metric(parts.metric).title}, {metric(parts.metric).unit} ({parts.source} labels)"
