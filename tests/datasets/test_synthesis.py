"""The parametric sounds: what every generator promises, and that classes can be told apart but files not."""

from __future__ import annotations

import numpy as np
import pytest

from sedsep.datasets.synthesis import EVENTS, INTERFERENCE
from sedsep.datasets.synthesis.blocks import PEAK

RATE = 32000
CLASSES = {**EVENTS, **INTERFERENCE}
TRAIN, HELD_OUT = 7, 4


def log_mel(wave: np.ndarray, bands: int = 40, window: int = 1024, hop: int = 512) -> np.ndarray:
    """Log energies [T, bands] of triangular mel bands, relative to the loudest."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    freqs = np.fft.rfftfreq(window, 1 / RATE)[:, None]
    rise, fall = (freqs - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - freqs) / np.diff(edges)[1:]
    energies = power @ np.maximum(0, np.minimum(rise, fall))
    return 10 * np.log10(energies / energies.max() + 1e-8)


def draw(name: str, index: int, duration: float = 2.0) -> np.ndarray:
    return CLASSES[name](np.random.default_rng([index, sorted(CLASSES).index(name)]), RATE, duration)


@pytest.fixture(scope="module")
def spectrograms() -> dict[str, list[np.ndarray]]:
    return {name: [log_mel(draw(name, k)) for k in range(TRAIN + HELD_OUT)] for name in EVENTS}


def test_the_classes_are_those_of_the_challenge() -> None:
    assert len(EVENTS) == 18
    assert list(EVENTS) == sorted(EVENTS)
    assert len(INTERFERENCE) >= 6
    assert not set(EVENTS) & set(INTERFERENCE)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(("rate", "duration"), [(32000, 1.0), (32000, 2.71), (8000, 0.5), (16000, 2.0)])
def test_a_sound_is_as_long_and_loud_as_promised(name: str, rate: int, duration: float) -> None:
    wave = CLASSES[name](np.random.default_rng(3), rate, duration)
    assert wave.dtype == np.float32
    assert wave.shape == (round(duration * rate),)
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() == pytest.approx(PEAK)
    assert wave.std() > 0.005
    assert abs(wave[0]) < 1e-3
    assert abs(wave[-1]) < 1e-3


@pytest.mark.parametrize("name", CLASSES)
def test_most_of_a_sound_sounds(name: str) -> None:
    """No file is a click in a long silence: every second holds something within 40 dB of the peak."""
    for index in range(4):
        wave = draw(name, index, 3.0)
        loudest = np.abs(wave.reshape(3, -1)).max(axis=1)
        assert loudest.min() > PEAK * 0.01


@pytest.mark.parametrize("name", CLASSES)
def test_a_sound_is_a_function_of_its_generator(name: str) -> None:
    np.testing.assert_array_equal(draw(name, 0), draw(name, 0))
    assert not np.array_equal(draw(name, 0), draw(name, 1))


@pytest.mark.parametrize("name", EVENTS)
def test_files_of_a_class_differ(name: str, spectrograms: dict[str, list[np.ndarray]]) -> None:
    """No two spectrograms of a class are the same picture but for noise."""
    pictures = np.array([s.ravel() for s in spectrograms[name]])
    alike = np.corrcoef(pictures)[np.triu_indices(len(pictures), 1)]
    assert alike.max() < 0.985
    assert np.median(alike) < 0.96


def test_classes_generalise_across_files(spectrograms: dict[str, list[np.ndarray]]) -> None:
    """The nearest centroid of simple statistics names most held-out files; chance is 1 in 18."""

    def features(s: np.ndarray) -> np.ndarray:
        return np.concatenate([s.mean(axis=0), s.std(axis=0), np.abs(np.diff(s, axis=0)).mean(axis=0)])

    table = np.array([[features(s) for s in files] for files in spectrograms.values()])
    known, unknown = table[:, :TRAIN], table[:, TRAIN:]
    scale = known.reshape(-1, table.shape[-1]).std(axis=0)
    centroids = known.mean(axis=1) / scale
    distances = np.linalg.norm(unknown[:, :, None] / scale - centroids, axis=-1)
    right = distances.argmin(axis=-1) == np.arange(len(table))[:, None]
    assert right.mean() > 0.7, dict(zip(spectrograms, right.mean(axis=1), strict=True))
    assert (right.mean(axis=1) > 0).sum() >= 16


def centroid(wave: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((np.fft.rfftfreq(len(wave), 1 / RATE) * power).sum() / power.sum())


@pytest.mark.parametrize(
    ("darker", "brighter"),
    [("MechanicalFans", "HairDryer"), ("CupboardOpenClose", "Dishes"), ("Doorbell", "AlarmClock")],
)
def test_colours_are_the_right_way_round(darker: str, brighter: str) -> None:
    assert max(centroid(draw(darker, k)) for k in range(6)) < min(centroid(draw(brighter, k)) for k in range(6))


def test_water_rises_in_the_vessel() -> None:
    """The resonance of the air column above the water climbs while it is poured."""
    pictures = np.array([log_mel(draw("Pour", index, 3.0))[:, :25] for index in range(8)])
    gained = (pictures[:, -90:-40] - pictures[:, 20:70]).mean(axis=(0, 1))
    assert gained[16:].mean() - gained[4:8].mean() > 3


def test_low_rates_fold_nothing() -> None:
    """Harmonics that do not fit below half the rate are left out."""
    wave = EVENTS["Buzzer"](np.random.default_rng(0), 8000, 1.0)
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    assert power[3700:].sum() < 1e-3 * power.sum()
