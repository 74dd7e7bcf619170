"""Which sounds are kept, and as what. Axes: F frames, C channels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets.challenge.replica import encode, wav

from sedsep.datasets.challenge.sounds import GAP, QUIET, SHORT, UNREADABLE, Cleaning, UnfitSound

RATE = 8000
CLEANING = Cleaning(RATE)


def tone(seconds: float, level: float = 0.5, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A square wave: at its peak in every sample."""
    signs = np.where(np.arange(round(seconds * rate)) % 20 < 10, 1, -1)
    return np.repeat(level * signs[:, None], channels, axis=1).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros((round(seconds * RATE), 1), dtype=np.float32)


def rejected(samples: np.ndarray, rate: int = RATE) -> str:
    with pytest.raises(UnfitSound) as caught:
        CLEANING.clean(samples, rate)
    return str(caught.value)


def test_the_limits_are_where_they_should_be() -> None:
    assert rejected(tone(1, 0.0199)) == QUIET
    assert len(CLEANING.clean(tone(1, 0.0201), RATE)) == RATE
    assert rejected(tone(0.0999)) == SHORT
    assert len(CLEANING.clean(tone(0.1), RATE)) == 0.1 * RATE
    assert rejected(silence(1)) == QUIET
    assert rejected(silence(0)) == QUIET


def test_zeros_around_a_sound_go_and_those_within_stay() -> None:
    sound = np.concatenate([tone(0.2), silence(0.3), tone(0.2)])
    padded = np.concatenate([silence(1), sound, silence(2)])
    np.testing.assert_array_equal(CLEANING.clean(padded, RATE), sound)
    assert rejected(np.concatenate([silence(1), tone(0.09), silence(1)])) == SHORT


def test_one_channel_that_sounds_is_enough() -> None:
    stereo = np.concatenate([tone(0.5), 0 * tone(0.5)], axis=1)
    np.testing.assert_array_equal(CLEANING.clean(stereo, RATE), stereo)


@pytest.mark.parametrize("rate", [8000, 11025])
def test_no_window_may_be_silent(rate: int) -> None:
    def with_pause(seconds: float) -> np.ndarray:
        pause = 0.019 / 0.5 * tone(seconds, rate=rate)
        return np.concatenate([tone(5, rate=rate), pause, tone(5, rate=rate)])

    CLEANING.clean(with_pause(9.8), rate)
    assert rejected(with_pause(10.2), rate) == GAP
    short_of_a_window = np.concatenate([tone(0.2, rate=rate), 0.02 * tone(9, rate=rate), tone(0.2, rate=rate)])
    CLEANING.clean(short_of_a_window, rate)


def test_a_window_at_the_very_end_counts() -> None:
    assert rejected(np.concatenate([tone(1), 0.02 * tone(10)])) == GAP


def test_files_are_written_at_the_rate_in_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.wav"
    CLEANING.write(wav(1.0, channels=2, rate=44100), path)
    info = soundfile.info(path)
    assert (info.samplerate, info.frames, info.channels, info.subtype) == (RATE, RATE, 2, "PCM_16")
    assert [found.name for found in path.parent.iterdir()] == ["x.wav"]


def test_what_overshoots_full_scale_is_scaled_not_clipped(tmp_path: Path) -> None:
    loud = io.BytesIO()
    soundfile.write(loud, 4 * tone(0.5) * np.linspace(0.1, 1, 4000)[:, None], RATE, subtype="FLOAT", format="WAV")
    CLEANING.write(loud.getvalue(), tmp_path / "x.wav")
    samples, _ = soundfile.read(tmp_path / "x.wav")
    assert np.sum(np.abs(samples) > 0.999) < 20  # the last half-wave


@pytest.mark.parametrize("content", [b"", b"RIFF and then nothing", encode(np.ones((400, 1)))[:30]])
def test_what_is_no_sound_is_rejected(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnfitSound, match=UNREADABLE):
        CLEANING.write(content, tmp_path / "x.wav")
    assert not list(tmp_path.iterdir())


def test_samples_that_are_no_numbers_are_rejected(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.where(np.arange(4000) == 7, np.nan, 0.5), RATE, subtype="FLOAT", format="WAV")
    with pytest.raises(UnfitSound, match=UNREADABLE):
        CLEANING.write(file.getvalue(), tmp_path / "x.wav")
