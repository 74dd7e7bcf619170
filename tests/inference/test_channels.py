from __future__ import annotations

import numpy as np
import pytest

from sedsep.inference.recordings import channel_mix


@pytest.mark.parametrize(
    ("channels", "microphones", "matrix", "says"),
    [
        (4, 4, np.eye(4), "FOA"),
        (1, 4, [[1], [0], [0], [0]], "1 channel as W: Y, Z and X silent"),
        (2, 4, [[0.5, 0.5], [0.5, -0.5], [0, 0], [0, 0]], "W is half their sum, Y half their difference"),
        (3, 4, [[1 / 3] * 3, [0] * 3, [0] * 3, [0] * 3], "the mean of 3 channels as W"),
        (9, 4, np.eye(4, 9), "ambisonics: W, Y, Z and X are used"),
        (4, 1, np.eye(1, 4), "ambisonics: W is used"),
        (2, 1, [[0.5, 0.5]], "the mean of 2 channels"),
        (1, 2, [[1], [1]], "1 channel, given to every microphone"),
        (2, 2, np.eye(2), "own microphones"),
    ],
)
def test_channels_become_microphones(channels: int, microphones: int, matrix: list, says: str) -> None:
    mix = channel_mix(channels, microphones)
    np.testing.assert_allclose(mix.matrix, matrix, rtol=1e-6)
    assert says in mix.description


def test_a_sound_from_the_left_is_a_plane_wave_from_the_left() -> None:
    w, y, z, x = channel_mix(2, 4).matrix @ np.array([1.0, 0.0], np.float32)
    assert (w, z, x) == (y, 0, 0)
