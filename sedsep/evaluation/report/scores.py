"""What a page tells of an evaluation's scores: tables, with figures beside them.

Axes: N classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sedsep.evaluation.report.figures import Curve, bar_figure, brief, confusion_figure, curve_figure
from sedsep.evaluation.report.html import number
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import CONSTANT, GROUPS, METRICS, ORACLE, Metric, ordered_metrics, ordered_sources
from sedsep.metrics.rows import band_name

WORST = 5
"""Confusions that are told in words."""

SHARES = ("Precision", "Recall")
Key = TypeVar("Key")
Scores = Mapping[str, Estimate]
"""A metric's values by label source."""


@dataclass(frozen=True)
class Panel:
    """A table, and a figure that shows the same.

    Attributes:
        title: heading.
        axis: the quantity with its unit.
        head: heading of the first column.
        columns: headings of the numbers, label sources for the most part.
        rows: (name, what stands beside it, numbers by column), in the order they are shown.
        svg: the figure; `None` where there is nothing to draw.
        digits: decimals of the numbers.
    """

    title: str
    axis: str
    head: str
    columns: Sequence[str]
    rows: Sequence[tuple[Any, Any, Scores]]
    svg: bytes | None = None
    digits: int = 2


SETTINGS = {
    "threshold": (
        "Thresholds",
        "in use",
        "A class is named where the tagger's probability reaches the threshold: a low one invents events, a high one "
        "misses them.",
    ),
    "passes": (
        "Refinement",
        "as trained",
        "Each pass of refinement hands the separator its last estimate to improve on.",
    ),
}
"""What scores were taken at several values of: its section, what the job's own value is called, and a lead."""


def by_source(evaluation: Evaluation, metric: str, setting: float | str | None = None) -> Scores:
    """A metric at the job's own setting or another one, or of a group of mixtures, as far as label sources have it, in
    the order of the page."""
    scores = {s: evaluation.score(metric, s, setting) for s in ordered_sources({*evaluation.sources, CONSTANT})}
    return {source: score for source, score in scores.items() if score is not None}


def metric_table(evaluation: Evaluation) -> Panel:
    """A row a metric at the job's own setting, a column a label source."""
    metrics = ordered_metrics(evaluation.ranking)
    rows = [(metric, "", scores) for metric in metrics if (scores := by_source(evaluation, metric.name))]
    columns = ordered_sources({source for _, _, scores in rows for source in scores})
    return Panel(f"Metrics, {evaluation.split} split", "", "Metric", columns, rows)


