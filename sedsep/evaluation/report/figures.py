"""Figures of scores: lines and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sedsep.evaluation.report.data import Curve, Measured
from sedsep.evaluation.report.drawing import INK, colours, drawn, legend, plain

LINE_STYLES = ("-", "--", "-.", ":")
# A curve drawn 500 pixels wide shows no more than this, and a long run logs a hundred times as much.
CURVE_POINTS = 1000
# An interval is drawn across the end of its bar, and seen there.
BAR = 0.75


@drawn
def curve_figure(curve: Curve) -> Figure:
    """Draw the lines of `curve`, at most `CURVE_POINTS` evenly chosen points of each, with their bounds."""
    figure, axes = plain(2.6)
    handles = []
    for index, (name, colour) in enumerate(colours(curve.series).items()):
        x, y = (np.asarray(values, float) for values in curve.series[name])
        step = -(-len(x) // CURVE_POINTS) or 1
        handles += axes.plot(
            x[::step],
            y[::step],
            color=colour,
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            # A short curve is a handful of measurements, and a single one has no line to see.
            marker="o" if len(x) <= 30 else None,
            markersize=3,
            linewidth=1.4,
        )
        if name in curve.bounds:
            low, high = (np.asarray(values, float) for values in curve.bounds[name])
            axes.vlines(x[::step], low[::step], high[::step], color=colour, linewidth=1, alpha=0.6)
    names = list(curve.series)
    if curve.mark is not None:
        place, why = curve.mark
        handles.append(axes.axvline(place, color=INK, linewidth=1, linestyle=(0, (1, 2))))
        names.append(why)
    if all(float(x).is_integer() for xs, _ in curve.series.values() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(curve.xlabel)
    axes.set_ylabel(curve.ylabel)
    axes.grid()
    legend(figure, handles, names)
    return figure


@drawn
def bar_figure(groups: Sequence[str], series: Mapping[str, Sequence[Measured]], unit: str) -> Figure:
    """Draw horizontal bars with their intervals: one group a class or band of levels, one bar in it a series.

    Args:
        groups: names, drawn from top to bottom.
        series: name to one number a group; `None` and NaN leave the place empty.
        unit: label of the value axis, e.g. `CA-SDRi (dB)`.
    """
    figure, axes = plain(0.75 + len(groups) * (0.1 + 0.13 * max(len(series), 1)))
    thickness = 0.78 / max(len(series), 1)
    handles = []
    for index, (name, colour) in enumerate(colours(series).items()):
        places = np.arange(len(groups)) - 0.39 + thickness * (index + 0.5)
        widths, lows, highs = np.array(series[name], float).T
        handles.append(axes.barh(places, widths, height=thickness * 0.9, color=colour, alpha=BAR))
        axes.hlines(places, lows, highs, color=INK, linewidth=0.9)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    legend(figure, handles, list(series))
    return figure
