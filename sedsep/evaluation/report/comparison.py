"""The page of a comparison: differences with their intervals, and the mixtures that differ most side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sedsep.evaluation.comparison import Change, Comparison
from sedsep.evaluation.report.examples import Example, example_view
from sedsep.evaluation.report.figures import bar_figure
from sedsep.evaluation.report.html import number, write_page
from sedsep.metrics.bootstrap import FEWEST
from sedsep.metrics.registry import METRICS, Metric, ordered_metrics

TABLES = {"class": ("Classes", "Class"), "sources": ("Number of sources", "Sources"), "level": ("Level", "SNR")}
"""What metrics are broken down by: headings of its section and of its first column."""
SHOWN = 20
"""Mixtures of the table of those that differ most."""


def write_comparison(
    path: Path,
    comparison: Comparison,
    *,
    title: str,
    subtitle: str = "",
    facts: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    examples: Sequence[Example] = (),
) -> None:
    """Write a comparison as one self-contained HTML page; nothing is fetched when it is opened.

    Args:
        path: the HTML file.
        comparison: of systems.
        title: heading.
        subtitle: the line below it.
        facts: (name, value) pairs on how it was made.
        notes: what a reader should know before quoting a number.
        examples: mixtures that differ, with estimates by the systems' letters.

    Raises:
        UserError: the file cannot be written there.
    """
    own, *others = comparison.label_sources
    changes = {labels: [c for c in comparison.changes if c.labels == labels] for labels in comparison.label_sources}
    metric = comparison.ranked_by
    write_page(
        path,
        "comparison.html",
        title=title,
        subtitle=subtitle,
        facts=facts,
        notes=notes,
        systems=sorted(zip(comparison.systems, comparison.places, strict=True), key=lambda pair: pair[1].rank),
        others=[system.letter for system in comparison.systems[1:]],
        metric=metric,
        labels=dict(zip((s.letter for s in comparison.systems), comparison.label_sources[own], strict=True)),
        verdicts=[_verdict(c, metric) for c in comparison.main_changes if c.score.metric == metric.name],
        main=_metric_rows(comparison.main_changes, metric.name),
        further={labels: _metric_rows(_plain(changes[labels]), metric.name) for labels in others},
        breakdowns=[table for name in TABLES if (table := _breakdown(name, changes[own]))],
        mixtures=len(comparison.systems[0].evaluation.mixtures),
        contrasts=[contrast for contrast in comparison.contrasts[:SHOWN] if contrast.spread > 0],
        apart=METRICS[metric.name if comparison.separated else "source_accuracy"],
        examples=[example_view(example, "by {}") for example in examples],
        fewest=FEWEST,
    )


def _verdict(change: Change, metric: Metric) -> dict[str, str]:
    """In words, whether a system is better than A in what ranks them."""
    one, unit = change.difference, metric.unit
    if one.low > 0 or one.high < 0:
        says = f"{change.system} is {'better' if (one.low > 0) == metric.higher_is_better else 'worse'} than A"
    else:
        says = f"{change.system} and A " + ("are the same" if one.low == one.high == 0 else "cannot be told apart")
    return {"says": says, "difference": signed(one.value, metric.digits, unit), "better": _percent(change.better)}


def signed(value: float, digits: int, unit: str = "") -> str:
    """A difference for a reader: with its sign, unless it is exactly zero or rounds to it."""
    text = number(value, digits, unit)
    return f"+{text}" if value > 0 and float(f"{value:.{digits}f}") else text


def _percent(share: float) -> str:
    """A probability: what is not certain does not look so."""
    if math.isnan(share):
        return number(None)
    if share in (0, 1) or 0.01 <= share <= 0.99:
        return number(100 * share, 0, "%")
    return "< 1\u00a0%" if share < 0.5 else "> 99\u00a0%"


def _plain(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.table == "all" and change.score.setting is None]


def _metric_rows(changes: Sequence[Change], first: str) -> list[dict[str, Any]]:
    """A row a metric, the one that systems are ranked by before all others."""
    order = [metric.name for metric in ordered_metrics(first)]
    by_metric = {name: _cells([c for c in changes if c.score.metric == name]) for name in order}
    return [{"metric": METRICS[name], "cells": cells} for name, cells in by_metric.items() if cells]


def _cells(changes: Sequence[Change]) -> dict[str, dict[str, Any]]:
    """By system, what stands beside A's value."""
    return {
        change.system: {
            "one": change.difference,
            "difference": signed(change.difference.value, change.metric.digits),
            "better": _percent(change.better),
        }
        for change in changes
    }


def _breakdown(table: str, changes: Sequence[Change]) -> dict[str, Any] | None:
    """A table of differences with a figure of them; `None` where there are none."""
    those = [change for change in changes if change.table == table]
    if not those:
        return None
    parts = {part: [c for c in those if c.part == part] for part in dict.fromkeys(c.part for c in those)}
    series = [f"{system} \u2212 A" for system in dict.fromkeys(change.system for change in those)]
    groups = {part: {f"{change.system} \u2212 A": change.difference for change in some} for part, some in parts.items()}
    title, head = TABLES[table]
    axis = those[0].metric.axis
    known = any(math.isfinite(change.difference.value) for change in those)
    return {
        "name": table,
        "title": title,
        "head": head,
        "axis": axis,
        "digits": those[0].metric.digits,
        "svg": bar_figure(groups, series, f"{' , '.join(series)}: {axis}") if known else None,
        "rows": [(part, some[0].difference.count, _cells(some)) for part, some in parts.items()],
    }
