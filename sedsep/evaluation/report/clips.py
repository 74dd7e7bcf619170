"""Cards of sounds: a spectrogram to see and a player to hear, both within the page.

Axes: L samples, F bins, R rows of a drawn spectrogram, T its columns.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import soundfile
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sedsep.evaluation.report.drawing import NARROW, WIDE, as_svg, svg_uri, tidy
from sedsep.types import FloatArray

PEAK = 0.9
"""What the loudest sample of an example is scaled to, of full scale 1."""

ROUNDING_DB = 50.0
"""How far below a clip its rounding noise lies; the bits under that would double the page for nothing heard."""

DYNAMIC_RANGE_DB = 80.0
# 2 dB a step looks continuous, and few colours make a small image.
LEVEL_COLOURS = mpl.colormaps["magma"].resampled(int(DYNAMIC_RANGE_DB / 2))
SPECTROGRAM_ROWS, SPECTROGRAM_COLUMNS = 112, 360


@dataclass(frozen=True)
class Clip:
    """A card of an example: something to hear and see, or, without `audio`, a miss.

    Attributes:
        title: heading.
        kind: `mixture`, `target`, `estimate`, `false-alarm` or `miss`.
        alt: what it is, for those who do not see it.
        audio: address of the sound.
        image: address of the spectrogram.
        sdr_improvement: dB over the mixture.
        broken: whether it holds samples that are not finite.
    """

    title: str
    kind: str
    alt: str = ""
    audio: str = ""
    image: str = ""
    sdr_improvement: float | None = None
    broken: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of `image` in CSS pixels, for the page to keep its place while it loads."""
        width, height = WIDE if self.kind == "mixture" else NARROW
        return round(96 * width), round(96 * height)


class Clips:
    """Makes the cards of one recording: they share a gain, a colour scale and a time axis, to be compared.

    Args:
        waveforms: every sound [L] that gets a card.
        sample_rate: Hz, of all.

    Attributes:
        gain: factor that takes the loudest sample of all to `PEAK`; 1 when all are silent.
        seconds: length of the time axis.
    """

    def __init__(self, waveforms: Sequence[FloatArray], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        peak = max(float(np.abs(finite(waveform)).max()) for waveform in waveforms)
        self.gain = PEAK / peak if peak > 0 else 1.0
        self.seconds = max(len(waveform) for waveform in waveforms) / sample_rate
        # Keyed by identity, and kept so that it lasts: two sounds may be equal, and arrays do not hash.
        self._waveforms = list(waveforms)
        self._levels = {id(waveform): spectrogram(finite(waveform), sample_rate) for waveform in waveforms}
        self._top = max(float(level.max()) for level in self._levels.values())

    @property
    def gain_db(self) -> float:
        """The gain in dB."""
        return 20 * math.log10(self.gain)

    def card(self, waveform: FloatArray, title: str, kind: str, alt: str, sdr_improvement: float | None = None) -> Clip:
        """The card of one of the waveforms."""
        buffer = io.BytesIO()
        samples = rounded(finite(waveform) * self.gain)
        soundfile.write(buffer, samples, self.sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
        picture = spectrogram_figure(
            self._levels[id(waveform)],
            self._top,
            len(waveform) / self.sample_rate,
            self.seconds,
            self.sample_rate,
            colour_bar=kind == "mixture",
        )
        return Clip(
            title,
            kind,
            alt,
            audio="data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode(),
            image=svg_uri(picture),
            sdr_improvement=sdr_improvement,
            broken=not bool(np.isfinite(waveform).all()),
        )


def finite(waveform: FloatArray) -> FloatArray:
    """`waveform` with what is not finite as zeros: a network that broke down is to be shown, not to stop the page."""
    return np.nan_to_num(np.asarray(waveform, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def rounded(waveform: FloatArray) -> NDArray[np.int16]:
    """16-bit samples whose low bits are zero where they lie far under the clip's own level, for FLAC to leave out."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) * 32767
    # Rounding to multiples of a step makes noise of step / sqrt(12); the nearest power of two is up to 3 dB off.
    wanted = level * 10 ** (-ROUNDING_DB / 20) * math.sqrt(12)
    step = 1 << round(math.log2(wanted)) if wanted > 1 else 1
    return (np.round(waveform * 32767 / step) * step).clip(-32768, 32767).astype(np.int16)


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
    mel_edges = np.linspace(0, mel(sample_rate / 2), SPECTROGRAM_ROWS + 1)
    edges = 700 * (10 ** (mel_edges / 2595) - 1) / (sample_rate / window)
    below = np.minimum(edges.astype(int), len(integral) - 2)
    at_edges = integral[below] + (edges - below)[:, None] * (integral[below + 1] - integral[below])
    power = np.diff(at_edges, axis=0) / np.diff(edges)[:, None]
    return (10 * np.log10(np.maximum(power, 1e-20))).astype(np.float32)


@as_svg
def spectrogram_figure(
    levels: FloatArray, top: float, duration: float, seconds: float, sample_rate: int, *, colour_bar: bool = False
) -> Figure:
    """Draw what `spectrogram` returns.

    Args:
        levels: dB [R, T].
        top: level of the brightest colour, dB; the darkest lies `DYNAMIC_RANGE_DB` below it.
        duration: of the clip, seconds.
        seconds: length of the time axis.
        sample_rate: Hz.
        colour_bar: draw it wide, and name the colours in dB re `top`.
    """
    # Fixed margins: figures in one row line up whatever their tick labels.
    figure = Figure(figsize=WIDE if colour_bar else NARROW)
    axes = figure.add_axes((0.1, 0.225, 0.73, 0.735) if colour_bar else (0.12, 0.245, 0.845, 0.715))
    image = axes.imshow(
        np.clip(levels, top - DYNAMIC_RANGE_DB, top) - top,
        origin="lower",
        aspect="auto",
        extent=(0, duration, 0, len(levels)),
        cmap=LEVEL_COLOURS,
        vmin=-DYNAMIC_RANGE_DB,
        vmax=0,
        interpolation="none",
    )
    axes.set_xlim(0, seconds)
    ticks = [khz for khz in (0.5, 1, 2, 4, 8, 16) if khz * 1000 <= sample_rate / 2]
    axes.set_yticks([float(mel(khz * 1000) / mel(sample_rate / 2)) * len(levels) for khz in ticks])
    axes.set_yticklabels([f"{khz:g}" for khz in ticks])
    axes.set_xlabel("Time (s)", labelpad=1)
    axes.set_ylabel("Frequency (kHz)", labelpad=2)
    if colour_bar:
        bar = figure.colorbar(image, cax=figure.add_axes((0.855, 0.225, 0.02, 0.735)), ticks=[0, -20, -40, -60, -80])
        bar.set_label("Level (dB)", labelpad=2)
        tidy(bar)
    return figure


def mel(hertz: float) -> float:
    """O'Shaughnessy's mel scale."""
    return 2595 * math.log10(1 + hertz / 700)
