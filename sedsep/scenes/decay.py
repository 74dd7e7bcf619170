"""How a room answers: the decay of its energy, its reverberation time, and what arrives first against the rest.

Axes: N taps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sedsep.types import FloatArray

DIRECT_MS = 2.5
"""Around the peak, before and after: what belongs to the direct sound; the first reflections come later."""


def energy_decay(response: FloatArray) -> NDArray[np.float64]:
    """Schroeder's curve of a response [N]: the energy from each tap on, dB re all of it [N]; -inf where none is left.

    M. R. Schroeder, New method of measuring reverberation time, J. Acoust. Soc. Am. 37, 1965.
    """
    energy = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(10 * np.log10(energy / energy[0]))


def reverberation_time(response: FloatArray, sample_rate: int) -> float | None:
    """Seconds a response [N] takes to fall by 60 dB: the slope of its decay from -5 to -25 dB (T20 of ISO 3382-1).

    `None` where the response is silent or ends before it has fallen so far.
    """
    curve = energy_decay(response)
    taps = np.flatnonzero((curve <= -5) & (curve >= -25))
    if len(taps) < 2 or not curve.min() < -25:
        return None
    slope = np.polyfit(taps / sample_rate, curve[taps], 1)[0]
    return float(-60 / slope)


def direct_to_reverberant(response: FloatArray, sample_rate: int) -> float | None:
    """Energy of the direct sound of a response [N] over that of the rest, dB; `None` where one of them is missing."""
    around, peak = int(DIRECT_MS * sample_rate / 1000), int(np.abs(response).argmax())
    power = np.square(response, dtype=np.float64)
    direct = power[max(0, peak - around) : peak + around + 1].sum()
    rest = power.sum() - direct
    return float(10 * np.log10(direct / rest)) if direct > 0 and rest > 0 else None
