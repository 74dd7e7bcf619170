"""Figures of a report, as SVG bytes that follow the reader's light or dark mode.

Axes: L samples, F bins, R rows of a drawn spectrogram, T its columns, S SED frames, N classes.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from sedsep.report.data import Curve, FloatArray

P = ParamSpec("P")

SERIES_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which the common colour-vision deficiencies keep apart; the colours that stand out on
white as well as on black come first."""

ROLES = ("target", "interference", "background")
"""What a sound is to a scene; each has a colour of its own."""

LINE_STYLES = ("-", "--", "-.", ":")
# Inches at 72 points each: for half the page, and for a third of it with text of the same size on the screen.
WIDE, NARROW = (4.6, 1.75), (3.8, 1.55)
DYNAMIC_RANGE_DB = 80.0
# 2 dB a step looks continuous, and few colours make a small image.
LEVEL_COLOURS = mpl.colormaps["magma"].resampled(int(DYNAMIC_RANGE_DB / 2))
SPECTROGRAM_ROWS, SPECTROGRAM_COLUMNS = 112, 360
# A curve drawn 500 pixels wide shows no more than this, and a long run logs a hundred times as much.
CURVE_POINTS = 1000

# Stands for "the text colour of the page": replaced by `currentColor` in the SVG, and used nowhere else.
_INK = "#0a1b2c"
_THEME = "<style>svg{color:#3f464f}@media (prefers-color-scheme:dark){svg{color:#c3c9d1}}</style>"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sedsep",
    "text.parse_math": False,  # a label with two dollar signs is a name, not a formula
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.bbox": None,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": _INK,
    "grid.alpha": 0.18,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@contextmanager
def _styled() -> Iterator[None]:
    """Our style for the figure being drawn, and the caller's settings again after it."""
    with mpl.rc_context(_STYLE):
        yield


def drawn(build: Callable[P, Figure]) -> Callable[P, bytes]:
    """Turn a function that builds a figure into one that returns it as SVG bytes."""

    @wraps(build)
    def draw(*args: P.args, **kwargs: P.kwargs) -> bytes:
        with _styled():
            return _svg(build(*args, **kwargs))

    return draw


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Text stays text, in the reader's own font.
    text = re.sub(r"(font: [^;\"]*?px|font-family:) [^;\"]*", r"\1 system-ui, sans-serif", text)
    text = text.replace(_INK, "currentColor")
    text = re.sub(r"(?<=data:image/png;base64,)[^\"]+", lambda match: _indexed(match[0]), text)
    return re.sub(r"(<svg[^>]*>)", rf"\1{_THEME}", text, count=1).encode()


