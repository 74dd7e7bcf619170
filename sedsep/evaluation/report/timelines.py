"""When which sound is heard, within one recording.

Axes: N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from sedsep.evaluation.report.drawing import SERIES_COLOURS, WIDE, as_svg, heat, tidy
from sedsep.types import FloatArray

ROLES = ("target", "interference", "background")
"""What a sound is to a scene; each has a colour of its own."""

ROWS = 6
"""Classes that are drawn at least, where there are so many."""

COLUMNS = 1200
"""Frames of a recording's activity that are drawn at most; of more, each column shows the likeliest moment."""

IN_SECONDS = 120.0
"""Longer recordings have minutes on the time axis of their activity."""

Spans = Sequence[tuple[str, float, float]]
"""(label, onset, offset in seconds) of each event."""


@as_svg
def timeline_figure(
    probabilities: FloatArray,
    labels: Sequence[str],
    duration: float,
    spans: Spans,
    needed: Sequence[str],
    *,
    seconds: float | None = None,
    alone: bool = False,
    width: float | None = None,
) -> Figure:
    """Draw when a SED model hears what: one strip a class, events as bars under it.

    Args:
        probabilities: [N, S], 0 to 1.
        labels: their N names.
        duration: of the frames together, seconds.
        spans: of the events; true ones, or else those that were heard.
        needed: labels that are drawn first, those of `spans` among them; the likeliest others fill up to `ROWS`.
        seconds: length of the time axis; that of the frames when `None`.
        alone: whether the figure is for no page of scenes: with what was heard, in a recording of any length.
        width: inches; `None` for half a page, and more where it is alone.
    """
    names = timeline_labels(probabilities, labels, needed)
    figure, axes = _rows(names, seconds or duration, width or (1.5 * WIDE[0] if alone else WIDE[0]))
    _strips(figure, axes, names, condensed(probabilities), labels, duration)
    for row, label in enumerate(names):
        bars = [(onset, offset - onset) for name, onset, offset in spans if name == label]
        axes.broken_barh(bars, (row + 0.23, 0.16), color=SERIES_COLOURS[1])  # seen however short they are
    if alone:
        for tick, label in zip(axes.yaxis.get_major_ticks(), names, strict=True):
            tick.label1.set_fontweight("bold" if label in needed else "normal")
    if alone and duration > IN_SECONDS:
        axes.set_xlabel("Time (min:s)", labelpad=1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 60:.0f}:{at % 60:02.0f}"))
        axes.locator_params(axis="x", steps=[1, 1.2, 3, 6, 10])
    detected, event = ("heard", "event") if alone else ("detected", "true event")
    _key(figure, {detected: SERIES_COLOURS[0], event: SERIES_COLOURS[1]})
    return figure


@as_svg
def sounds_figure(sounds: Sequence[tuple[str, str, float, float]], seconds: float) -> Figure:
    """Draw when which sound is played: a row a sound, in the colour of its role.

    Args:
        sounds: (label, one of `ROLES`, onset, offset in seconds), drawn from top to bottom.
        seconds: length of the time axis.
    """
    figure, axes = _rows([label for label, *_ in sounds], seconds)
    colours = dict(zip(ROLES, SERIES_COLOURS, strict=False))
    for row, (_, role, onset, offset) in enumerate(sounds):
        axes.barh(row, offset - onset, left=onset, height=0.55, color=colours[role])
    present = {role for _, role, _, _ in sounds}
    _key(figure, {role: colour for role, colour in colours.items() if role in present})
    return figure


def timeline_labels(
    probabilities: FloatArray, labels: Sequence[str], needed: Sequence[str], most: int = ROWS
) -> list[str]:
    """The classes that are drawn: all that are needed, then the likeliest, up to `most`."""
    peaks = np.nan_to_num(probabilities).max(axis=1)
    likeliest = [labels[index] for index in np.argsort(-peaks, kind="stable")]
    # A dict keeps the first of each name, in order.
    return list(dict.fromkeys([*needed, *likeliest]))[: max(most, len(set(needed)))]


def condensed(activity: FloatArray) -> FloatArray:
    """The largest of each of at most `COLUMNS` stretches of frames [N, S]."""
    frames = activity.shape[1]
    if frames <= COLUMNS:
        return activity
    return np.maximum.reduceat(activity, np.arange(COLUMNS) * frames // COLUMNS, axis=1)


def _rows(names: Sequence[str], seconds: float, width: float = WIDE[0]) -> tuple[Figure, Axes]:
    """A figure with a named row for each sound, over a time axis."""
    figure = Figure(figsize=(width, 0.78 + 0.225 * max(len(names), 2)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr, call-arg]
    axes = figure.add_subplot()
    axes.set_xlim(0, seconds)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.65)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Time (s)", labelpad=1)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    return figure, axes


def _strips(
    figure: Figure, axes: Axes, names: Sequence[str], probabilities: FloatArray, labels: Sequence[str], seconds: float
) -> None:
    """Shade each row by the probability [N, S] of its class, and say what the shades mean."""
    image = None
    for row, label in enumerate(names):
        if label in labels:
            image = axes.imshow(
                np.nan_to_num(probabilities[[list(labels).index(label)]]),
                aspect="auto",
                extent=(0, seconds, row + 0.18, row - 0.42),
                cmap=heat(SERIES_COLOURS[0]),
                vmin=0,
                vmax=1,
                interpolation="none",
            )
    if image is not None:
        bar = figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], fraction=0.03, pad=0.02, aspect=14)
        bar.set_label("Probability", labelpad=2)
        tidy(bar)


def _key(figure: Figure, colours: dict[str, str]) -> None:
    """Name the colours above the figure."""
    key = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=key, loc="outside upper left", ncols=3, handlelength=1, columnspacing=1.2, borderpad=0)
