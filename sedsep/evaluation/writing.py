"""The scores of an evaluation on the terminal, and as files.

`metrics.json` is flat, `evaluation.json` has intervals and break-downs too, `mixtures.csv` has a line a mixture,
`sources.csv` a line an entry of the score, `ear.csv` a line a stem that an ear listened to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from sedsep.console import print_table
from sedsep.evaluation.chain import OWN
from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.ledger import Account, Ledger, lost_in
from sedsep.evaluation.results import Evaluation
from sedsep.files import write_csv, write_json
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import CONSTANT, LEDGER, METRICS, SCORE_FILES, ordered_sources
from sedsep.metrics.rows import MixtureRow

SHOWN = (
    *("matched_sdri", "label_accuracy", "source_accuracy", "silence_precision", "silence_recall", "segment_pauroc"),
    *("ear_stem", "ear_residual", "ear_spearman"),
)
"""Metrics that matter most after the one that systems are ranked by, for the terminal."""


def write_scores(folder: Path, evaluation: Evaluation, about: Mapping[str, Any]) -> list[Path]:
    """Write the scores.

    Args:
        folder: for `SCORE_FILES`; of no lines there is no file.
        evaluation: the scores.
        about: what else `evaluation.json` says.

    Returns:
        The files that are there.
    """
    metrics, account, mixtures, sources, ear = (folder / name for name in SCORE_FILES)
    write_json(metrics, {name: _number(one.value) for name, one in evaluation.metrics.items()})
    write_json(
        account,
        {
            **about,
            "split": evaluation.split,
            "mixtures": len(evaluation.mixtures),
            "ranking": evaluation.ranking,
            "passes": evaluation.passes,
            "threshold": evaluation.rule.threshold,
            "labels": list(evaluation.labels),
            "metrics": {name: _plain(one) for name, one in evaluation.metrics.items()},
            "label_sources": {source: _breakdowns(evaluation, source) for source in evaluation.sources},
            **({"ledger": _ledger(evaluation.ledger)} if evaluation.ledger else {}),
        },
    )
    rows = [row for mixture in evaluation.mixtures for row in mixture.rows]
    write_csv(mixtures, [_line(row, mixture, evaluation) for mixture in evaluation.mixtures for row in mixture.rows])
    write_csv(sources, [entry for row in rows for entry in row.entries()])
    write_csv(ear, [asdict(stem) for mixture in evaluation.mixtures for stem in mixture.heard])
    return [file for file in (metrics, account, mixtures, sources, ear) if file.is_file()]


def _line(row: MixtureRow, mixture: MixtureResult, evaluation: Evaluation) -> dict[str, object]:
    """A row as a line, with what is lost where the ledger is of it; other rows have empty cells there."""
    if not evaluation.ledger:
        return row.record()
    return row.record() | lost_in(mixture.chain if row == mixture.chain[OWN] else {}, evaluation.ranking)


def _ledger(ledger: Ledger) -> dict[str, Any]:
    """Parts by class; those of all mixtures are among the metrics."""

    def account(one: Account) -> dict[str, float | None]:
        lost = {part: _number(estimate.value) for part, estimate in one.lost.items()}
        return {"score": _number(one.score.value), **lost, "ceiling": _number(one.ceiling.value)}

    return {"source": ledger.source, "by_class": {label: account(one) for label, one in ledger.by_class.items()}}


def _breakdowns(evaluation: Evaluation, source: str) -> dict[str, Any]:
    tables: dict[str, Any] = {
        "confusion": evaluation.confusion(source).round(3).tolist(),
        "by_count": {str(count): _plain(one) for count, one in evaluation.by_count[source].items()},
    }
    if evaluation.separated:
        levels = evaluation.by_level[source]
        tables["by_class"] = {label: _plain(one) for label, one in evaluation.by_class[source].items()}
        tables["by_snr"] = {f"{low:g} to {high:g} dB": _plain(one) for (low, high), one in levels.items()}
    return tables


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(value) for name, value in asdict(estimate).items()}


def _number(value: float) -> float | None:
    """JSON has no NaN: an undefined number is null."""
    return value if math.isfinite(value) else None


def show_scores(evaluation: Evaluation) -> None:
    """Print scores by label source, and what ranks systems by refinement passes where there are several numbers."""

    def cell(score: Estimate | None) -> Text:
        if score is None or math.isnan(score.value):
            return Text()
        interval = "" if math.isnan(score.low) else f"\n{score.low:.2f} to {score.high:.2f}"
        return Text(f"{score.value:.2f}").append(interval, style="dim")

    table = Table("", title="Test scores, with 95 % intervals", title_justify="left")
    sources = [*evaluation.sources, CONSTANT]
    for source in sources:
        table.add_column(source, justify="right")
    for name in (evaluation.ranking, *SHOWN):
        cells = [cell(evaluation.score(name, source)) for source in sources]
        if any(cells):
            table.add_row(METRICS[name].axis, *(text or "-" for text in cells))
    print_table(table)
    if evaluation.ledger:
        overall = evaluation.ledger.overall
        title = (
            f"From {overall.score.value:.2f} dB, {evaluation.ledger.source} labels, to {overall.ceiling.value:.2f} dB"
        )
        table = Table("Lost", "dB", title=title, title_justify="left")
        for part, lost in overall.lost.items():
            table.add_row(LEDGER[part].title, cell(lost))
        print_table(table)
    if len(evaluation.all_passes) > 1:
        title = f"{METRICS[evaluation.ranking].axis} by refinement passes; trained for {evaluation.passes}"
        table = Table("", title=title, title_justify="left")
        for passes in evaluation.all_passes:
            table.add_column(str(passes), justify="right")
        for source in evaluation.sources:
            scores = (evaluation.score(evaluation.ranking, source, passes) for passes in evaluation.all_passes)
            table.add_row(source, *("" if score is None else f"{score.value:.2f}" for score in scores))
        print_table(table)


def main_scores(evaluation: Evaluation) -> str:
    """The metrics that matter most as a table in Markdown, a column a label source."""
    sources = ordered_sources([*evaluation.sources, CONSTANT])
    lines = ["| " + " | ".join(["", *sources]) + " |", "| --- |" + " ---: |" * len(sources)]
    for metric in map(METRICS.__getitem__, (evaluation.ranking, *SHOWN)):
        scores = [evaluation.score(metric.name, source) for source in sources]
        cells = ["" if one is None or math.isnan(one.value) else f"{one.value:.{metric.digits}f}" for one in scores]
        if any(cells):
            lines.append("| " + " | ".join([metric.axis, *cells]) + " |")
    return "\n".join(lines)