def setting_panels(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Sections on the metrics that were taken at several thresholds, or numbers of refinement passes."""
    sections = []
    for setting, (title, own_name, meaning) in SETTINGS.items():
        threshold = setting == "threshold"
        own = evaluation.rule.threshold if threshold else evaluation.passes
        if threshold and evaluation.labelling:
            own = None  # no threshold chose the labels
        panels = []
        for metric in (metric for metric in ordered_metrics(evaluation.ranking) if metric.setting == setting):
            places = evaluation.thresholds if threshold else evaluation.all_passes
            values = {at: scores for at in places if (scores := by_source(evaluation, metric.name, at))}
            if values and own is not None and own not in values:
                # The job's own setting bears the plain name; what no setting moves, such as the truth, is left out.
                moved = {source for scores in values.values() for source in scores}
                plain = by_source(evaluation, metric.name)
                values[own] = {source: score for source, score in plain.items() if source in moved}
            if values:
                panels.append(_setting_panel(metric, dict(sorted(values.items())), own, own_name))
        if panels:
            sections.append({"name": setting, "title": title, "meaning": meaning, "panels": panels})
    return sections


def _setting_panel(metric: Metric, values: Mapping[float, Scores], own: float | None, own_name: str) -> Panel:
    sources = ordered_sources({source for scores in values.values() for source in scores})
    series, bounds = {}, {}
    for source in sources:
        line = {at: scores[source] for at, scores in values.items() if source in scores}
        series[source] = (list(line), [score.value for score in line.values()])
        bounds[source] = ([score.low for score in line.values()], [score.high for score in line.values()])
    title, name = f"{metric.title} by {metric.setting}", str(metric.setting).capitalize()
    mark = None if own is None else (own, f"{own:g} {own_name}")
    figure = curve_figure(Curve(title, name, metric.axis, series, bounds, mark))
    rows = [(f"{at:g}", own_name if at == own else "", scores) for at, scores in values.items()]
    return Panel(title, metric.axis, name, sources, rows, figure, metric.digits)


def class_panel(evaluation: Evaluation) -> Panel:
    """Improvement by class and label source, with precision and recall in % of the labels that a user has.

    The figure shows the improvement, or precision and recall where nothing was separated.
    """
    tables = evaluation.by_class if evaluation.separated else {}
    confusion = None if evaluation.main_source == ORACLE else evaluation.confusion(evaluation.main_source)
    rows = []
    for index, label in enumerate(evaluation.labels):
        count = sum(mixture.rows[0].true.count(label) for mixture in evaluation.mixtures)
        scores = {source: table[label] for source, table in tables.items() if label in table}
        if confusion is not None:
            for name, total in (("Precision", confusion[:, index].sum()), ("Recall", count)):
                if total:
                    scores[name] = Estimate(100 * confusion[index, index] / total, math.nan, math.nan, round(total))
        rows.append((label, count, scores))
    named = SHARES if any(name in scores for _, _, scores in rows for name in SHARES) else ()
    axis = METRICS[evaluation.ranking].axis if tables else "%"
    sources = ordered_sources(tables)
    return Panel("by_class", axis, "Class", [*sources, *named], rows, _bars(rows, sources or named, axis))


def breakdown_panels(evaluation: Evaluation) -> list[Panel]:
    """Scores by what a mixture holds (where they are those of 2026), by the number of its sources and, of sounds, by
    their level in it."""
    panels = []
    for metric in ordered_metrics(evaluation.ranking):
        rows = {what: by_source(evaluation, metric.name, group) for group, what in GROUPS.items()}
        panels.append(_breakdown(f"{metric.title} by what sounds", metric.axis, "What sounds", rows, metric.digits))
    metric = METRICS[evaluation.ranking if evaluation.separated else "label_accuracy"]
    title = f"{metric.title} by number of sources"
    rows = _by_row(evaluation.by_count, lambda count: f"{count} source{'s' * (count != 1)}")
    panels.append(_breakdown(title, metric.axis, "Sources", rows, metric.digits))
    if evaluation.separated:
        title = "Improvement by level of the source beside all else"
        panels.append(
            _breakdown(title, "Improvement (dB)", "SNR in the mixture", _by_row(evaluation.by_level, band_name))
        )
    return [panel for panel in panels if panel.rows]


def _by_row(tables: Mapping[str, Mapping[Key, Estimate]], name: Callable[[Key], str]) -> dict[str, Scores]:
    """What label sources have a table of, row by row."""
    return {
        name(key): {source: table[key] for source, table in tables.items() if table[key].count}
        for key in next(iter(tables.values()))
    }


def _breakdown(title: str, axis: str, head: str, scores: Mapping[str, Scores], digits: int = 2) -> Panel:
    rows = [(name, max(score.count for score in row.values()), row) for name, row in scores.items() if row]
    sources = ordered_sources({source for _, _, row in rows for source in row})
    return Panel(title, axis, head, sources, rows, _bars(rows, sources, axis), digits)


def _bars(rows: Sequence[tuple[str, Any, Scores]], columns: Sequence[str], axis: str) -> bytes | None:
    """A bar a row and column, where there is any."""
    known = (score.value for _, _, scores in rows for column, score in scores.items() if column in columns)
    groups = {name: scores for name, _, scores in rows}
    return bar_figure(groups, columns, axis) if any(map(math.isfinite, known)) else None


def confusion_view(source: str, labels: Sequence[str], counts: NDArray[np.float64]) -> dict[str, Any] | None:
    """What the page says of a label source's answers; `None` where there are none to count.

    Args:
        source: the label source.
        labels: names of the N classes.
        counts: [N + 1, N + 1], as `Evaluation.confusion` gives them.
    """
    if not counts.any():
        return None
    inner = counts[:-1, :-1]
    events, right = counts[:-1].sum(), np.trace(inner)
    wrong = inner * (1 - np.eye(len(labels)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    worst = [divmod(int(place), len(labels)) for place in order if wrong.flat[place] > 0]
    return {
        "source": source,
        "svg": confusion_figure(labels, counts),
        "events": brief(events),
        "right": brief(right),
        "share": number(100 * right / events if events else None, 1, "%"),
        "other": brief(inner.sum() - right),
        "missed": brief(counts[:-1, -1].sum()),
        "invented": brief(counts[-1, :-1].sum()),
        "shared": not np.array_equal(counts, counts.round()),
        "worst": [
            {
                "true": labels[row],
                "named": labels[column],
                "count": brief(wrong[row, column]),
                "events": brief(counts[row].sum()),
                "share": number(100 * wrong[row, column] / counts[row].sum(), 0, "%"),
            }
            for row, column in worst
        ],
    }
