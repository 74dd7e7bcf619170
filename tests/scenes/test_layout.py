from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes.layout import Layout
from sedsep.scenes.rooms import write_sofa

RATE = 8000


def test_a_split_lists_its_files_in_order(root: Path) -> None:
    split = Layout(root, RATE, 4).split("train")
    assert list(split.events) == ["Bell", "Cough", "Dog", "Speech"]
    assert [path.name for path in split.events["Bell"]] == ["bell_0.wav", "bell_1.wav"]
    assert list(split.interference) == ["Rain", "Wind"]
    assert [path.name for path in split.noise] == ["long.wav", "short.wav"]
    assert [path.name for path in split.rooms] == ["roomA.sofa", "roomB.sofa"]
    assert split.duration(split.events["Dog"][1]) == 5.0
    assert split.dirs.foreground == "sound_event/train"


def test_sounds_may_lie_in_folders_of_recordings(root: Path) -> None:
    bell = root / "sound_event" / "train" / "Bell"
    (bell / "more").mkdir()
    shutil.copy(bell / "bell_0.wav", bell / "more" / "bell_9.wav")
    shutil.copy(bell / "bell_0.wav", bell / "._bell_0.wav")
    (bell / "notes.txt").write_text("a note")
    split = Layout(root, RATE, 4).split("train")
    assert [split.names[path] for path in split.events["Bell"]] == [
        "Bell/bell_0.wav",
        "Bell/bell_1.wav",
        "Bell/more/bell_9.wav",
    ]


def test_a_split_is_indexed_once(layout: Layout) -> None:
    assert layout.split("train") is layout.split("train")


def test_the_root_may_hold_dev_set(root: Path) -> None:
    root.rename(root.parent / "dev_set")
    assert Layout(root.parent, RATE, 4).root == root.parent / "dev_set"


def test_interference_and_background_are_optional(root: Path) -> None:
    shutil.rmtree(root / "interference")
    shutil.rmtree(root / "noise")
    split = Layout(root, RATE, 4).split("train")
    assert split.interference == {}
    assert split.noise == []
    assert split.dirs.interference is None


def test_labels_come_from_the_folders_or_from_labels_json(root: Path) -> None:
    layout = Layout(root, RATE, 4)
    assert layout.labels() == LabelSet(("Bell", "Cough", "Dog", "Speech"))
    (root / "labels.json").write_text(json.dumps(["Speech", "Dog", "Cough", "Bell", "Typing"]))
    assert layout.labels().names == ("Speech", "Dog", "Cough", "Bell", "Typing")


def test_every_label_folder_must_be_a_class(layout: Layout) -> None:
    layout.check(layout.labels())
    with pytest.raises(UserError, match=r"Dog is not among the 3 classes"):
        layout.check(LabelSet(("Bell", "Cough", "Speech")))


def _no_wavs(root: Path) -> None:
    (root / "sound_event" / "train" / "Empty").mkdir()


def _no_labels(root: Path) -> None:
    shutil.rmtree(root / "sound_event" / "train")
    (root / "sound_event" / "train").mkdir()


def _no_rooms(root: Path) -> None:
    shutil.rmtree(root / "room_ir" / "train")


def _stereo_noise(root: Path) -> None:
    soundfile.write(root / "noise" / "train" / "stereo.wav", np.zeros((8000, 2)), RATE)


def _empty_noise(root: Path) -> None:
    for path in (root / "noise" / "train").iterdir():
        path.unlink()


def _broken_event(root: Path) -> None:
    (root / "sound_event" / "train" / "Bell" / "bell_0.wav").write_text("no audio")


def _room_with_two_microphones(root: Path) -> None:
    write_sofa(root / "room_ir" / "train" / "two.sofa", np.ones((1, 2, 9)), np.zeros((1, 3)), RATE, title="two")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_wavs, r"Empty holds no wav files"),
        (_no_labels, r"sound_event/train holds no label folders"),
        (_no_rooms, r"room_ir/train holds no sofa files"),
        (_stereo_noise, r"stereo\.wav has 2 channels, not 4"),
        (_empty_noise, r"noise/train holds no wav files"),
        (_broken_event, r"bell_0\.wav is not a readable audio file"),
        (_room_with_two_microphones, r"two\.sofa holds responses of shape \[1, 2, 9\]"),
    ],
)
def test_a_split_that_cannot_be_used_says_why(root: Path, damage, says: str) -> None:
    damage(root)
    with pytest.raises(UserError, match=says) as error:
        Layout(root, RATE, 4).split("train")
    assert "\n" not in str(error.value)


def test_a_root_that_is_no_data_set_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        Layout(tmp_path / "nowhere", RATE, 4)
    with pytest.raises(UserError, match="is empty"):
        Layout(tmp_path, RATE, 4)
    (tmp_path / "music").mkdir()
    with pytest.raises(UserError, match="does not hold the folder sound_event"):
        Layout(tmp_path, RATE, 4)
    (tmp_path / "sound_event").mkdir()
    with pytest.raises(UserError, match="holds no splits"):
        Layout(tmp_path, RATE, 4)


def test_a_missing_split_names_those_present(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"no split 'test'.*train, valid"):
        layout.split("test")


@pytest.mark.parametrize("content", ["{}", "[1, 2]", "nothing"])
def test_a_malformed_labels_json_is_refused(root: Path, content: str) -> None:
    (root / "labels.json").write_text(content)
    with pytest.raises(UserError, match=r"labels\.json is damaged or holds something else"):
        Layout(root, RATE, 4).labels()


def test_the_fingerprint_follows_the_content_and_nothing_else(root: Path, tmp_path: Path) -> None:
    def fingerprint(folder: Path) -> str:
        return Layout(folder, RATE, 4).fingerprint("train")

    before = fingerprint(root)
    for path in root.rglob("*.wav"):
        os.utime(path, (1, 1))
    shutil.copytree(root, tmp_path / "copy")
    assert fingerprint(root) == fingerprint(tmp_path / "copy") == before

    seen = {before}
    bell = root / "sound_event" / "train" / "Bell" / "bell_1.wav"
    content = bytearray(bell.read_bytes())
    content[-1] ^= 1  # one bit of the last sample
    bell.write_bytes(content)
    seen.add(fingerprint(root))
    bell.rename(bell.with_name("bell_2.wav"))
    seen.add(fingerprint(root))
    (root / "metadata").mkdir()
    (root / "metadata" / "train.json").write_text("[]")
    seen.add(fingerprint(root))
    (root / "room_ir" / "train" / "roomB.sofa").unlink()
    seen.add(fingerprint(root))
    assert len(seen) == 5
