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
class Hearing:
    """How channels become microphones.

    Attributes:
        matrix: [M, C], applied to every frame. Its first row makes the reference that stems and residual add up to.
        how: in words.
    """

    matrix: FloatArray
    how: str


def hearing(channels: int, microphones: int) -> Hearing:
    """The way from C channels to M microphones.

    Nothing is made up: what a recording does not tell of direction stays silent in an FOA network's Y, Z and X.
    """
    if channels == microphones:
        what = "FOA (W, Y, Z, X)" if microphones == FOA else "the network's own microphones"
        return Hearing(np.eye(channels, dtype=np.float32), f"{_count(channels)}, taken as {what}")
    if channels >= FOA and math.isqrt(channels) ** 2 == channels and microphones in {1, FOA}:
        what = "W, Y, Z and X are" if microphones == FOA else "W is"
        return Hearing(
            np.eye(microphones, channels, dtype=np.float32), f"{_count(channels)}, taken as ambisonics: {what} used"
        )
    matrix = np.zeros((microphones, channels), np.float32)
    matrix[0] = 1 / channels
    what = _count(channels) if channels == 1 else f"the mean of {_count(channels)}"
    if microphones != FOA:
        matrix[:] = 1 / channels
        where = ", given to every microphone" if microphones > 1 else ""
        return Hearing(matrix, f"{what}{where}")
    if channels == 2:
        matrix[1] = 0.5, -0.5
        return Hearing(
            matrix, "2 channels, left and right: W is half their sum, Y half their difference, Z and X silent"
        )
    return Hearing(matrix, f"{what} as W: Y, Z and X silent")


def _count(channels: int) -> str:
    return f"{channels} channel{'s' * (channels > 1)}"
