"""Scenes, indices and class names that mean no good: refused in one sentence that names the file and the entry, or
rendered exactly as the undamaged ones."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import assert_refused, assert_refuses, assert_sentence, command
from tiny import TINY, write_tiny_set

from sedsep.datasets.verify import verify
from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.rendering import Renderer
from sedsep.types import Scene

pytestmark = pytest.mark.slow

RATE, CHANNELS = 16000, 4
SCENE = "valid_000"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("made") / "set")


@pytest.fixture(scope="module")
def layout(made: Path) -> Layout:
    return Layout(made, RATE, CHANNELS)


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    """The index of a scene, both free to be damaged; the sounds are those of the data set."""
    (tmp_path / "valid").mkdir()
    shutil.copy(made / "metadata" / "valid" / f"{SCENE}.json", tmp_path / "valid")
    entries = json.loads((made / "metadata" / "valid.json").read_text())
    (tmp_path / "valid.json").write_text(json.dumps(entries[:1]))
    return tmp_path / "valid.json"


def render(index: Path, layout: Layout) -> Scene:
    (spec,) = load_index(index, layout, layout.labels())
    return Renderer(layout).render(spec)


@cache
def undamaged(layout: Layout) -> Scene:
    (spec, *_) = load_index(layout.root / "metadata" / "valid.json", layout)
    return Renderer(layout).render(spec)


def assert_as_undamaged(scene: Scene, layout: Layout) -> None:
    whole = undamaged(layout)
    assert np.isfinite(scene.mixture).all()
    np.testing.assert_array_equal(scene.mixture, whole.mixture)
    np.testing.assert_array_equal(scene.targets, whole.targets)
    assert (scene.labels, scene.spans) == (whole.labels, whole.spans)


def put(content: Any, place: str, value: object) -> None:
    """Another value at a place such as `fg_events.0.snr`; `...` takes it out."""
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in path:
        content = content[part]
    if value is ...:
        del content[last]
    else:
        content[last] = value


def damage(path: Path, *changes: tuple[str, object]) -> None:
    content = json.loads(path.read_text())
    for place, value in changes:
        put(content, place, value)
    path.write_text(json.dumps(content).replace('"1e999"', "1e999"))


# Numbers.

NUMBERS = (
    "fg_events.0.snr", "fg_events.0.event_time", "fg_events.0.event_duration", "fg_events.0.source_time",
    "fg_events.0.event_position.0.1", "bg_events.0.snr", "bg_events.0.source_time", "config.duration", "config.ref_db",
    "config.sr", "config.ref_channel", "config.spatialize_direct_path_time_ms.0",
)  # fmt: skip
NO_NUMBERS = {
    "NaN": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "1e999": "1e999", "true": True, "text": "5",
    "list": [1.0], "object": {"value": 1.0}, "no end of digits": 10**400, "below everything": -1e300,
    "above everything": 1e300,
}  # fmt: skip


@pytest.mark.parametrize(("place", "value"), itertools.product(NUMBERS, NO_NUMBERS), ids=str)
def test_a_number_that_is_none_is_refused(index: Path, layout: Layout, place: str, value: str) -> None:
    path = index.parent / "valid" / f"{SCENE}.json"
    damage(path, (place, NO_NUMBERS[value]))
    assert_refuses(lambda: render(index, layout), str(path), place)


# What else a scene says.

FIRST = "fg_events.0.source_file"
SCENES: dict[str, tuple[list[tuple[str, object]], tuple[str, ...]]] = {
    **{
        f"{place} missing": ([(place, ...)], (place, "Field required"))
        for place in ("config", "config.rir_dir", "fg_events", "room", "fg_events.0.label", "fg_events.0.snr")
    },
    **{
        f"{place} {kind}": ([(place, value)], (place,))
        for place in ("room", "config.foreground_dir", FIRST, "bg_events.0.source_file", "fg_events.0.label")
        for kind, value in {"null": None, "number": 1, "list": ["a"], "empty": "", "controls": "a\x1b[2Jb"}.items()
    },
    "negative channel": ([("config.ref_channel", -1)], ("config.ref_channel", "-1")),
    "channel beyond": ([("config.ref_channel", 4)], ("channel 4 of 4",)),
    "other rate": ([("config.sr", 48000)], ("48000 Hz", "16000 Hz")),
    "part of a rate": ([("config.sr", 16000.5)], ("config.sr", "integer")),
    "no duration": ([("config.duration", 0)], ("config.duration", "greater than 0")),
    "less than a sample": ([("config.duration", 1e-9)], ("less than a sample",)),
    "days": ([("config.duration", 1e6)], ("config.duration", "less than or equal")),
    "negative duration": ([("fg_events.0.event_duration", -1)], ("fg_events.0.event_duration", "-1")),
    "negative start": ([("fg_events.0.event_time", -0.1)], ("fg_events.0.event_time", "-0.1")),
    "negative offset": ([("fg_events.0.source_time", -0.1)], ("fg_events.0.source_time", "-0.1")),
    "no offset": ([("fg_events.0.source_time", None)], ("fg_events.0.source_time", "number")),
    "offset beyond the file": ([("fg_events.0.source_time", 50)], (".wav", "are asked for")),
    "longer than the file": ([("fg_events.0.event_duration", 50)], (".wav", "are asked for")),
    "after the end": ([("fg_events.0.event_time", 2.5)], ("2.5 s", "start within")),
    "position of two": ([("fg_events.0.event_position", [[1.0, 2.0]])], ("fg_events.0.event_position.0.2",)),
    "position of four": ([("fg_events.0.event_position", [[1.0] * 4])], ("fg_events.0.event_position.0",)),
    "flat position": ([("fg_events.0.event_position", [1.0, 2.0, 3.0])], ("fg_events.0.event_position.0",)),
    "no position": ([("fg_events.0.event_position", [])], ("fg_events.0.event_position",)),
    "deep position": ([("fg_events.0.event_position", [[[1.0]]])], ("fg_events.0.event_position.0",)),
    "a window of one": ([("config.spatialize_direct_path_time_ms", [6])], ("spatialize_direct_path_time_ms.1",)),
    "an empty window": ([("config.spatialize_direct_path_time_ms", [6, 0])], ("spatialize_direct_path_time_ms.1",)),
    "events as object": ([("fg_events", {})], ("fg_events", "array")),
    "events as text": ([("fg_events", "Speech")], ("fg_events", "array")),
    "event as list": ([("fg_events.0", [])], ("fg_events.0", "object")),
    "config as list": ([("config", [])], ("config", "object")),
    "unknown class": ([("fg_events.0.label", "Violin")], ("Violin",)),
    "label of a setting": ([("fg_events.0.label", "${oc.env:HOME}")], ("fg_events.0.label", "config")),
    "long label": ([("fg_events.0.label", "x" * 65)], ("fg_events.0.label", "64 letters")),
    "half a character": ([("fg_events.0.label", "\ud800")], (SCENE,)),
    "lost file": ([(FIRST, "Doorbell/no.wav")], ("Doorbell/no.wav", "does not exist")),
    "endless name": ([(FIRST, "x" * 100_000)], (FIRST, "at most 512")),
    "long name": ([(FIRST, "x" * 500)], ("does not exist",)),
    "folder for a file": ([(FIRST, "Doorbell")], ("does not exist",)),
    "up": ([(FIRST, "../../../../etc/passwd")], ("leads out of the data set",)),
    "up and down": ([(FIRST, "../valid/Doorbell/Doorbell_000.wav")], ("leads out of the data set",)),
    "absolute": ([(FIRST, "/etc/passwd")], ("leads out of the data set", "/etc/passwd")),
    "room up": ([("room", "../../../secret.sofa")], ("leads out of the data set",)),
    "room absolute": ([("room", "/dev/zero")], ("leads out of the data set",)),
    "folder up": ([("config.rir_dir", "data/dev_set/../../secret")], ("leads out of the data set",)),
    "folder absolute": ([("config.background_dir", "/etc")], ("leads out of the data set",)),
}


@pytest.mark.parametrize(("changes", "words"), SCENES.values(), ids=SCENES.keys())
def test_a_scene_that_is_none_is_refused(
    index: Path, layout: Layout, changes: list[tuple[str, object]], words: tuple[str, ...]
) -> None:
    damage(index.parent / "valid" / f"{SCENE}.json", *changes)
    assert_refuses(lambda: render(index, layout), *words)


GOOD: dict[str, list[tuple[str, object]]] = {
    "unknown keys": [("config.fmt", "foa"), ("fg_events.0.audio", [None]), ("version", {"a": 1})],
    "keys left out": [("config.ref_channel", ...), ("config.spatialize_direct_path_time_ms", None)],
    "whole numbers": [("config.duration", 2), ("config.ref_db", -50)],
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_what_the_format_leaves_open_changes_nothing(
    index: Path, layout: Layout, changes: list[tuple[str, object]]
) -> None:
    damage(index.parent / "valid" / f"{SCENE}.json", *changes)
    assert_as_undamaged(render(index, layout), layout)


def test_a_link_out_of_a_folder_of_sounds_is_refused_and_a_folder_elsewhere_is_not(
    index: Path, made: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(made, tmp_path / "set"))
    moved = Path(shutil.move(root / "sound_event", tmp_path / "large_disk"))
    (root / "sound_event").symlink_to(moved)
    layout = Layout(root, RATE, CHANNELS)
    assert_as_undamaged(render(index, layout), layout)
    event = json.loads((index.parent / "valid" / f"{SCENE}.json").read_text())["fg_events"][0]
    sound = moved / "valid" / event["source_file"]
    shutil.move(sound, tmp_path / "secret.wav")
    sound.symlink_to(tmp_path / "secret.wav")
    assert_refuses(lambda: render(index, layout), event["source_file"], "leads out of the data set")


# Files as bytes.


def many(content: str) -> str:
    scene = json.loads(content)
    scene["fg_events"] *= 10**5
    return json.dumps(scene)


BYTES: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    **{f"cut off at {part}/12": (lambda c, part=part: c[: len(c) * part // 12], ()) for part in range(12)},
    "a list": (lambda _: b"[]", ("object",)),
    "a number": (lambda _: b"1e5", ("object",)),
    "twice": (lambda c: c + c, ()),
    "not UTF-8": (lambda c: c.replace(b"e", b"\xff", 1), ()),
    "UTF-16": (lambda c: c.decode().encode("utf-16"), ()),
    "deep": (lambda _: b'{"config": ' + b"[" * 100_000, ()),
    "deep where nobody looks": (lambda c: c.replace(b"{", b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b",", 1), ()),
    "NaN where nobody looks": (lambda c: c.replace(b"{", b'{"x": NaN,', 1), ("NaN",)),
    "a key twice": (lambda c: c.replace(b"{", b'{"room": "other.sofa",', 1), ("names a key twice",)),
    "no end of events": (lambda c: many(c.decode()).encode(), ("fg_events", "at most 1000")),
    "an archive": (lambda _: b"PK\x03\x04" + b"\0" * 50, ()),
}


@pytest.mark.parametrize(("change", "words"), BYTES.values(), ids=BYTES.keys())
@pytest.mark.parametrize("which", ["scene", "index"])
def test_bytes_that_are_no_description_are_refused(
    index: Path, layout: Layout, which: str, change: Callable[[bytes], bytes], words: tuple[str, ...]
) -> None:
    path = index.parent / "valid" / f"{SCENE}.json" if which == "scene" else index
    if which == "index" and words:
        pytest.skip("of scenes")
    path.write_bytes(change(path.read_bytes()))
    assert_refuses(lambda: render(index, layout), str(path), *words)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_bytes_are_noticed_or_do_not_matter(index: Path, layout: Layout, seed: int) -> None:
    """Of what holds a description together: a digit has no checksum."""
    path = index.parent / "valid" / f"{SCENE}.json"
    content, draw = bytearray(path.read_bytes()), random.Random(seed)
    place = draw.choice([place for place, byte in enumerate(content) if byte in b'{}[]:,"'])
    content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    try:
        scene = render(index, layout)
    except UserError as error:
        assert_sentence(str(error), [str(path)])
    else:
        assert_as_undamaged(scene, layout)


# The index.

ENTRY = {"metadata_path": f"valid/{SCENE}.json", "ref_event": ["Speech", "silence", "silence"]}
INDICES: dict[str, tuple[object, tuple[str, ...]]] = {
    "empty": ([], ("lists no scenes",)),
    "object": ({}, ("array",)),
    "texts": (["a"], ("0:", "object")),
    "no path": ([{"ref_event": []}], ("0.metadata_path", "Field required")),
    "number for a path": ([ENTRY | {"metadata_path": 1}], ("0.metadata_path", "string")),
    "number for a label": ([ENTRY | {"ref_event": [1]}], ("0.ref_event.0", "string")),
    "text for labels": ([ENTRY | {"ref_event": "Speech"}], ("0.ref_event", "array")),
    "no end of labels": ([ENTRY | {"ref_event": ["silence"] * 10**6}], ("0.ref_event", "at most 1000")),
    "label with a line": ([ENTRY | {"ref_event": ["a\nb"]}], ("0.ref_event.0", "printable")),
    "other labels": ([ENTRY | {"ref_event": ["Violin"]}], ("Violin",)),
    "lost scene": ([ENTRY | {"metadata_path": "valid/no.json"}], ("no.json does not exist",)),
    "folder": ([ENTRY | {"metadata_path": "valid"}], ("is no file",)),
    "the same scene twice": ([ENTRY, ENTRY], (SCENE, "more than once")),
    "two scenes of a name": ([ENTRY, ENTRY | {"metadata_path": f"{SCENE}.json"}], (SCENE, "more than once")),
    "up": ([ENTRY | {"metadata_path": "../../etc/passwd"}], ("leads out of",)),
    "absolute": ([ENTRY | {"metadata_path": "/etc/passwd"}], ("leads out of",)),
    "nothing in a name": ([ENTRY | {"metadata_path": "a\0b"}], ("0.metadata_path",)),
}


@pytest.mark.parametrize(("content", "words"), INDICES.values(), ids=INDICES.keys())
def test_an_index_that_is_none_is_refused(index: Path, layout: Layout, content: object, words: tuple[str, ...]) -> None:
    index.write_text(json.dumps(content))
    assert_refuses(lambda: render(index, layout), str(index.parent), *words)


# labels.json, and folders as classes.

BAD_NAMES: dict[str, str] = {
    "setting": "${oc.env:HOME}", "part of a setting": "a${b", "missing setting": "???", "line": "a\nb", "tab": "a\tb",
    "escape": "\x1b[2J", "nothing": "a\0b", "separator": "a/b", "up": "../a", "backslash": "a\\b", "hidden": ".a",
    "dots": "..", "empty": "", "blank": "  ", "long": "x" * 65, "silence": "silence", "reversed": "a\u202eb",
    "no width": "a\u200bb",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_a_name_that_is_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "sound_event" / "train" / "Speech").mkdir(parents=True)
    (tmp_path / "labels.json").write_text(json.dumps(["Speech", name]))
    assert_refuses(lambda: Layout(tmp_path, RATE, CHANNELS).labels(), str(tmp_path / "labels.json"))


@pytest.mark.parametrize(
    "name",
    [name for name in BAD_NAMES.values() if name.strip() and not name.startswith(".") and not set(name) & {*"/\0"}],
)
def test_a_folder_whose_name_is_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    for group in ("sound_event", "interference"):
        (tmp_path / group / "train" / "Speech").mkdir(parents=True)
    (tmp_path / "sound_event" / "train" / name).mkdir()
    layout = Layout(tmp_path, RATE, CHANNELS)
    assert_refuses(layout.labels, str(tmp_path / "sound_event"))
    assert_refuses(lambda: layout.check(LabelSet(("Speech",))), str(tmp_path / "sound_event"))


LABEL_FILES: dict[str, bytes] = {
    "empty": b"", "no names": b"[]", "object": b'{"Speech": 0}', "numbers": b"[1, 2]", "lists": b'[["Speech"]]',
    "null": b"[null]", "truth": b"[true]", "text": b'"Speech"', "twice": b'["Speech", "Speech"]', "NaN": b"[NaN]",
    "cut off": b'["Speech", "Do', "not UTF-8": b'["\xe9"]', "deep": b"[" * 100_000, "half a character": b'["\\ud800"]',
    "no end": json.dumps([f"c{number}" for number in range(20_000)]).encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", LABEL_FILES.values(), ids=LABEL_FILES.keys())
def test_a_list_of_classes_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sound_event" / "train" / "Speech").mkdir(parents=True)
    (tmp_path / "labels.json").write_bytes(content)
    assert_refuses(lambda: Layout(tmp_path, RATE, CHANNELS).labels(), str(tmp_path / "labels.json"))


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)], ids=["pipe", "folder", "loop"]
)
def test_what_is_no_list_of_classes_is_not_waited_for(tmp_path: Path, make: Callable[[Path], object]) -> None:
    (tmp_path / "sound_event" / "train" / "Speech").mkdir(parents=True)
    make(tmp_path / "labels.json")
    assert_refuses(lambda: Layout(tmp_path, RATE, CHANNELS).labels(), str(tmp_path / "labels.json"))


@pytest.mark.parametrize("name", ["Two words", "under_score", "3", "null", "true", "Große Trommel", "a,b=c", "$HOME"])
def test_a_name_stays_the_text_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "sound_event" / "train" / name).mkdir(parents=True)
    assert Layout(tmp_path, RATE, CHANNELS).labels().names == (name,)
    (tmp_path / "labels.json").write_text(json.dumps([name]))
    assert Layout(tmp_path, RATE, CHANNELS).labels().names == (name,)


# Whole commands.


@pytest.fixture
def damaged(made: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(made, tmp_path / "set"))
    damage(root / "metadata" / "valid" / f"{SCENE}.json", ("fg_events.0.snr", math.nan))
    (root / "metadata" / "test.json").write_bytes(b"[" * 100_000)
    room = root / "room_ir" / "train" / "room_00.sofa"
    room.write_bytes(room.read_bytes()[:5000])
    return root


def test_verify_lists_what_is_damaged(damaged: Path) -> None:
    verdict = verify(damaged, LabelSet(("Doorbell", "Speech", "Typing")), RATE, CHANNELS, splits=("train", "valid"))
    assert {problem.path.name for problem in verdict.problems} == {"room_00.sofa", f"{SCENE}.json", "test.json"}
    for problem in verdict.problems:
        assert_sentence(problem.text, [str(problem.path)])


def test_commands_refuse_what_is_damaged(damaged: Path, tmp_path: Path) -> None:
    set_ = (*(change for change in TINY if not change.startswith("task.")), f"data.root={damaged}")
    assert_refused(command(tmp_path, "task=verify", *set_), "has 3 problems")
    assert_refused(command(tmp_path, "task=inspect", "task.split=valid", *set_), f"{SCENE}.json", "fg_events.0.snr")
    assert_refused(command(tmp_path, "task=inspect", "task.split=train", *set_), "room_00.sofa")
    (damaged / "labels.json").write_text('["Doorbell", "Speech", "${oc.env:HOME}"]')
    assert_refused(command(tmp_path, "task=verify", *set_), "labels.json", "${oc.env:HOME}")
