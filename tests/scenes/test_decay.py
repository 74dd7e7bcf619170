"""A room's figures against decays that are known."""

from __future__ import annotations

import numpy as np
import pytest
from pyroomacoustics.experimental import measure_rt60

from sedsep.scenes.acoustics import simulate_room
from sedsep.scenes.decay import direct_to_reverberant, energy_decay, reverberation_time

RATE = 8000


def decaying(rt60: float, seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * RATE)) / RATE
    return (rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60)).astype(np.float32)


@pytest.mark.parametrize("rt60", [0.2, 0.5, 1.0])
def test_the_reverberation_time_of_an_exponential_decay_is_found(rt60: float) -> None:
    assert reverberation_time(decaying(rt60), RATE) == pytest.approx(rt60, rel=0.06)


def test_a_simulated_room_is_measured_as_pyroomacoustics_does() -> None:
    responses, _, _ = simulate_room(np.random.default_rng(3), positions=2, sample_rate=16000, seconds=0.5)
    for response in responses[:, 0]:
        theirs = measure_rt60(response, 16000, decay_db=20)
        assert reverberation_time(response, 16000) == pytest.approx(theirs, rel=0.15)


def test_the_decay_starts_at_0_db_and_only_falls() -> None:
    curve = energy_decay(decaying(0.4))
    assert curve[0] == 0
    assert (np.diff(curve) <= 0).all()
    halved = np.array([1, 0, 1, 0], np.float32)
    assert energy_decay(halved)[:3] == pytest.approx([0, 10 * np.log10(0.5), 10 * np.log10(0.5)])
    assert energy_decay(halved)[3] == -np.inf


def test_what_cannot_be_measured_is_none() -> None:
    silence, click = np.zeros(100, np.float32), np.eye(1, 100, dtype=np.float32)[0]
    assert reverberation_time(silence, RATE) is reverberation_time(click, RATE) is None
    assert direct_to_reverberant(silence, RATE) is direct_to_reverberant(click, RATE) is None
    assert reverberation_time(np.ones(100, np.float32), RATE) is None  # its last tap lies 20 dB below


def test_the_direct_sound_is_weighed_against_the_rest() -> None:
    response = np.zeros(1000, np.float32)
    response[[200, 210]] = -2.0, 1.0  # a negative direct path, and a reflection 1.25 ms later, still within it
    response[[300, 400]] = 1.0, 1.0
    assert direct_to_reverberant(response, RATE) == pytest.approx(10 * np.log10(5 / 2))
