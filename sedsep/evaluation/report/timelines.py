"""When which sound is heard, within one recording.

Axes: S SED frames, N classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sedsep.evaluation.report.drawing import SERIES_COLOURS, WIDE, drawn, heat, tidy

ROLES = ("target", "interference", "background")
"""What a sound is to a scene; each has a colour of its own."""


@drawn
def timeline_figure(
    probabilities: NDArray[np.floating],
    labels: Sequence[str],
    frame_s: float,
    spans: Sequence[tuple[str, float, float]],
    *,
    predicted: Sequence[str] = (),
    seconds: float | None = None,
    most: int = 6,
) -> Figure:
    """Draw when a detector hears what: one strip a class, true events as bars under it.

    Args:
        probabilities: [N, S], 0 to 1. labels: their N names.
        frame_s: seconds a frame stands for.
        spans: (label, onset, offset) of the true events, seconds.
        predicted: labels the system settled on.
        seconds: length of the time axis; that of the frames when `None`.
        most: rows to fill up to with the next likeliest classes; true and predicted ones are always drawn.
    """
    rows = timeline_labels(probabilities, labels, [span[0] for span in spans], predicted, most)
    figure = Figure(figsize=(WIDE[0], 0.78 + 0.225 * max(len(rows), 2)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr, call-arg]
    axes = figure.add_subplot()
    length = frame_s * probabilities.shape[1]
    strips = heat(SERIES_COLOURS[0])
    image = None
    for row, label in enumerate(rows):
        if label in labels:
            strip = np.nan_to_num(probabilities[[list(labels).index(label)]])
            extent = (0, length, row + 0.18, row - 0.42)
            image = axes.imshow(strip, aspect="auto", extent=extent, cmap=strips, vmin=0, vmax=1, interpolation="none")
        for _, onset, offset in (span for span in spans if span[0] == label):
            axes.barh(row + 0.31, offset - onset, left=onset, height=0.16, color=SERIES_COLOURS[1])
    axes.set_xlim(0, seconds or length)
    axes.set_ylim(len(rows) - 0.5, -0.65)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Time (s)", labelpad=1)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    if image is not None:
        probability_bar(figure, axes, image)
    strip_key(figure, "detected", "true event")
    return figure


def probability_bar(figure: Figure, axes: Axes, image: AxesImage) -> None:
    """What the shades of the strips mean."""
    bar = figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], fraction=0.03, pad=0.02, aspect=14)
    bar.set_label("Probability", labelpad=2)
    tidy(bar)


def strip_key(figure: Figure, strip: str, below: str) -> None:
    """Names of the strips and of the bars below them."""
    key = [Patch(color=SERIES_COLOURS[0], label=strip), Patch(color=SERIES_COLOURS[1], label=below)]
    figure.legend(handles=key, loc="outside upper left", ncols=2, handlelength=1, columnspacing=1.2, borderpad=0)


def timeline_labels(
    probabilities: NDArray[np.floating],
    labels: Sequence[str],
    true: Sequence[str],
    predicted: Sequence[str],
    most: int,
) -> list[str]:
    """The classes that matter: all true ones, all predicted ones, then the likeliest up to `most`."""
    peaks = np.nan_to_num(probabilities).max(axis=1)
    likeliest = [labels[index] for index in np.argsort(-peaks, kind="stable")]
    # A dict keeps the first of each name, in order.
    needed = list(dict.fromkeys([*true, *predicted]))
    return list(dict.fromkeys([*needed, *likeliest]))[: max(most, len(needed))]


@drawn
def sounds_figure(sounds: Sequence[tuple[str, str, float, float]], seconds: float) -> Figure:
    """Draw when which sound is played: a row a sound, in the colour of its role.

    Args:
        sounds: (label, one of `ROLES`, onset, offset in seconds), drawn from top to bottom.
        seconds: length of the time axis.
    """
    figure = Figure(figsize=(WIDE[0], 0.78 + 0.225 * max(len(sounds), 2)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr, call-arg]
    axes = figure.add_subplot()
    colours = dict(zip(ROLES, SERIES_COLOURS, strict=False))
    for row, (_, role, onset, offset) in enumerate(sounds):
        axes.barh(row, offset - onset, left=onset, height=0.55, color=colours[role])
    axes.set_xlim(0, seconds)
    axes.set_ylim(max(len(sounds), 1) - 0.5, -0.65)
    axes.set_yticks(range(len(sounds)), [label for label, *_ in sounds])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Time (s)", labelpad=1)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    present = {role for _, role, _, _ in sounds}
    key = [Patch(color=colour, label=role) for role, colour in colours.items() if role in present]
    figure.legend(handles=key, loc="outside upper left", ncols=3, handlelength=1, columnspacing=1.2, borderpad=0)
    return figure
