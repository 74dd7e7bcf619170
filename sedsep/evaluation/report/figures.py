"""Figures of scores: lines, bars, and a heat map of which class was named for which.

Axes: N classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sedsep.evaluation.ledger import Ledger
from sedsep.evaluation.report.drawing import INK, SERIES_COLOURS, as_svg, colours, legend, plain
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import CEILING, LEDGER, REFERENCES

LINE_STYLES, MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "D")
# A curve drawn 500 pixels wide shows no more than this, and a long run logs a hundred times as much.
CURVE_POINTS = 1000
# An interval is drawn across the end of its bar, and seen there.
BAR = 0.75

RIGHT, WRONG = SERIES_COLOURS[:2]
# Beyond this opacity a cell's number, in the colour of the page's text, cannot be read in light and dark mode alike.
FAINTEST, DEEPEST = 0.12, 0.6
EMPTY = to_rgba(INK, 0.05)
GAP = 0.25
"""Between the classes and what is none, in cells."""

NAME_LENGTH = 28
"""Letters of a class name that a heat map shows at most."""


@dataclass(frozen=True)
class Curve:
    """Lines that share two axes.

    Attributes:
        title: heading.
        xlabel: name of the horizontal axis, with its unit.
        ylabel: name of the vertical axis, with its unit.
        series: name of a line to its (x, y) values, equally many of each; NaN leaves a gap.
        bounds: name of a line to the (lower, upper) bounds of its y values, as far as they are known.
        mark: an x value to point out, and why.
        share: whether y values are shares in %, drawn from 0 to 100 wherever they lie.
    """

    title: str
    xlabel: str
    ylabel: str
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    bounds: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    mark: tuple[float, str] | None = None
    share: bool = False


@as_svg
def curve_figure(curve: Curve) -> Figure:
    """Draw the lines of `curve`, at most `CURVE_POINTS` evenly chosen points of each, with their bounds."""
    figure, axes = plain(2.6)
    handles = []
    for index, (name, colour) in enumerate(colours(curve.series).items()):
        x, y = (np.asarray(values, float) for values in curve.series[name])
        # Lines that lie on one another: the later ones are thinner, their markers smaller, and the earlier show beside.
        weight = min(len(curve.series) - index - 1, 2)
        step = -(-len(x) // CURVE_POINTS) or 1
        handles += axes.plot(
            x[::step],
            y[::step],
            color=colour,
            # Two measurements say nothing of the way between them.
            linestyle=LINE_STYLES[index % len(LINE_STYLES)] if len(x) > 2 else "none",
            # A short curve is a handful of measurements, and a single one has no line to see.
            marker=MARKERS[index % len(MARKERS)] if len(x) <= 30 else None,
            markersize=3 + 2 * weight,
            linewidth=1.4 + 1.2 * weight,
            alpha=1 - 0.2 * weight,
        )
        if name in curve.bounds:
            low, high = (np.asarray(values, float) for values in curve.bounds[name])
            bars = axes.vlines(x[::step], low[::step], high[::step], color=colour, linewidth=1 + 1.5 * weight)
            bars.set_alpha(0.6 - 0.15 * weight)
    names = list(curve.series)
    if curve.mark is not None:
        place, why = curve.mark
        handles.append(axes.axvline(place, color=INK, linewidth=1, linestyle=(0, (1, 2))))
        names.append(why)
    if all(float(x).is_integer() for xs, _ in curve.series.values() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if curve.share:
        axes.set_ylim(-4, 104)
    axes.set_xlabel(curve.xlabel)
    axes.set_ylabel(curve.ylabel)
    axes.grid()
    legend(figure, handles, names)
    return figure


@as_svg
def bar_figure(groups: Mapping[str, Mapping[str, Estimate]], series: Sequence[str], unit: str) -> Figure:
    """Draw horizontal bars with their intervals: one group a class or band of levels, one bar in it a series.

    Args:
        groups: name to the group's scores by series, from top to bottom; what is missing or NaN leaves its place empty.
        series: names of the bars in each group.
        unit: label of the value axis, e.g. `CA-SDRi (dB)`.
    """
    figure, axes = plain(0.75 + len(groups) * (0.1 + 0.13 * len(series)))
    thickness = 0.78 / len(series)
    handles = []
    missing = Estimate(np.nan, np.nan, np.nan, 0)
    for index, (name, colour) in enumerate(colours(series).items()):
        places = np.arange(len(groups)) - 0.39 + thickness * (index + 0.5)
        scores = [group.get(name, missing) for group in groups.values()]
        widths, lows, highs = np.array([(score.value, score.low, score.high) for score in scores]).T
        handles.append(axes.barh(places, widths, height=thickness * 0.9, color=colour, alpha=BAR))
        axes.hlines(places, lows, highs, color=INK, linewidth=0.9)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    legend(figure, handles, list(series))
    return figure


@as_svg
def waterfall_figure(ledger: Ledger) -> Figure:
    """Draw the way from a score to its ceiling: each part a bar from where the one before it ends, with the interval of
    its length; what else knows the truth as lines."""
    overall = ledger.overall
    bars, reached = [("Score", 0.0, overall.score)], overall.score.value
    for part, lost in overall.lost.items():
        bars.append((LEDGER[part].title, reached, lost))
        reached += lost.value
    bars.append((CEILING.title, 0.0, overall.ceiling))
    figure, axes = plain(0.75 + 0.26 * len(bars))
    blue, orange, green, *_ = SERIES_COLOURS
    for place, (_, start, one) in enumerate(bars):
        whole = place in (0, len(bars) - 1)
        colour = blue if whole else orange if one.value >= 0 else green
        axes.barh(place, one.value, left=start, height=0.7, color=colour, alpha=BAR)
        axes.hlines(place, start + one.low, start + one.high, color=INK, linewidth=0.9)
    for style, (name, score) in zip(LINE_STYLES[1:], ledger.references.items(), strict=False):
        axes.axvline(score.value, color=INK, linewidth=0.9, linestyle=style, label=REFERENCES[name].title)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("dB")
    axes.grid(axis="x")
    legend(figure, *axes.get_legend_handles_labels())
    return figure


@as_svg
def confusion_figure(labels: Sequence[str], counts: NDArray[np.float64]) -> Figure:
    """Draw a heat map: a row a true class, a column a named class, a number where something was counted.

    What is right and what is wrong have a colour each, deeper with the share of the true class's events; what was
    named although nothing more sounded is set against a class of average size.

    Args:
        labels: names of the N classes.
        counts: [N + 1, N + 1], as `Evaluation.confusion` gives them.
    """
    names = [label if len(label) <= NAME_LENGTH else f"{label[: NAME_LENGTH - 1].rstrip()}…" for label in labels]
    rows, columns = [*names, "nothing more"], [*names, "missed"]
    places = np.arange(len(rows)) + GAP * (np.arange(len(rows)) == len(names))
    side = min(0.6, max(0.33, 2.4 / len(rows)))  # inches; a cell holds five figures
    extent = side * (len(rows) + GAP)
    # Letters take some 5.2 points, the names of the axes 20.
    left, top = ((20 + 5.2 * max(map(len, names_))) / 72 for names_ in (rows, columns))
    width, height = left + extent, top + extent
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, 0, extent / width, extent / height))
    events = counts[:-1].sum(1)
    sizes = np.append(events, events.mean())[:, None]
    shares = np.minimum(np.divide(counts, sizes, out=np.zeros_like(counts), where=sizes > 0), 1)
    squares, fills = [], []
    for row, column in list(np.ndindex(*shares.shape))[:-1]:  # the last is neither there nor named
        x, y = places[column], places[row]
        squares.append([(x - 0.47, y - 0.47), (x + 0.47, y - 0.47), (x + 0.47, y + 0.47), (x - 0.47, y + 0.47)])
        # Confusions are rare beside what is right: the root lets them differ to the eye.
        depth = FAINTEST + (DEEPEST - FAINTEST) * float(shares[row, column]) ** 0.5
        fills.append(to_rgba(RIGHT if row == column else WRONG, depth) if shares[row, column] > 0 else EMPTY)
    axes.add_collection(PolyCollection(squares, facecolors=fills, linewidths=0))
    for row, column in np.argwhere(counts >= 0.05):
        text = brief(float(counts[row, column]))
        axes.text(places[column], places[row], text, ha="center", va="center", fontsize=7.5)
    axes.set_xticks(places, columns, rotation=90)
    axes.set_yticks(places, rows)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("Named")
    axes.set_ylabel("True")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, len(names) + 0.5 + GAP)
    axes.set_ylim(len(names) + 0.5 + GAP, -0.5)
    return figure


def brief(count: float) -> str:
    """A count of events for a reader: whole where it is whole, or large; five figures at most."""
    if count >= 99_999.5:
        return f"{count / 1000:.0f}k"
    return f"{count:.0f}" if count >= 100 or abs(count - round(count)) < 0.05 else f"{count:.1f}"
