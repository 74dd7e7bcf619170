"""Cards of sounds: something to see and something to hear, both within the page.

Axes: L samples.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from sedsep.evaluation.report.data import FloatArray
from sedsep.evaluation.report.drawing import NARROW, WIDE, svg_uri
from sedsep.evaluation.report.spectrograms import shared_limits, spectrogram, spectrogram_figure

PEAK = 0.9
"""What the loudest sample of an example is scaled to, of full scale 1."""

ROUNDING_DB = 50.0
"""How far below a clip its rounding noise lies; the bits under that would double the page for nothing heard."""


@dataclass(frozen=True)
class Clip:
    """A card of an example: something to hear and see, or, without `audio`, a miss."""

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
        waveforms: every sound [L] that gets a card. sample_rate: Hz, of all.

    Attributes:
        gain: factor of all sounds. seconds: length of the time axis.
    """

    def __init__(self, waveforms: Sequence[FloatArray], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.gain = common_gain(waveforms)
        self.seconds = max(len(waveform) for waveform in waveforms) / sample_rate
        # Keyed by identity, and kept so that it lasts: two sounds may be equal, and arrays do not hash.
        self._waveforms = list(waveforms)
        self._levels = {id(waveform): spectrogram(finite(waveform), sample_rate) for waveform in waveforms}
        self._limits = shared_limits(list(self._levels.values()))

    @property
    def gain_db(self) -> float:
        """The gain in dB."""
        return 20 * math.log10(self.gain)

    def card(self, waveform: FloatArray, title: str, kind: str, alt: str, sdr_improvement: float | None = None) -> Clip:
        """The card of one of the waveforms."""
        picture = spectrogram_figure(
            self._levels[id(waveform)],
            len(waveform) / self.sample_rate,
            self.sample_rate,
            self._limits,
            seconds=self.seconds,
            colour_bar=kind == "mixture",
        )
        audio = _flac_uri(finite(waveform) * self.gain, self.sample_rate)
        broken = not bool(np.isfinite(waveform).all())
        return Clip(title, kind, alt, audio, svg_uri(picture), sdr_improvement, broken)


def common_gain(waveforms: Sequence[FloatArray]) -> float:
    """The factor that takes the loudest sample of all `waveforms` to `PEAK`; 1 when all are silent."""
    peak = max(float(np.abs(finite(waveform)).max()) for waveform in waveforms)
    return PEAK / peak if peak > 0 else 1.0


def finite(waveform: FloatArray) -> FloatArray:
    """`waveform` with what is not finite as zeros: a network that broke down is to be shown, not to stop the page."""
    return np.nan_to_num(np.asarray(waveform, np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _flac_uri(waveform: FloatArray, sample_rate: int) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, rounded(waveform), sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def rounded(waveform: FloatArray) -> NDArray[np.int16]:
    """16-bit samples whose low bits are zero where they lie far under the clip's own level, for FLAC to leave out."""
    level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) * 32767
    # Rounding to multiples of a step makes noise of step / sqrt(12); the nearest power of two is up to 3 dB off.
    wanted = level * 10 ** (-ROUNDING_DB / 20) * math.sqrt(12)
    step = 1 << round(math.log2(wanted)) if wanted > 1 else 1
    return (np.round(waveform * 32767 / step) * step).clip(-32768, 32767).astype(np.int16)
