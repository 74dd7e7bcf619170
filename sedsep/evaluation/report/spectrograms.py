"""Spectrograms of clips that stand beside each other.

Axes: L samples, F bins, R rows of a drawn spectrogram, T its columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sedsep.evaluation.report.data import FloatArray
from sedsep.evaluation.report.drawing import NARROW, WIDE, drawn, tidy

DYNAMIC_RANGE_DB = 80.0
# 2 dB a step looks continuous, and few colours make a small image.
LEVEL_COLOURS = mpl.colormaps["magma"].resampled(int(DYNAMIC_RANGE_DB / 2))
SPECTROGRAM_ROWS, SPECTROGRAM_COLUMNS = 112, 360


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


def _mel(hertz: float | NDArray[np.floating]) -> NDArray[np.floating]:
    """O'Shaughnessy's mel scale."""
    return 2595 * np.log10(1 + np.asarray(hertz, float) / 700)


def _from_mel(mel: NDArray[np.floating]) -> NDArray[np.floating]:
    return 700 * (10 ** (mel / 2595) - 1)
