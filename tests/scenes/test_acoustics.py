"""The simulated rooms: levels, signs and delays of the direct sound, decay, and the field of the noise."""

from __future__ import annotations

import numpy as np
import pytest

from sedsep.scenes.acoustics import SPEED, foa_gains, foa_responses, room_noise, simulate_room

RATE = 32000
W, Y, Z, X = range(4)


@pytest.mark.parametrize(
    ("place", "channel", "sign"),
    [
        ((1, 0, 0), X, 1),
        ((-1, 0, 0), X, -1),
        ((0, 1, 0), Y, 1),
        ((0, -1, 0), Y, -1),
        ((0, 0, 1), Z, 1),
        ((0, 0, -1), Z, -1),
    ],
)
def test_the_direct_sound_points_to_its_source(place: tuple[int, ...], channel: int, sign: int) -> None:
    """Left is Y, ahead X, above Z, all positive; SN3D: as loud there as in W, and silent elsewhere."""
    listener = np.array([2.5, 2.4, 1.5])
    source = (listener + 0.8 * np.array(place))[None]
    response = foa_responses([5.0, 4.6, 3.0], listener, source, absorption=0.6, sample_rate=RATE, seconds=0.1)[0]
    peak = int(response[W].argmax())
    expected = np.zeros(4)
    expected[W], expected[channel] = 1, sign
    np.testing.assert_allclose(response[:, peak] / response[W, peak], expected, atol=0.02)


def test_the_direct_sound_of_any_direction() -> None:
    """Within the first arrival the four channels hold the gains of a plane wave, later and softer from farther away."""
    responses, positions, _ = simulate_room(np.random.default_rng(1), positions=8, sample_rate=RATE)
    distances = np.linalg.norm(positions, axis=1)
    delays, levels = [], []
    for response, position, distance in zip(responses, positions, distances, strict=True):
        earliest = int(distance / SPEED * RATE)
        peak = earliest + int(response[W, earliest : earliest + 60].argmax())
        np.testing.assert_allclose(response[:, peak] / response[W, peak], foa_gains(position[None])[0], atol=0.05)
        delays.append(peak - distance / SPEED * RATE)
        levels.append(response[W, peak - 3 : peak + 4].max() * distance)
    assert np.ptp(delays) < 2
    assert max(levels) / min(levels) < 1.7  # the peak falls between two samples for some


@pytest.mark.parametrize("seed", range(3))
def test_a_room_is_as_asked(seed: int) -> None:
    responses, positions, rt = simulate_room(np.random.default_rng(seed), positions=5, sample_rate=16000, seconds=0.2)
    assert responses.shape == (5, 4, 3200)
    assert responses.dtype == np.float32
    assert np.isfinite(responses).all()
    assert positions.shape == (5, 3)
    assert ((np.linalg.norm(positions, axis=1) >= 0.5) & (np.linalg.norm(positions, axis=1) <= 2.5)).all()
    assert 0.15 <= rt <= 0.5
    np.testing.assert_array_equal(responses[..., -1], 0)
    again, _, _ = simulate_room(np.random.default_rng(seed), positions=5, sample_rate=16000, seconds=0.2)
    np.testing.assert_array_equal(responses, again)


def test_the_decay_follows_the_reverberation_time() -> None:
    """Energy decays (Schroeder's backward integral) about 60 dB in the time asked for."""
    for rt60 in (0.2, 0.4):
        responses, _, rt = simulate_room(
            np.random.default_rng(2), positions=4, sample_rate=16000, rt60_range=(rt60, rt60)
        )
        left = np.cumsum(responses[:, W, ::-1] ** 2, axis=1)[:, ::-1].mean(axis=0)
        decibels = 10 * np.log10(left / left[0] + 1e-12)
        start, end = (int(np.argmax(decibels < level)) for level in (-5, -20))
        assert (end - start) / 16000 * 4 == pytest.approx(rt, rel=0.35)


def test_sources_surround_the_listener() -> None:
    _, positions, _ = simulate_room(np.random.default_rng(5), positions=6, sample_rate=8000, seconds=0.05)
    azimuths = np.sort(np.arctan2(positions[:, 1], positions[:, 0]))
    assert np.diff(np.append(azimuths, azimuths[0] + 2 * np.pi)).max() < np.radians(125)


def test_the_noise_is_a_field() -> None:
    """Every channel sounds, W loudest, and none is a copy of another."""
    responses, _, _ = simulate_room(np.random.default_rng(0), positions=4, sample_rate=16000, seconds=0.1)
    noise = room_noise(np.random.default_rng(0), responses, sample_rate=16000, seconds=3)
    assert noise.shape == (4, 48000)
    assert noise.dtype == np.float32
    assert np.abs(noise).max() == pytest.approx(0.5)
    power = noise.var(axis=1)
    assert (power[1:] < power[0]).all()
    assert (power[1:] > 0.1 * power[0]).all()
    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.8
    again = room_noise(np.random.default_rng(0), responses, sample_rate=16000, seconds=3)
    np.testing.assert_array_equal(noise, again)
