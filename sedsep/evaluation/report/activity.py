"""When a recording's sounds were heard, as a figure that is kept beside them.

Axes: N classes, S frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sedsep.evaluation.report.data import FloatArray
from sedsep.evaluation.report.drawing import SERIES_COLOURS, WIDE, drawn, heat
from sedsep.evaluation.report.timelines import probability_bar, strip_key, timeline_labels

COLUMNS = 1200
"""Frames that are drawn at most; of more, each column shows the likeliest moment."""

IN_SECONDS = 120.0
"""Longer recordings have minutes on the time axis."""


@drawn
def activity_figure(
    activity: FloatArray,
    labels: Sequence[str],
    seconds: float,
    events: Sequence[tuple[str, float, float]],
    chosen: Sequence[str],
    most: int = 6,
) -> Figure:
    """Draw what a SED model heard: one strip a class, its events as bars under it.

    Args:
        activity: probabilities [N, S], 0 to 1. labels: their N names.
        seconds: length of the recording.
        events: (label, onset, offset in seconds).
        chosen: labels that are drawn first, in bold. most: rows to fill up to with the next likeliest classes.
    """
    rows = timeline_labels(activity, labels, chosen, [], most)
    figure = Figure(figsize=(1.5 * WIDE[0], 0.78 + 0.225 * max(len(rows), 2)), layout="constrained")
    axes = figure.add_subplot()
    strips, image = heat(SERIES_COLOURS[0]), None
    for row, label in enumerate(rows):
        strip = _columns(activity[list(labels).index(label)])[None]
        extent = (0, seconds, row + 0.18, row - 0.42)
        image = axes.imshow(strip, aspect="auto", extent=extent, cmap=strips, vmin=0, vmax=1, interpolation="none")
        spans = [(onset, offset - onset) for name, onset, offset in events if name == label]
        axes.broken_barh(spans, (row + 0.23, 0.16), color=SERIES_COLOURS[1])
    axes.set_xlim(0, seconds)
    axes.set_ylim(len(rows) - 0.5, -0.65)
    for tick, label in zip(axes.set_yticks(range(len(rows)), rows), rows, strict=True):
        tick.label1.set_fontweight("bold" if label in chosen else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Time (s)" if seconds <= IN_SECONDS else "Time (min:s)", labelpad=1)
    if seconds > IN_SECONDS:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 60:.0f}:{at % 60:02.0f}"))
        axes.locator_params(axis="x", steps=[1, 1.2, 3, 6, 10])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    assert image is not None  # there is a class at least
    probability_bar(figure, axes, image)
    strip_key(figure, "heard", "event")
    return figure


def _columns(curve: FloatArray) -> FloatArray:
    """The largest of each of at most `COLUMNS` stretches."""
    if len(curve) <= COLUMNS:
        return curve
    return np.maximum.reduceat(curve, np.arange(COLUMNS) * len(curve) // COLUMNS)
