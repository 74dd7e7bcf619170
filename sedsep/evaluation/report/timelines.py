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
    *,
    predicted: Sequence[str] = (),
    seconds: float | None = None,
    most: int = 6,
) -> Figure:
    """Draw when a detector hears what: one strip a class, true events as bars under it.

    Args:
        probabilities: [N, S], 0 to 1.
        labels: their N names.
        duration: of the frames together, seconds.
        spans: of the true events.
        predicted: labels the system settled on.
        seconds: length of the time axis; that of the frames when `None`.
        most: rows to fill up to with the next likeliest classes; true and predicted ones are always drawn.
    """
    names = timeline_labels(probabilities, labels, [*(span[0] for span in spans), *predicted], most)
    figure, axes = _rows(names, seconds or duration)
    _strips(figure, axes, names, probabilities, labels, duration)
    for label, onset, offset in spans:
        axes.barh(names.index(label) + 0.31, offset - onset, left=onset, height=0.16, color=SERIES_COLOURS[1])
    _key(figure, {"detected": SERIES_COLOURS[0], "true event": SERIES_COLOURS[1]})
    return figure


@as_svg
def activity_figure(
    activity: FloatArray,
    labels: Sequence[str],
    seconds: float,
    events: Spans,
    chosen: Sequence[str],
    most: int = 6,
) -> Figure:
    """Draw what a SED model heard in a recording of any length: one strip a class, its events as bars under it.

    Args:
        activity: probabilities [N, S], 0 to 1.
        labels: their N names.
        seconds: length of the recording.
        events: what was separated.
        chosen: labels that are drawn first, in bold.
        most: rows to fill up to with the next likeliest classes.
    """
    names = timeline_labels(activity, labels, chosen, most)
    figure, axes = _rows(names, seconds, 1.5 * WIDE[0])
    _strips(figure, axes, names, condensed(activity), labels, seconds)
    for row, label in enumerate(names):
        bars = [(onset, offset - onset) for name, onset, offset in events if name == label]
        axes.broken_barh(bars, (row + 0.23, 0.16), color=SERIES_COLOURS[1])  # seen however short they are
    for tick, label in zip(axes.yaxis.get_major_ticks(), names, strict=True):
        tick.label1.set_fontweight("bold" if label in chosen else "normal")
    if seconds > IN_SECONDS:
        axes.set_xlabel("Time (min:s)", labelpad=1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 60:.0f}:{at % 60:02.0f}"))
        axes.locator_params(axis="x", steps=[1, 1.2, 3, 6, 10])
    _key(figure, {"heard": SERIES_COLOURS[0], "event": SERIES_COLOURS[1]})
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


def timeline_labels(probabilities: FloatArray, labels: Sequence[str], needed: Sequence[str], most: int) -> list[str]:
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
