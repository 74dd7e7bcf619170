"""Figures of studies, as SVG in the style of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sedsep.evaluation.report.drawing import SERIES_COLOURS, as_svg, colours
from sedsep.studies.results import Results, Score

LINE_STYLES = ("--", "-", "-.", ":")


@as_svg
def dots(results: Results) -> Figure:
    """Each row's score in each column, and what sets it apart from the reference; hollow where it is published."""
    study = results.study
    reference = study.reference_row.title
    figure = Figure(figsize=(9.0, 0.9 + 0.42 * len(study.rows)), layout="constrained")
    scores, effects = figure.subplots(1, 2, sharey=True)
    palette = colours(study.columns)
    for number, (column, colour) in enumerate(palette.items()):
        shift = 0.22 * (number - (len(study.columns) - 1) / 2)
        for place, row in enumerate(study.rows):
            known = study.published.get((row.experiment, column)) if results.comparable else None
            _dot(scores, colour, place + shift, results.score(row, column), known and known[0])
            known_effect = study.published_effect(row.experiment, column)
            if row.experiment != study.reference:
                _dot(effects, colour, place + shift, results.effect(row, column), known_effect)
    effects.axvline(0, color="0.5", linewidth=0.8)
    scores.set_yticks(range(len(study.rows)), [row.title for row in study.rows])
    scores.set_ylim(len(study.rows) - 0.5, -0.5)
    scores.set_xlabel(study.quantity)
    effects.set_xlabel(f"{study.quantity}, against {reference}")
    for axes in (scores, effects):
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        for place in range(1, len(study.rows)):
            axes.axhline(place - 0.5, color="0.5", alpha=0.25, linewidth=0.6)
    for column, colour in palette.items():
        scores.plot([], [], "o", color=colour, markersize=5, label=column)
    scores.plot([], [], "D", markerfacecolor="none", color="0.5", markersize=5, label="published")
    figure.legend(title=study.by, loc="outside upper left", alignment="left", ncols=4, borderpad=0)
    return figure


def _dot(axes: Axes, colour: str, place: float, own: Score | None, published: float | None) -> None:
    """A mean with its deviation, and the published mean."""
    if own:
        axes.errorbar(own.mean, place, xerr=own.deviation, fmt="o", color=colour, markersize=5, elinewidth=1.4)
    if published is not None:
        axes.plot(published, place, "D", markerfacecolor="none", color=colour, markersize=5)


@as_svg
def curves(results: Results) -> Figure:
    """The same for columns that are numbers, as lines with bands; a row with a single column is a level line."""
    study = results.study
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    scores, effects = figure.subplots(1, 2)
    span = [int(study.columns[0]), int(study.columns[-1])]
    for row, colour, style in zip(study.rows, cycle(SERIES_COLOURS), cycle(LINE_STYLES), strict=False):
        where = span if len(row.columns) == 1 else None
        known = {
            c: study.published[row.experiment, c][0] for c in row.columns if (row.experiment, c) in study.published
        }
        known_effects = {c: study.published_effect(row.experiment, c) for c in known if row != study.reference_row}
        own = {c: results.score(row, c) for c in row.columns}
        _line(scores, own, known if results.comparable else {}, where, colour, style, row.title)
        _line(effects, {c: results.effect(row, c) for c in row.columns}, known_effects, where, colour, style)
    effects.axhline(0, color=SERIES_COLOURS[study.rows.index(study.reference_row)], linestyle=LINE_STYLES[0])
    scores.plot([], [], "D", markerfacecolor="none", color="0.5", markersize=5, label="published")
    scores.set_ylabel(study.quantity)
    effects.set_ylabel(f"against {study.reference_row.title}")
    for axes in (scores, effects):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(study.by)
        axes.grid()
        axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=5, borderpad=0)
    return figure


def _line(
    axes: Axes,
    own: Mapping[str, Score | None],
    published: Mapping[str, float | None],
    where: Sequence[int] | None,
    colour: str,
    style: str,
    label: str | None = None,
) -> None:
    """Means with a band as wide as the deviation, and published means; a single one all along `where`."""
    found = [(place, value) for column, value in own.items() if value for place in where or [int(column)]]
    x, mean = [place for place, _ in found], np.array([value.mean for _, value in found])
    deviation = np.array([value.deviation or 0.0 for _, value in found])
    marker = "" if where else "o"
    axes.plot(x, mean, color=colour, linestyle=style, marker=marker, markersize=3, linewidth=1.4, label=label)
    axes.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    known = {int(column): value for column, value in published.items() if value is not None}
    axes.plot([*known], [*known.values()], "D", markerfacecolor="none", color=colour, markersize=5)
