from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsep.errors import UserError
from sedsep.scenes import audio
from sedsep.scenes.problems import FileError


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """0, 1, 2, ... thousandths at 1 kHz, in two channels."""
    path = tmp_path / "ramp.wav"
    steps = np.arange(500, dtype=np.float32) / 1000
    soundfile.write(path, np.stack([steps, -steps], axis=1), 1000, subtype="FLOAT")
    return path


def test_reads_the_frames_asked_for(ramp: Path) -> None:
    samples, rate = audio.read(ramp, 0.1239, 0.0029)
    assert rate == 1000
    assert samples.dtype == np.float32
    # 123.9 and 2.9 frames: both are cut off, not rounded.
    np.testing.assert_array_equal(samples[:, 0], np.float32([0.123, 0.124]))
    np.testing.assert_array_equal(samples[:, 1], -samples[:, 0])


def test_whole_numbers_become_what_libsndfile_makes_of_them(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    samples[:2] = [[-1, 1, 0], [1, -1, 0]]
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, 8000, subtype="PCM_16")
        expected, _ = soundfile.read(tmp_path / name, dtype="float32")
        read, _ = audio.read(tmp_path / name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected)


def test_reads_to_the_end_by_default(ramp: Path) -> None:
    assert audio.read(ramp)[0].shape == (500, 2)
    assert audio.read(ramp, 0.4)[0].shape == (100, 2)


def test_info_says_what_the_header_says(ramp: Path) -> None:
    info = audio.info(ramp)
    assert (info.frames, info.channels, info.rate, info.duration) == (500, 2, 1000, 0.5)


def test_a_length_that_is_no_whole_frame_in_binary_drops_the_last_one(tmp_path: Path) -> None:
    # 3 frames at 44.1 kHz are 6.8e-5 s; some such products fall just short of the whole number, as the reference's do.
    short = next(n for n in range(1, 20000) if int(n / 44100 * 44100) == n - 1)
    soundfile.write(tmp_path / "x.wav", np.ones(short), 44100)
    samples, _ = audio.read(tmp_path / "x.wav", 0.0, short / 44100)
    assert len(samples) == short - 1


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 32000), (8000, 32000), (48000, 44100)])
def test_resampling_keeps_a_tone_and_rounds_the_length_up(rate: int, new_rate: int) -> None:
    n = 10001
    tone = np.sin(2 * np.pi * 440 * np.arange(n) / rate).astype(np.float32)
    resampled = audio.resample(tone, rate, new_rate)
    assert resampled.dtype == np.float32
    assert len(resampled) == int(np.ceil(n * (new_rate / rate)))
    expected = np.sin(2 * np.pi * 440 * np.arange(len(resampled)) / new_rate)
    inner = slice(500, -500)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=1e-3)


def test_resampling_treats_channels_apart(ramp: Path) -> None:
    samples, rate = audio.read(ramp)
    both = audio.resample(samples, rate, 3000)
    np.testing.assert_array_equal(both[:, 0], audio.resample(samples[:, 0].copy(), rate, 3000))


def _damage(kind: str, path: Path) -> None:
    samples = np.full(400, 0.25, np.float32)
    match kind:
        case "missing":
            pass
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("this is no audio")
        case "zero bytes":
            path.write_bytes(b"")
        case "picture":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
        case "unreadable":
            soundfile.write(path, samples, 8000)
            path.chmod(0)
            if os.access(path, os.R_OK):
                pytest.skip("this user may read everything")
        case "empty":
            soundfile.write(path, samples[:0], 8000)
        case "nan" | "inf":
            samples[100] = float(kind)
            soundfile.write(path, samples, 8000, subtype="FLOAT")
        case "cut":
            soundfile.write(path, samples, 8000)
            path.write_bytes(path.read_bytes()[:-300])
        case "cut flac":
            rng = np.random.default_rng(0)
            soundfile.write(path, rng.uniform(-0.5, 0.5, 40000), 8000, format="FLAC")
            path.write_bytes(path.read_bytes()[:-30000])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder, not an audio file"),
        ("text", "not a readable audio"),
        ("zero bytes", "is empty"),
        ("picture", "not a readable audio"),
        ("unreadable", "not a readable audio"),
        ("empty", "holds no samples"),
        ("nan", "NaN or infinite"),
        ("inf", "NaN or infinite"),
        ("cut", "is cut off: its header promises 800 bytes of samples, the last 300 are missing"),
        ("cut flac", "fetch or convert it again"),
    ],
)
def test_a_bad_file_gives_one_sentence_that_names_it(tmp_path: Path, kind: str, says: str) -> None:
    path = tmp_path / "bad.wav"
    _damage(kind, path)
    with pytest.raises(FileError, match=says) as error:
        audio.read(path)
    assert error.value.path == path
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["RF64", "W64", "AU", "CAF", "AIFF"])
def test_a_file_that_ends_before_its_samples_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    soundfile.write(path, np.full(400, 0.25), 8000, format=kind, subtype="PCM_16")
    assert audio.info(path).frames == 400
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"x is cut off: its header promises 8\d\d bytes of samples, the last 1 are"):
        audio.read(path)


def test_flac_from_a_pipe_is_as_long_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, np.full(400, 0.25), 8000)
    content = bytearray(path.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
    path.write_bytes(content)
    assert audio.info(path).frames == len(audio.read(path)[0]) == 400


def test_a_pipe_is_not_opened_and_a_name_is_no_hint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(FileError, match="is a device or a pipe"):
        audio.info(tmp_path / "pipe.wav")
    (tmp_path / "x.raw").write_bytes(bytes(100))
    with pytest.raises(FileError, match=r"x\.raw is not a readable audio file"):
        audio.info(tmp_path / "x.raw")


def test_asking_for_more_than_there_is_is_an_error(ramp: Path) -> None:
    with pytest.raises(UserError, match=r"ramp.wav holds 500 frames, but 200 are asked for from frame 400"):
        audio.read(ramp, 0.4, 0.2)
