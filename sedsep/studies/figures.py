"""Figures of studies, as SVG in the style of the reports: own means, and hollow what is published."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sedsep.evaluation.report.drawing import SERIES_COLOURS, as_svg, colours
from sedsep.studies.study import Study

LINE_STYLES = ("--", "-", "-.", ":")
SCORES, EFFECTS = ("mean", "deviation", "published"), ("effect", "effect_deviation", "published_effect")
PUBLISHED = {"marker": "D", "markerfacecolor": "none", "markersize": 5, "linestyle": "none"}


@as_svg
def dots(study: Study, summary: pd.DataFrame, comparable: bool) -> Figure:
    """Each row's score in each column with its deviation, and what sets it apart from the reference."""
    figure = Figure(figsize=(9.0, 0.9 + 0.42 * len(study.rows)), layout="constrained")
    scores, effects = figure.subplots(1, 2, sharey=True)
    for number, (column, colour) in enumerate(colours(study.columns).items()):
        table = summary.xs(column, level="column").reindex([row.name for row in study.rows])
        places = np.arange(len(table)) + 0.22 * (number - (len(study.columns) - 1) / 2)
        for axes, (mean, deviation, published) in ((scores, SCORES), (effects, EFFECTS)):
            own = {"fmt": "o", "color": colour, "markersize": 5, "elinewidth": 1.4}
            axes.errorbar(table[mean], places, xerr=table[deviation], **own)
            if comparable or axes is effects:
                axes.plot(table[published], places, color=colour, **PUBLISHED)
        scores.plot([], [], "o", color=colour, markersize=5, label=column)
    effects.axvline(0, color="0.5", linewidth=0.8)
    scores.set_yticks(range(len(study.rows)), [row.title for row in study.rows])
    scores.set_ylim(len(study.rows) - 0.5, -0.5)
    scores.set_xlabel(study.quantity)
    effects.set_xlabel(f"{study.quantity}, against {study.reference_row.title}")
    for axes in (scores, effects):
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        for place in range(1, len(study.rows)):
            axes.axhline(place - 0.5, color="0.5", alpha=0.25, linewidth=0.6)
    scores.plot([], [], color="0.5", label="published", **PUBLISHED)
    figure.legend(title=study.by, loc="outside upper left", alignment="left", ncols=4, borderpad=0)
    return figure


@as_svg
def curves(study: Study, summary: pd.DataFrame, comparable: bool) -> Figure:
    """The same for columns that are numbers, as lines with bands; a row with a single column is a level line."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    scores, effects = figure.subplots(1, 2)
    span = [int(study.columns[0]), int(study.columns[-1])]
    for row, colour, style in zip(study.rows, cycle(SERIES_COLOURS), cycle(LINE_STYLES), strict=False):
        table = summary.loc[row.name].loc[list(row.columns)]
        line = {"color": colour, "linestyle": style, "linewidth": 1.4, "label": row.title}
        for axes, (mean, deviation, published) in ((scores, SCORES), (effects, EFFECTS)):
            own = table.dropna(subset=[mean])
            x = own.index.astype(int)
            if len(row.columns) == 1:
                own, x = own.loc[own.index.repeat(2)], span[: 2 * len(own)]
            band = own[deviation].fillna(0)
            axes.plot(x, own[mean], marker="" if len(row.columns) == 1 else "o", markersize=3, **line)
            axes.fill_between(x, own[mean] - band, own[mean] + band, color=colour, alpha=0.15, linewidth=0)
            if comparable or axes is effects:
                axes.plot(table.index.astype(int), table[published], color=colour, **PUBLISHED)
    effects.axhline(0, color=SERIES_COLOURS[study.rows.index(study.reference_row)], linestyle=LINE_STYLES[0])
    scores.plot([], [], color="0.5", label="published", **PUBLISHED)
    scores.set_ylabel(study.quantity)
    effects.set_ylabel(f"against {study.reference_row.title}")
    for axes in (scores, effects):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(study.by)
        axes.grid()
        axes.set_axisbelow(True)
    figure.legend(*scores.get_legend_handles_labels(), loc="outside upper left", ncols=5, borderpad=0)
    return figure
