"""The scores that matter most, in the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from sedsep.evaluation.results import Evaluation
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import CONSTANT, METRICS

SHOWN = ("ca_sdri", "label_accuracy", "source_accuracy", "segment_pauroc")


def show_scores(evaluation: Evaluation) -> None:
    """Print scores by label source, and CA-SDRi by refinement passes where there are several numbers of them."""
    table = Table("", title="Test scores, with 95 % intervals", title_justify="left")
    sources = [*evaluation.sources, CONSTANT]
    for source in sources:
        table.add_column(source, justify="right")
    for name in SHOWN:
        cells = [_cell(evaluation.score(name, source)) for source in sources]
        if any(cells):
            table.add_row(METRICS[name].axis, *(cell or "-" for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    if len(evaluation.all_passes) > 1:
        title = f"CA-SDRi (dB) by refinement passes; trained for {evaluation.passes}"
        table = Table("", title=title, title_justify="left")
        for passes in evaluation.all_passes:
            table.add_column(str(passes), justify="right")
        for source in evaluation.sources:
            scores = (evaluation.score("ca_sdri", source, passes) for passes in evaluation.all_passes)
            table.add_row(source, *("" if score is None else f"{score.value:.2f}" for score in scores))
        console.print(table)


def _cell(score: Estimate | None) -> str:
    if score is None or math.isnan(score.value):
        return ""
    interval = "" if math.isnan(score.low) else f"\n[dim]{score.low:.2f} to {score.high:.2f}[/dim]"
    return f"{score.value:.2f}{interval}"