def spectrogram(waveform: FloatArray, sample_rate: int) -> FloatArray:
    """Levels of a clip on a mel-spaced frequency axis.

    Args:
        waveform: [L].
        sample_rate: Hz.

    Returns:
        Power density in dB re full scale [R, T], low frequencies first, floored at -200 dB. R is
        `SPECTROGRAM_ROWS`; T at most `SPECTROGRAM_COLUMNS`, spread evenly over the clip.
    """
    window = 1 << max(4, round(np.log2(0.05 * sample_rate)))
    hop = window // 4
    # Centred frames, so that column t lies where its sound is heard.
    padded = np.pad(np.asarray(waveform, np.float32), (window // 2, window // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    taper = np.hanning(window).astype(np.float32)
    power_ft = (np.abs(np.fft.rfft(frames * taper)) ** 2).T * 2 / np.sum(taper**2) / window

    count = power_ft.shape[1]
    starts = np.unique(np.linspace(0, count, min(count, SPECTROGRAM_COLUMNS), endpoint=False).astype(int))
    power_ft = np.add.reduceat(power_ft, starts, axis=1) / np.diff(np.append(starts, count))

    # The mean between two edges is a difference of integrals: right for bands wider and narrower than a bin.
    integral = np.vstack([np.zeros((1, power_ft.shape[1])), np.cumsum(power_ft, axis=0)])
    edges = _from_mel(np.linspace(0, _mel(sample_rate / 2), SPECTROGRAM_ROWS + 1)) / (sample_rate / window)
    below = np.minimum(edges.astype(int), len(integral) - 2)
    at_edges = integral[below] + (edges - below)[:, None] * (integral[below + 1] - integral[below])
    power = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return (10 * np.log10(np.maximum(power, 1e-20))).astype(np.float32)


def shared_limits(levels: Sequence[FloatArray]) -> tuple[float, float]:
    """Colour limits (low, high) in dB for spectrograms to be compared: the loudest point and 80 dB below it."""
    high = max((float(level.max()) for level in levels), default=0.0)
    return high - DYNAMIC_RANGE_DB, high


def _indexed(png: str) -> str:
    """The same image (base64 PNG) with a palette: what Matplotlib writes in full colour takes thrice the space."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
    palette, indices = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(palette) > 256:
        return png
    image = Image.fromarray(indices.reshape(pixels.shape[:2]).astype(np.uint8), mode="P")
    image.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, transparency=palette[:, 3].tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


@drawn
def spectrogram_figure(
    levels: FloatArray,
    duration: float,
    sample_rate: int,
    limits: tuple[float, float],
    *,
    seconds: float | None = None,
    colour_bar: bool = False,
) -> Figure:
    """Draw what `spectrogram` returns.

    Args:
        levels: dB [R, T].
        duration: of the clip, seconds.
        sample_rate: Hz.
        limits: colour limits in dB, from `shared_limits` over the clips it stands beside.
        seconds: length of the time axis; the clip's own duration when `None`.
        colour_bar: draw it wide, and name the colours in dB re the upper limit.
    """
    # Fixed margins: figures in one row line up whatever their tick labels.
    figure = Figure(figsize=WIDE if colour_bar else NARROW)
    axes = figure.add_axes((0.1, 0.225, 0.73, 0.735) if colour_bar else (0.12, 0.245, 0.845, 0.715))
    shown = np.clip(levels, *limits) - limits[1]
    image = axes.imshow(
        shown,
        origin="lower",
        aspect="auto",
        extent=(0, duration, 0, len(levels)),
        cmap=LEVEL_COLOURS,
        vmin=limits[0] - limits[1],
        vmax=0,
        interpolation="none",
    )
    axes.set_xlim(0, seconds or duration)
    ticks = [khz for khz in (0.5, 1, 2, 4, 8, 16) if khz * 1000 <= sample_rate / 2]
    axes.set_yticks([float(_mel(khz * 1000) / _mel(sample_rate / 2)) * len(levels) for khz in ticks])
    axes.set_yticklabels([f"{khz:g}" for khz in ticks])
    axes.set_xlabel("Time (s)", labelpad=1)
    axes.set_ylabel("Frequency (kHz)", labelpad=2)
    if colour_bar:
        bar = figure.colorbar(image, cax=figure.add_axes((0.855, 0.225, 0.02, 0.735)), ticks=[0, -20, -40, -60, -80])
        bar.set_label("Level (dB)", labelpad=2)
        tidy(bar)
    return figure


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
        bar = figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], fraction=0.03, pad=0.02, aspect=14)
        bar.set_label("Probability", labelpad=2)
        tidy(bar)
    key = [Patch(color=SERIES_COLOURS[0], label="detected"), Patch(color=SERIES_COLOURS[1], label="true event")]
    figure.legend(handles=key, loc="outside upper left", ncols=2, handlelength=1, columnspacing=1.2, borderpad=0)
    return figure


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


@drawn
def curve_figure(curve: Curve) -> Figure:
    """Draw the lines of `curve`, at most `CURVE_POINTS` evenly chosen points of each."""
    figure, axes = _plain(2.6)
    handles = []
    for index, (x, y) in enumerate(curve.series.values()):
        step = -(-len(x) // CURVE_POINTS) or 1
        handles += axes.plot(
            np.asarray(x, float)[::step],
            np.asarray(y, float)[::step],
            color=SERIES_COLOURS[index % len(SERIES_COLOURS)],
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            # A short curve is a handful of measurements, and a single one has no line to see.
            marker="o" if len(x) <= 30 else None,
            markersize=3,
            linewidth=1.4,
        )
    if all(float(x).is_integer() for xs, _ in curve.series.values() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(curve.xlabel)
    axes.set_ylabel(curve.ylabel)
    axes.grid()
    _legend(figure, handles, list(curve.series))
    return figure


@drawn
def bar_figure(groups: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str) -> Figure:
    """Draw horizontal bars: one group a class or refinement pass, one bar in it a series.

    Args:
        groups: names, drawn from top to bottom.
        series: name to one value a group; `None` and NaN leave the place empty.
        unit: label of the value axis, e.g. `CA-SDRi (dB)`.
    """
    figure, axes = _plain(0.75 + len(groups) * (0.1 + 0.13 * max(len(series), 1)))
    thickness = 0.78 / max(len(series), 1)
    handles = []
    for index, values in enumerate(series.values()):
        places = np.arange(len(groups)) - 0.39 + thickness * (index + 0.5)
        widths = [np.nan if value is None else value for value in values]
        handles.append(
            axes.barh(places, widths, height=thickness * 0.9, color=SERIES_COLOURS[index % len(SERIES_COLOURS)])
        )
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.grid(axis="x")
    _legend(figure, handles, list(series))
    return figure


def _plain(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    return figure, axes


def _legend(figure: Figure, handles: list, names: list[str]) -> None:
    if len(names) > 1 or (names and isinstance(handles[0], Line2D)):
        # Matplotlib leaves out names that begin with an underscore: a zero-width space keeps them.
        shown = [f"\u200b{name}" if name.startswith("_") else name for name in names]
        # A legend wider than the figure loses its last columns: a letter takes some 4 points, a sample 36.
        fitting = int(72 * figure.get_figwidth() / (36 + 4.3 * max(map(len, names))))
        columns = max(1, min(len(names), fitting))
        figure.legend(handles, shown, loc="outside upper left", ncols=columns, borderpad=0, columnspacing=1.2)


def tidy(bar: Colorbar) -> None:
    bar.outline.set_visible(False)
    # As an image: the edges between vector steps shine through as lines.
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def heat(colour: str) -> Colormap:
    """From nothing to `colour` by opacity, so that zero is the page itself, light or dark."""
    red, green, blue, _ = mpl.colors.to_rgba(colour)
    return LinearSegmentedColormap.from_list("heat", [(red, green, blue, 0.04), (red, green, blue, 1.0)], N=32)


def _mel(hertz: float | NDArray[np.floating]) -> NDArray[np.floating]:
    """O'Shaughnessy's mel scale."""
    return 2595 * np.log10(1 + np.asarray(hertz, float) / 700)


def _from_mel(mel: NDArray[np.floating]) -> NDArray[np.floating]:
    return 700 * (10 ** (mel / 2595) - 1)
