from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from minis import refused

from sedsep.inference.recordings import find, from_array, from_file
from sedsep.scenes.audio import BLOCK

RATE = 22050
FORMATS = ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64")


def write(path: Path, samples: np.ndarray, **more: str) -> Path:
    soundfile.write(path, samples, RATE, **more)
    return path


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((4 * RATE + 7, 2))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_libsndfile_reads_is_read_in_blocks(tmp_path: Path, noise: np.ndarray, kind: str) -> None:
    recording = from_file(write(tmp_path / f"a.b.{kind}", noise))
    assert (recording.name, recording.rate, recording.channels, recording.frames) == ("a.b", RATE, 2, len(noise))
    assert recording.level == pytest.approx(-20, abs=2 if kind in {"ogg", "mp3"} else 0.1)
    for _ in range(2):
        blocks = list(recording.blocks())
        assert len(blocks) == 2
        assert max(map(len, blocks)) <= BLOCK
    whole, _ = soundfile.read(tmp_path / f"a.b.{kind}", dtype="float32")
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, noise: np.ndarray, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with refused(rf"a\.{kind} is cut off"):
        from_file(path)


def test_what_is_no_recording_is_one_sentence(tmp_path: Path, noise: np.ndarray) -> None:
    with refused("absent.wav does not exist"):
        from_file(tmp_path / "absent.wav")
    with refused("is a folder"):
        from_file(tmp_path)
    (tmp_path / "text.wav").write_text("hello")
    with refused("text.wav is not a readable audio file"):
        from_file(tmp_path / "text.wav")
    (tmp_path / "empty.mp3").touch()
    with refused("empty.mp3 is empty"):
        from_file(tmp_path / "empty.mp3")
    with refused("holds no samples"):
        from_file(write(tmp_path / "none.wav", noise[:0]))
    noise = noise.copy()
    noise[-1, 1] = np.nan
    with refused("holds NaN or infinite samples"):
        from_file(write(tmp_path / "nan.wav", noise, subtype="FLOAT"))


def test_arrays_are_checked_as_files_are() -> None:
    recording = from_array(np.zeros((BLOCK + 1, 3), np.float32), RATE)
    assert [block.shape for block in recording.blocks()] == [(BLOCK, 3), (1, 3)]
    assert recording.level == -np.inf
    with refused("holds no samples"):
        from_array(np.zeros((0, 1), np.float32), RATE)
    with refused("holds NaN"):
        from_array(np.full((5, 1), np.inf, np.float32), RATE)
    with refused("sample_rate=0"):
        from_array(np.zeros((5, 1), np.float32), 0)


def test_a_path_a_folder_and_a_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.wav", "a.FLAC", ".hidden.wav", "notes.txt", "deep/c.wav", "odd[1].wav"):
        (tmp_path / "in" / name).touch()
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in find("in")] == ["a.FLAC", "b.wav", "odd[1].wav"]
    assert [path.name for path in find("in/**/*.wav")] == ["b.wav", "c.wav", "odd[1].wav"]
    assert find("in/odd[1].wav") == [Path("in/odd[1].wav")]
    assert find("in/absent.wav") == [Path("in/absent.wav")]  # what is wrong with it is told when it is opened
    with refused(r"No file is called in/\*\.mp3"):
        find("in/*.mp3")
    (tmp_path / "bare").mkdir()
    with refused("bare holds no audio files"):
        find("bare")


def test_links_in_loops_are_not_followed(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "x.wav").touch()
    assert find(f"{tmp_path}/**/*.wav") == [tmp_path / "x.wav"]
