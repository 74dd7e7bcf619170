"""Scores by class and by other groups of mixtures or sources: bars with intervals beside a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sedsep.evaluation.report.data import Breakdown, BreakdownRow, ClassRow, Measured
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.figures import bar_figure
from sedsep.evaluation.report.html import cell
from sedsep.evaluation.report.scores import METRICS, Table, cells, ordered

_SCORE = METRICS["ca_sdri"]


def class_view(rows: Sequence[ClassRow]) -> dict[str, Any] | None:
    """The table and figure of the classes; `None` without any."""
    if not rows:
        return None
    sources = _sources(row.ca_sdri for row in rows)
    named = any(row.recall is not None or row.precision is not None for row in rows)
    shares = [[cell(share, 1) for share in _shares(row).values() if named] for row in rows]
    scores = [cells(_improvements(row), sources, _SCORE.digits) for row in rows]
    figure = class_figure(rows)
    return {
        "table": Table(
            [*sources, *(_shares(rows[0]) if named else ())],
            [(row, [*s, *n]) for row, s, n in zip(rows, scores, shares, strict=True)],
        ),
        "scores": len(sources),
        "named": named,
        "unit": _SCORE.axis,
        "image": figure and svg_uri(figure),
        "shown": "CA-SDRi in dB by class and label source" if sources else "recall and precision in % by class",
    }


def class_figure(rows: Sequence[ClassRow]) -> bytes | None:
    """Improvement by class and label source as SVG, or how classes were named where nothing was separated; `None`
    where there is nothing to show."""
    unit, groups = _SCORE.axis, [_improvements(row) for row in rows]
    if not any(groups):
        unit = "%"
        groups = [_shares(row) for row in rows]
    if not any(_known(measured) for group in groups for measured in group.values()):
        return None
    return bar_figure([row.label for row in rows], _series(groups), unit)


def breakdown_view(breakdown: Breakdown) -> dict[str, Any]:
    """The table and figure of a break-down."""
    columns = _sources(row.values for row in breakdown.rows)
    figure = breakdown_figure(breakdown)
    return {
        "breakdown": breakdown,
        "table": Table(columns, [(row, cells(_measured(row), columns, 2)) for row in breakdown.rows]),
        "image": figure and svg_uri(figure),
    }


def breakdown_figure(breakdown: Breakdown) -> bytes | None:
    """A bar a group and label source as SVG; `None` where there is nothing to show."""
    groups = [_measured(row) for row in breakdown.rows]
    if not any(_known(measured) for group in groups for measured in group.values()):
        return None
    return bar_figure([row.name for row in breakdown.rows], _series(groups), breakdown.unit)


def _improvements(row: ClassRow) -> dict[str, Measured]:
    return {source: Measured(value, *row.intervals.get(source, ())) for source, value in row.ca_sdri.items()}


def _measured(row: BreakdownRow) -> dict[str, Measured]:
    return {source: Measured(*numbers) for source, numbers in row.values.items()}


def _series(groups: Sequence[Mapping[str, Measured]]) -> dict[str, list[Measured]]:
    """One number a group for each source, missing or not."""
    return {source: [group.get(source, Measured(None)) for group in groups] for source in _sources(groups)}


def _sources(groups: Iterable[Mapping[str, Any]]) -> list[str]:
    return ordered({source for group in groups for source in group})


def _shares(row: ClassRow) -> dict[str, Measured]:
    shares = {"Precision": row.precision, "Recall": row.recall}
    return {name: Measured(None if share is None else 100 * share) for name, share in shares.items()}


def _known(measured: Measured) -> bool:
    return measured.value is not None and math.isfinite(measured.value)
