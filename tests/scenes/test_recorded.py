from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets.challenge.replica import RATE, encode, recorded, wav
from minis import refused

from sedsep.labels import LabelSet
from sedsep.scenes.dataset import collate
from sedsep.scenes.layout import recorded_splits
from sedsep.scenes.recorded import RecordedScenes

LABELS = LabelSet(("Speech", "Cough", "Doorbell"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in recorded("test").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path / "test"


def scenes(folder: Path) -> RecordedScenes:
    return RecordedScenes(folder, LABELS, RATE, 4)


def test_sources_find_their_mixture_by_its_whole_name(folder: Path) -> None:
    recordings = scenes(folder)
    assert len(recordings) == 2
    assert [(recordings[item].name, recordings[item].labels) for item in range(2)] == [
        ("s_1", ("Cough", "Speech")),
        ("s_10", ("Doorbell", "silence")),
    ]


def test_a_scene_holds_what_the_files_hold(folder: Path) -> None:
    scene, other = (scenes(folder)[item] for item in range(2))
    assert scene.mixture.shape == (4, RATE)
    assert scene.mixture.dtype == scene.targets.dtype == np.float32
    assert scene.spans == ((0, RATE), (2000, 6000))
    assert other.spans == ((0, RATE), (0, 0))
    np.testing.assert_array_equal(scene.targets[1, 2000:6000], np.float32(0.25))
    assert not other.targets[1].any()


def test_scenes_share_a_batch(folder: Path) -> None:
    recordings = scenes(folder)
    batch = collate([recordings[0], recordings[1]], LABELS)
    assert batch.query.sum(dim=2).tolist() == [[1, 1], [1, 0]]


def test_recorded_splits_are_found(folder: Path) -> None:
    assert recorded_splits(folder.parent) == {"test": folder}


def test_the_fingerprint_changes_with_the_files(folder: Path) -> None:
    before = scenes(folder).fingerprint()
    assert scenes(folder).fingerprint() == before
    (folder / "oracle_target" / "s_10_Cough.wav").write_bytes(wav(1.0))
    assert scenes(folder).fingerprint() != before


def test_sets_that_cannot_be_scored_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("s_2_Speech", "s_1_Dog", "s_1"):
        stray = folder / "oracle_target" / f"{name}.wav"
        stray.write_bytes(wav(1.0))
        with refused(rf"{name}\.wav (names no class|belongs to .* which does not exist)"):
            scenes(folder)
        stray.unlink()
    (folder / "oracle_target").rename(tmp_path / "away")
    with refused("oracle_target holds no wav files"):
        scenes(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (wav(1.0, rate=16000), "is sampled at 16000 Hz, not at 8000 Hz"),
        (wav(1.0, channels=2), "has 2 channels, not 1"),
        (encode(np.ones(RATE - 1)), r"has 7999 samples, s_1\.wav 8000"),
        (b"no sound", "is not a readable audio file"),
    ],
    ids=["rate", "channels", "length", "damaged"],
)
def test_a_file_that_does_not_fit_is_named(folder: Path, content: bytes, says: str) -> None:
    (folder / "oracle_target" / "s_1_Cough.wav").write_bytes(content)
    with refused(rf"s_1_Cough\.wav .*{says}|s_1_Cough\.wav {says}"):
        scenes(folder)[0]
