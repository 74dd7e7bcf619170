"""What a network that was trained on some microphones hears of a recording with other channels.

Axes: M microphones of the network, C channels of the recording.

FOA is taken as the challenge has it, in the order of ACN (W, Y, Z, X) with SN3D levels: a plane wave from the left has
Y = W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sedsep.types import FloatArray

FOA = 4


@dataclass(frozen=True)
class ChannelMix:
    """How channels become microphones.

    Attributes:
        matrix: [M, C], applied to every frame. Its first row makes the reference that stems and residual add up to.
        description: in words.
    """

    matrix: FloatArray
    description: str


def channel_mix(channels: int, microphones: int) -> ChannelMix:
    """The way from C channels to M microphones.

    Nothing is made up: what a recording does not tell of direction stays silent in an FOA network's Y, Z and X.
    """
    count = f"{channels} channel{'s' * (channels > 1)}"
    first = np.eye(microphones, channels, dtype=np.float32)
    if channels == microphones:
        kind = "FOA (W, Y, Z, X)" if microphones == FOA else "the network's own microphones"
        return ChannelMix(first, f"{count}, taken as {kind}")
    if channels >= FOA and math.isqrt(channels) ** 2 == channels and microphones in {1, FOA}:
        used = "W, Y, Z and X are" if microphones == FOA else "W is"
        return ChannelMix(first, f"{count}, taken as ambisonics: {used} used")
    mean = np.full((microphones, channels), 1 / channels, np.float32)
    source = count if channels == 1 else f"the mean of {count}"
    if microphones != FOA:
        return ChannelMix(mean, source + ", given to every microphone" * (microphones > 1))
    mean[1:] = 0
    if channels == 2:
        mean[1] = 0.5, -0.5
        text = f"{count}, left and right: W is half their sum, Y half their difference, Z and X silent"
        return ChannelMix(mean, text)
    return ChannelMix(mean, f"{source} as W: Y, Z and X silent")
