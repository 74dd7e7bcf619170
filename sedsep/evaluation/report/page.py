"""The report of an evaluation: one HTML file that holds everything it shows, and its figures as files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sedsep.evaluation.report.examples import Example, example_view
from sedsep.evaluation.report.figures import Curve, curve_figure
from sedsep.evaluation.report.html import MISSING, interval, number, write_page
from sedsep.evaluation.report.ledger import ledger_view
from sedsep.evaluation.report.scores import (
    breakdown_panels,
    by_source,
    class_panel,
    confusion_view,
    metric_table,
    setting_panels,
)
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.bootstrap import FEWEST
from sedsep.metrics.registry import BASELINE, CONSTANT, METRICS, ORACLE, RANKINGS, REPORT, SOURCES


def write_report(
    folder: Path,
    evaluation: Evaluation,
    *,
    title: str,
    subtitle: str = "",
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    curves: Sequence[Curve] = (),
    examples: Sequence[Example] = (),
    config_yaml: str = "",
) -> list[Path]:
    """Write `report.html`, which fetches nothing when it is opened, and its figures of scores as SVG in `figures`.

    The page appears whole or not at all, and an older one stays until then. Missing folders are made.

    Args:
        folder: of both.
        evaluation: the scores.
        title: heading.
        subtitle: the line below it.
        facts: (name, value) pairs: data, machine, seconds, command line, commit.
        notes: what a reader should know before quoting a number.
        curves: of training.
        examples: recordings taken apart.
        config_yaml: the resolved configuration.

    Returns:
        The files, the page first.

    Raises:
        UserError: the page cannot be written there.
    """
    settings, classes, breakdowns = setting_panels(evaluation), class_panel(evaluation), breakdown_panels(evaluation)
    source = evaluation.main_source
    confusion = confusion_view(source, evaluation.labels, evaluation.confusion(source)) if source != ORACLE else None
    ledger = ledger_view(evaluation.ledger, evaluation.ranking) if evaluation.ledger else None
    drawn_curves = [(curve, curve_figure(curve), _ends(curve)) for curve in curves]
    page = folder / REPORT
    write_page(
        page,
        "template.html",
        title=title,
        subtitle=subtitle,
        facts=facts,
        notes=[*notes, *_doubts(evaluation)],
        split=evaluation.split,
        ledger=ledger,
        headline=METRICS[evaluation.ranking],
        improvements=by_source(evaluation, evaluation.ranking),
        accuracies=by_source(evaluation, "label_accuracy"),
        metrics=metric_table(evaluation),
        intervals=any(interval(score) for score in evaluation.metrics.values()),
        settings=settings,
        classes=classes,
        breakdowns=breakdowns,
        confusion=confusion,
        examples=[example_view(example) for example in examples],
        separated=any(example.estimates for example in examples),
        curves=drawn_curves,
        config_yaml=config_yaml,
        meaning=SOURCES,
        constant=CONSTANT,
        fewest=FEWEST,
    )
    figures = {panel.title: panel.svg for panel in (classes, *breakdowns, *(p for s in settings for p in s["panels"]))}
    figures |= {curve.title: svg for curve, svg, _ in drawn_curves}
    figures["ledger"] = ledger["svg"] if ledger else None
    figures["confusion"] = confusion["svg"] if confusion else None
    files = [page]
    for name, svg in figures.items():
        if svg is not None:
            files.append(folder / "figures" / (re.sub(r"[^\w]+", "_", name) + ".svg"))
            files[-1].parent.mkdir(exist_ok=True)
            files[-1].write_bytes(svg)
    return files


def _doubts(evaluation: Evaluation) -> list[str]:
    """Label sources that are right no more often than one answer that is always the same."""
    accuracies = dict(by_source(evaluation, "label_accuracy"))
    floor = accuracies.pop(CONSTANT, None)
    return [
        f"The {source} labels are exactly right in {number(score.value, 1, '%')} of the recordings, no more often than "
        f"always the same answer would be ({number(floor.value, 1, '%')}): they say nothing of a recording yet."
        for source, score in accuracies.items()
        if floor is not None and score.value <= floor.value
    ]


def _ends(curve: Curve) -> list[tuple[str, str, str]]:
    """In words, where each line ends (its name, the value, the place): for those who do not see it, and to quote."""
    ends = []
    for name, (x, y) in curve.series.items():
        known = [(at, value) for at, value in zip(x, y, strict=True) if math.isfinite(value)]
        ends.append((name, number(known[-1][1]), f"{known[-1][0]:g}") if known else (name, MISSING, MISSING))
    return ends


def training_curves(name: str, history: Sequence[Mapping[str, str]], loss: str) -> list[Curve]:
    """The loss of a training, and what else validation measured, over steps.

    Args:
        name: of the network.
        history: rows of its log; training and validation have rows of their own, with other cells empty.
        loss: what the loss is, with its unit.
    """
    columns = sorted({column for row in history for column in row})
    prefix = "valid/label_accuracy@"
    accuracies = {f"≥ {column.removeprefix(prefix)}": column for column in columns if column.startswith(prefix)}
    curves = []
    for what, unit, lines in (
        ("loss", loss, {"training": "train/loss_epoch", "validation": "valid/loss"}),
        *(
            (f"validation {METRICS[ranking].title}", "dB", {SOURCES[BASELINE]: f"valid/{ranking}/{BASELINE}"})
            for ranking in RANKINGS
        ),
        ("validation label accuracy by threshold", "%", accuracies),
    ):
        series = {}
        for line, column in lines.items():
            points = [(float(row["step"]), float(row[column])) for row in history if row.get(column)]
            if points:
                series[line] = ([step for step, _ in points], [value for _, value in points])
        if series:
            curves.append(Curve(f"{name}: {what}", "step", unit, series))
    return curves
