"""Verification: every kind of damage is named, all of it at once, and what is sound passes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from sedsep.datasets import synthetic
from sedsep.datasets.verify import Verdict, verify
from sedsep.labels import LabelSet
from sedsep.scenes import audio
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import write_index
from sedsep.scenes.recorded import RecordedScenes
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler

RATE, CHANNELS = 8000, 4
LABELS = LabelSet(("Bell", "Cough", "Dog", "Speech"))
Damage = Callable[[Path], Path]


@pytest.fixture
def root(layout: Layout, tmp_path: Path) -> Path:
    """A data set with a train and a valid split, free to be damaged."""
    return Path(shutil.copytree(layout.root, tmp_path / "set"))


def check(root: Path, **options: object) -> Verdict:
    return verify(root, LABELS, RATE, CHANNELS, splits=("train", "valid"), **options)  # type: ignore[arg-type]


def texts(verdict: Verdict) -> list[str]:
    return [problem.text for problem in verdict.problems]


def random(seconds: float, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(99)
    return (0.1 * rng.standard_normal((int(seconds * RATE), channels))).astype(np.float32)


# What is sound.


@pytest.mark.parametrize("decode", [False, True])
def test_a_sound_data_set_passes(root: Path, decode: bool) -> None:
    verdict = check(root, decode=decode)
    assert verdict.problems == []
    assert verdict.root == root


def test_the_contents_are_counted(root: Path) -> None:
    contents = {(c.split, c.group, c.label): c for c in check(root).contents}
    bell = contents["train", "sound_event", "Bell"]
    assert (bell.files, bell.seconds) == (2, pytest.approx(1.1))
    assert bell.size == sum(path.stat().st_size for path in (root / "sound_event" / "train" / "Bell").iterdir())
    assert contents["valid", "noise", None].files == contents["valid", "room_ir", None].files == 2


@pytest.mark.parametrize("decode", [False, True])
def test_a_synthetic_set_passes(tmp_path: Path, decode: bool) -> None:
    labels = LabelSet(("Speech", "Doorbell"))
    root = synthetic.ensure_synthetic(
        tmp_path, labels, sample_rate=RATE, positions=2, noises_per_room=1, scene_seconds=2.0,
        noise_seconds=3.0, event_seconds=(0.5, 1.0), response_seconds=0.1, scenes_per_split={"valid": 2, "test": 2},
        files_per_class=dict.fromkeys(synthetic.SPLITS, 1), rooms=dict.fromkeys(synthetic.SPLITS, 1),
    )  # fmt: skip
    verdict = verify(root, labels, RATE, CHANNELS, splits=synthetic.SPLITS, decode=decode)
    assert verdict.problems == []
    assert verdict.scenes == {"valid": 2, "test": 2}


@pytest.mark.parametrize(
    ("place", "names", "scenes"),
    [
        ("scenes", ("AlarmClock", "Blender", "Cough", "Doorbell", "FootSteps", "Speech"), 6),
        ("dcase2026/scenes", ("AlarmClock", "Dishes", "Doorbell", "Speech"), 8),
    ],
)
def test_the_challenges_layout_passes(golden: Path, place: str, names: tuple[str, ...], scenes: int) -> None:
    verdict = verify(golden / place, LabelSet(names), 32000, 4, splits=("valid",), decode=True)
    assert verdict.problems == []
    assert verdict.scenes == {"valid": scenes}


def test_real_recordings_pass(shared: Path) -> None:
    root = shared / "realmini"
    labels = LabelSet(tuple(json.loads((root / "labels.json").read_text())))
    assert verify(root, labels, 32000, 4, splits=("train", "valid", "test"), decode=True).problems == []


def test_only_the_start_of_a_loud_file_is_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def read(*args: object) -> tuple[np.ndarray, int]:
        samples, rate = READ(*args)
        lengths.append(len(samples))
        return samples, rate

    monkeypatch.setattr(audio, "read", read)
    check(root)
    assert max(lengths) <= RATE
    lengths.clear()
    check(root, decode=True)
    assert max(lengths) > RATE


READ = audio.read


# Damaged files.

BELL = "sound_event/train/Bell/bell_1.wav"
DOG = "sound_event/train/Dog/dog_1.wav"
NOISE = "noise/train/long.wav"
ROOM = "room_ir/train/roomB.sofa"


def empty(root: Path) -> Path:
    (root / BELL).write_bytes(b"")
    return root / BELL


def text(root: Path) -> Path:
    (root / BELL).write_text("404: not found")
    return root / BELL


def cut_off(root: Path) -> Path:
    (root / DOG).write_bytes((root / DOG).read_bytes()[:-1000])
    return root / DOG


def cut_in_the_header(root: Path) -> Path:
    (root / BELL).write_bytes((root / BELL).read_bytes()[:30])
    return root / BELL


def no_samples(root: Path) -> Path:
    soundfile.write(root / BELL, np.zeros((0, 1)), RATE)
    return root / BELL


def silence(root: Path) -> Path:
    soundfile.write(root / DOG, np.zeros(3 * RATE), RATE)
    return root / DOG


def nearly_silence(root: Path) -> Path:
    soundfile.write(root / DOG, 1e-3 * random(2.0), RATE)
    return root / DOG


def too_short(root: Path) -> Path:
    soundfile.write(root / BELL, random(0.05), RATE)
    return root / BELL


def two_channels(root: Path) -> Path:
    soundfile.write(root / NOISE, random(1.0, 2), RATE)
    return root / NOISE


def silent_noise(root: Path) -> Path:
    soundfile.write(root / NOISE, np.zeros((RATE, CHANNELS)), RATE)
    return root / NOISE


def a_link_to_nothing(root: Path) -> Path:
    (root / BELL).unlink()
    (root / BELL).symlink_to(root / "gone.wav")
    return root / BELL


def room_of_text(root: Path) -> Path:
    (root / ROOM).write_text("a room")
    return root / ROOM


def room_cut_off(root: Path) -> Path:
    (root / ROOM).write_bytes((root / ROOM).read_bytes()[:-3000])
    return root / ROOM


def room_without_positions(root: Path) -> Path:
    with h5py.File(root / ROOM, "a") as file:
        del file["SourcePosition"]
    return root / ROOM


def room_at_no_rate(root: Path) -> Path:
    write_sofa(root / ROOM, np.ones((1, CHANNELS, 9)), np.zeros((1, 3)), 500, title="slow")
    return root / ROOM


def room_of_two_microphones(root: Path) -> Path:
    write_sofa(root / ROOM, np.ones((1, 2, 9)), np.zeros((1, 3)), RATE, title="two")
    return root / ROOM


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (empty, "is empty"),
        (text, "is not a readable audio file"),
        (cut_off, "is cut off"),
        (cut_in_the_header, "is not a readable audio file|is cut off"),
        (no_samples, "holds no samples"),
        (silence, "holds nothing but zeros"),
        (nearly_silence, "peaks at -[67]. dB re full scale"),
        (too_short, r"lasts only 0\.050 s"),
        (two_channels, "has 2 channels, not 4"),
        (silent_noise, "holds nothing but zeros"),
        (a_link_to_nothing, r"is a link to .*gone\.wav, which does not exist"),
        (room_of_text, "is not a readable SOFA file"),
        (room_cut_off, "is not a readable SOFA file"),
        (room_without_positions, "lacks SourcePosition"),
        (room_at_no_rate, "500 Hz, expected one whole number from 1000"),
        (room_of_two_microphones, r"shape \[1, 2, 9\]"),
    ],
)
def test_a_damaged_file_is_named(root: Path, damage: Damage, says: str) -> None:
    path = damage(root)
    (found,) = check(root).problems
    assert re.search(says, found.text)
    assert found.path == path
    assert_one_sentence(found.text, path)


def not_a_number(root: Path) -> Path:
    samples = random(5.0)
    samples[30000] = np.nan
    soundfile.write(root / DOG, samples, RATE, subtype="FLOAT")
    return root / DOG


def damage_inside(root: Path) -> Path:
    """A FLAC stream, whatever its name, with its middle overwritten."""
    soundfile.write(root / DOG, random(5.0), RATE, format="FLAC")
    content = bytearray((root / DOG).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    (root / DOG).write_bytes(content)
    return root / DOG


def room_with_nan(root: Path) -> Path:
    with h5py.File(root / ROOM, "a") as file:
        response = file["Data.IR"][2]
        response[0, 5] = np.nan
        file["Data.IR"][2] = response
        for name in ("_FillValue", "missing_value"):
            file["Data.IR"].attrs.pop(name, None)
    return root / ROOM


def silent_room(root: Path) -> Path:
    with h5py.File(root / ROOM, "a") as file:
        file["Data.IR"][2] = 0.0
    return root / ROOM


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (not_a_number, "NaN or infinite samples"),
        (damage_inside, "cannot be decoded|ends after|is cut off or damaged"),
        (room_with_nan, "a magnitude of nan in Data.IR, position 2"),
        (silent_room, "nothing but zeros in Data.IR, position 2"),
    ],
)
def test_damage_inside_a_file_is_found_by_decoding(root: Path, damage: Damage, says: str) -> None:
    path = damage(root)
    assert check(root).problems == []
    (found,) = check(root, decode=True).problems
    assert re.search(says, found.text)
    assert found.path == path
    assert_one_sentence(found.text, path)


def assert_one_sentence(sentence: str, path: Path) -> None:
    assert str(path) in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_everything_wrong_is_told_at_once(root: Path) -> None:
    damaged = [cut_off(root), text(root), two_channels(root), room_cut_off(root)]
    shutil.rmtree(root / "room_ir" / "valid")
    shutil.rmtree(root / "sound_event" / "train" / "Speech")
    (root / "metadata").mkdir()
    (root / "metadata" / "valid.json").write_text("{")
    verdict = check(root)
    assert {problem.path for problem in verdict.problems} == {
        *damaged,
        root / "room_ir" / "valid",
        root / "sound_event" / "train" / "Speech",
        root / "metadata" / "valid.json",
    }


# Structure and labels.


def test_a_root_that_is_no_data_set_is_the_one_problem(tmp_path: Path) -> None:
    (found,) = check(tmp_path / "nowhere").problems
    assert "does not exist" in found.text
    (tmp_path / "music").mkdir()
    (found,) = check(tmp_path).problems
    assert "does not hold the folder sound_event" in found.text


def test_a_split_that_is_needed_and_absent_is_named(root: Path) -> None:
    shutil.rmtree(root / "sound_event" / "valid")
    assert any("sound_event/valid does not exist" in text for text in texts(check(root)))
    (root / "valid" / "soundscape").mkdir(parents=True)
    soundfile.write(root / "valid" / "soundscape" / "a.wav", random(1.0, CHANNELS), RATE)
    assert check(root).problems == []


def test_files_that_nobody_reads_are_named(root: Path) -> None:
    bell = root / "sound_event" / "train" / "Bell"
    soundfile.write(bell / "other.flac", random(1.0), RATE)
    (bell / "bell_0.wav").rename(bell / "BELL.WAV")
    for folder in (bell / "one", root / "room_ir" / "train" / "more", root / "elsewhere"):
        folder.mkdir()
        soundfile.write(folder / "a.wav", random(0.7), RATE)  # a recording of `one` is read
    (bell / "two").symlink_to(root / "elsewhere")
    (bell / "notes.txt").write_text("fine")
    (bell / "._bell_1.wav").write_text("fine")
    named = {problem.path.name for problem in check(root).problems}
    assert named == {"other.flac", "BELL.WAV", "more", "two"}


def test_an_empty_label_folder_is_named(root: Path) -> None:
    (root / "interference" / "train" / "Hum").mkdir()
    (found,) = texts(check(root))
    assert "Hum holds no wav files" in found


def test_labels_must_be_classes_and_classes_have_sounds(root: Path) -> None:
    (root / "sound_event" / "train" / "Dog").rename(root / "sound_event" / "train" / "Dogs")
    shutil.rmtree(root / "sound_event" / "valid" / "Dog")  # a split for evaluation may lack a class
    found = check(root)
    assert {problem.kind for problem in found.problems} == {"label"}
    assert sorted(problem.path.name for problem in found.problems) == ["Dog", "Dogs"]


# Leaks.


def test_the_same_content_in_two_splits_is_a_leak(root: Path) -> None:
    shutil.copy(root / DOG, root / "interference" / "valid" / "Wind" / "renamed.wav")
    shutil.copy(root / NOISE, root / "noise" / "valid" / "again.wav")
    shutil.copy(root / ROOM, root / "room_ir" / "valid" / "again.sofa")
    found = check(root).problems
    assert [problem.kind for problem in found] == ["leak"] * 3
    for problem, (name, copy) in zip(
        found, [(DOG, "renamed.wav"), (NOISE, "again.wav"), (ROOM, "again.sofa")], strict=True
    ):
        assert str(root / name) in problem.text
        assert copy in problem.text


def test_the_same_content_twice_in_one_split_is_none(root: Path) -> None:
    shutil.copy(root / DOG, root / "sound_event" / "train" / "Speech" / "again.wav")
    assert check(root).problems == []


def test_files_that_differ_in_one_bit_are_no_leak(root: Path) -> None:
    content = bytearray((root / DOG).read_bytes())
    content[-1] ^= 1
    (root / "sound_event" / "valid" / "Dog" / "nearly.wav").write_bytes(content)
    assert check(root).problems == []


# Scenes and recordings.


@pytest.fixture
def scenes(root: Path) -> Path:
    """Three fixed scenes; the path of the first."""
    sampler = SceneSampler(Layout(root, RATE, CHANNELS).split("valid"), 2.0)
    write_index([sampler.sample(0, 0, index) for index in range(3)], root / "metadata" / "valid.json")
    return root / "metadata" / "valid" / "scene_000_000000.json"


def test_fixed_scenes_pass(root: Path, scenes: Path) -> None:
    verdict = check(root)
    assert verdict.problems == []
    assert verdict.scenes == {"valid": 3}


def test_scenes_that_point_nowhere_are_named_with_every_file(root: Path, scenes: Path) -> None:
    content = json.loads(scenes.read_text())
    content["room"] = "gone.sofa"
    content["fg_events"][0]["source_file"] = "Bell/gone.wav"
    scenes.write_text(json.dumps(content))
    (root / "metadata" / "valid" / "scene_000_000001.json").unlink()
    found = check(root).problems
    assert {problem.kind for problem in found} == {"metadata"}
    sentences = " ".join(texts(check(root)))
    assert len(found) == 3
    for gone in ("metadata/valid/scene_000_000001.json", "room_ir/valid/gone.sofa", "sound_event/valid/Bell/gone.wav"):
        assert str(root / gone) in sentences


def change_rate(content: dict) -> None:
    content["config"]["sr"] = 16000


def change_channel(content: dict) -> None:
    content["config"]["ref_channel"] = 4


def play_too_long(content: dict) -> None:
    content["fg_events"][0]["event_duration"] = 20.0


def change_label(content: dict) -> None:
    content["fg_events"][0]["label"] = "Cat"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (change_rate, "16000 Hz, not at 8000 Hz"),
        (change_channel, "channel 4 of 4"),
        (play_too_long, r"up to 2\d\.\d\d s, but it lasts"),
        (change_label, "but the ref_event"),
    ],
)
def test_a_scene_that_cannot_be_rendered_is_named(
    root: Path, scenes: Path, damage: Callable[[dict], None], says: str
) -> None:
    content = json.loads(scenes.read_text())
    damage(content)
    scenes.write_text(json.dumps(content))
    (found,) = check(root).problems
    assert re.search(says, found.text)
    assert_one_sentence(found.text, scenes)


def test_scenes_must_hold_classes(root: Path) -> None:
    sampler = SceneSampler(Layout(root, RATE, CHANNELS).split("valid"), 2.0, events=(1, 1))
    spec = sampler.sample(0, 0, 0)
    event = replace(spec.foreground[0], label="Cat")
    write_index([replace(spec, foreground=(event,), slots=("Cat",))], root / "metadata" / "valid.json")
    (found,) = texts(check(root))
    assert "holds the label Cat, which is no class" in found


def test_recordings_and_their_targets_are_checked(root: Path) -> None:
    mixtures, targets = root / "test" / "soundscape", root / "test" / "oracle_target"
    mixtures.mkdir(parents=True)
    targets.mkdir()
    soundfile.write(mixtures / "a_b.wav", random(1.0, CHANNELS), RATE)
    soundfile.write(targets / "a_b_Bell.wav", 1e-4 * random(1.0), RATE)  # a quiet target is none to mend
    assert check(root).problems == []
    soundfile.write(mixtures / "mono.wav", random(1.0), RATE)
    soundfile.write(mixtures / "slow.wav", random(1.0, CHANNELS), RATE // 2)
    soundfile.write(targets / "a_b_Cat.wav", random(1.0), RATE)
    soundfile.write(targets / "gone_Bell.wav", random(1.0), RATE)
    soundfile.write(targets / "a_b_Dog.wav", random(1.5), RATE)
    found = {problem.path.name: problem.text for problem in check(root).problems}
    assert set(found) == {"mono.wav", "slow.wav", "a_b_Cat.wav", "gone_Bell.wav", "a_b_Dog.wav"}
    assert "has 1 channels, not 4" in found["mono.wav"]
    assert "4000 Hz, not at 8000 Hz" in found["slow.wav"]
    assert "names no class" in found["a_b_Cat.wav"]
    assert "which does not exist" in found["gone_Bell.wav"]
    assert "has 12000 samples, a_b.wav 8000" in found["a_b_Dog.wav"]


def test_recordings_of_2026_may_repeat_a_class_or_hold_nothing(root: Path) -> None:
    """Where the name of a mixture begins another's, the form of all tells what one means."""
    mixtures, targets = (root / "synthesized" / "test" / group for group in ("soundscape", "oracle_target"))
    for folder, names, channels in (
        (mixtures, ("a", "a_1", "a_1_2"), CHANNELS),
        (targets, ("a_1_0_Bell", "a_1_1_Bell", "a_1_2_0_Bell"), 1),
    ):
        folder.mkdir(parents=True)
        for name in names:
            soundfile.write(folder / f"{name}.wav", random(1.0, channels), RATE)
    assert check(root).problems == []
    for name in ("a_1_Bell", "a_1_2_1_Dog"):  # by itself, the first could be of a_1
        soundfile.write(targets / f"{name}.wav", random(1.0), RATE)
    assert check(root).problems == []
    scenes = RecordedScenes(mixtures.parent, LABELS, RATE, CHANNELS)
    assert [scenes[item].labels for item in range(3)] == [
        ("Bell", "silence"), ("Bell", "Bell"), ("Bell", "Dog"),
    ]  # fmt: skip
    soundfile.write(targets / "a_Dog.wav", random(1.0), RATE)
    (found,) = check(root).problems
    assert "a_1_Bell.wav can be Bell of a or Bell of a_1" in found.text
