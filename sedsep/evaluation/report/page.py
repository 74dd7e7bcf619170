"""From a `Report` to one HTML file that holds everything it shows."""

from __future__ import annotations

import math
import re
from pathlib import Path

from sedsep.evaluation.report.clips import PEAK, ROUNDING_DB
from sedsep.evaluation.report.confusion import confusion_figure, confusion_view
from sedsep.evaluation.report.data import Curve, Report
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.examples import example_view, origins_of
from sedsep.evaluation.report.figures import curve_figure
from sedsep.evaluation.report.groups import breakdown_figure, breakdown_view, class_figure, class_view
from sedsep.evaluation.report.html import MISSING, fill, number, write_page
from sedsep.evaluation.report.scores import CONSTANT, SOURCES, headline, metric_tables
from sedsep.evaluation.report.settings import PASSES, THRESHOLD, swept


def write_report(path: Path, report: Report) -> None:
    """Write `report` as one self-contained HTML page; nothing is fetched when it is opened.

    The file appears whole or not at all, and an older one stays until then. Missing folders are made.

    Args:
        path: the HTML file.
        report: what to show.

    Raises:
        UserError: the file cannot be written there.
    """
    write_page(path, render(report))


def render(report: Report) -> str:
    """The page of `report` as HTML text."""
    tables, origins = metric_tables(report), origins_of(report.examples)
    return fill(
        "template.html",
        page=report,
        headline=headline(report),
        tables=tables,
        intervals=any(table.measured for _, table in tables),
        settings=[(setting, found) for setting in (THRESHOLD, PASSES) if (found := swept(report, setting))],
        classes=class_view(report.per_class),
        breakdowns=[breakdown_view(breakdown) for breakdown in report.breakdowns if breakdown.rows],
        confusion=confusion_view(report.confusion),
        origins=origins,
        examples=[example_view(example, origins) for example in report.examples],
        curves=[_curve_view(curve) for curve in report.curves if curve.series],
        sources=SOURCES,
        constant=CONSTANT,
        peak=PEAK,
        rounding_db=ROUNDING_DB,
    )


def charts(report: Report) -> dict[str, bytes]:
    """The figures of scores as SVG files by name, for those who keep pictures apart from the page."""
    curves = [s.curve for setting in (THRESHOLD, PASSES) for s in swept(report, setting)] + list(report.curves)
    drawn = {_name(curve.title): curve_figure(curve) for curve in curves}
    groups = {_name(breakdown.title): breakdown_figure(breakdown) for breakdown in report.breakdowns}
    groups["by_class"] = class_figure(report.per_class)
    groups["confusion"] = confusion_figure(report.confusion) if report.confusion else None
    return drawn | {name: figure for name, figure in groups.items() if figure is not None}


def _name(title: str) -> str:
    return re.sub(r"[^\w]+", "_", title)


def _curve_view(curve: Curve) -> dict:
    """A curve's figure and, in words, where each line ends: for those who do not see it, and to quote."""
    ends = []
    for name, (x, y) in curve.series.items():
        known = [(a, b) for a, b in zip(x, y, strict=True) if b is not None and math.isfinite(b)]
        ends.append((name, number(known[-1][1]), f"{known[-1][0]:g}") if known else (name, MISSING, MISSING))
    return {"curve": curve, "image": svg_uri(curve_figure(curve)), "ends": ends}
