from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index, write_index
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import SceneSpec

EVENT_KEYS = {
    "label",
    "source_file",
    "source_time",
    "event_time",
    "event_duration",
    "snr",
    "role",
    "pitch_shift",
    "time_stretch",
    "event_position",
}


def by_position(spec: SceneSpec) -> SceneSpec:
    """The scene without what the format cannot hold."""

    def strip(events):
        return tuple(dataclasses.replace(event, position_index=None) for event in events)

    return dataclasses.replace(spec, foreground=strip(spec.foreground), interference=strip(spec.interference))


@pytest.fixture
def scenes(golden: Path) -> Path:
    return golden / "scenes" / "dev_set"


@pytest.fixture
def scene(scenes: Path) -> dict[str, Any]:
    """Scene 1 of the goldens: FootSteps, AlarmClock and Speech."""
    return json.loads((scenes / "metadata" / "valid" / "scene_1.json").read_text())


@pytest.fixture
def read(scenes: Path, tmp_path: Path) -> Callable[..., SceneSpec]:
    """Reads a scene's content as if it were a file."""

    def read(content: Any, slots: tuple[str, ...] = ("FootSteps", "AlarmClock", "Speech")) -> SceneSpec:
        (tmp_path / "scene.json").write_text(json.dumps(content))
        (tmp_path / "index.json").write_text(json.dumps([{"metadata_path": "scene.json", "ref_event": slots}]))
        (spec,) = load_index(tmp_path / "index.json", Layout(scenes, 32000, 4))
        return spec

    return read


def test_what_is_written_is_read_back(layout: Layout, sampler: SceneSampler, tmp_path: Path) -> None:
    specs = [sampler.sample(5, 0, index) for index in range(40)]
    write_index(specs, tmp_path / "metadata" / "train.json")
    assert load_index(tmp_path / "metadata" / "train.json", layout) == [by_position(spec) for spec in specs]


def test_the_official_files_are_written_as_they_were_read(scenes: Path, tmp_path: Path) -> None:
    specs = load_index(scenes / "metadata" / "valid.json", Layout(scenes, 32000, 4))
    write_index(specs, tmp_path / "valid.json")
    for name in ("valid.json", *(f"valid/{spec.name}.json" for spec in specs)):
        assert json.loads((tmp_path / name).read_text()) == json.loads((scenes / "metadata" / name).read_text())


def test_a_scene_holds_the_formats_keys_and_no_others(sampler: SceneSampler, tmp_path: Path) -> None:
    spec = next(spec for spec in (sampler.sample(0, 0, i) for i in range(99)) if len(spec.foreground) == 3)
    write_index([spec], tmp_path / "train.json")
    content = json.loads((tmp_path / "train" / f"{spec.name}.json").read_text())
    assert set(content) == {"config", "fg_events", "bg_events", "int_events", "room"}
    for event in content["fg_events"] + content["bg_events"] + content["int_events"]:
        assert set(event) == EVENT_KEYS
    onsets = [event["event_time"] for event in content["fg_events"]]
    assert onsets == sorted(onsets)
    assert content["config"]["foreground_dir"] == "data/dev_set/sound_event/train"


def test_a_scene_without_interference_has_no_folder_for_it(
    layout: Layout, sampler: SceneSampler, tmp_path: Path
) -> None:
    spec = sampler.sample(0, 0, 0)
    spec = dataclasses.replace(spec, interference=(), dirs=dataclasses.replace(spec.dirs, interference=None))
    write_index([spec], tmp_path / "train.json")
    assert "interference_dir" not in json.loads((tmp_path / "train" / f"{spec.name}.json").read_text())["config"]
    assert load_index(tmp_path / "train.json", layout) == [by_position(spec)]


def test_keys_nobody_knows_are_ignored(scene: dict[str, Any], read: Callable[..., SceneSpec]) -> None:
    plain = read(scene)
    scene["version"] = 3
    scene["config"]["fmt"] = "foa"
    for event in scene["fg_events"]:
        event["audio"] = None
    assert read(scene) == plain


def test_the_old_name_of_the_config_is_understood(scene: dict[str, Any], read: Callable[..., SceneSpec]) -> None:
    plain = read(scene)
    scene["init_args"] = scene.pop("config")
    assert read(scene) == plain


def test_folders_may_be_absolute_and_repeated_in_the_file_names(
    scene: dict[str, Any], read: Callable[..., SceneSpec], scenes: Path
) -> None:
    plain = read(scene)
    for event in scene["fg_events"]:
        event["source_file"] = f"{scene['config']['foreground_dir']}/{event['source_file']}"
    assert read(scene) == plain
    config = scene["config"]
    for key in ("foreground_dir", "background_dir", "rir_dir", "interference_dir"):
        config[key] = config[key].replace("data/dev_set", str(scenes))
    for event in scene["fg_events"]:
        event["source_file"] = event["source_file"].replace("data/dev_set", str(scenes))
    absolute = read(scene)
    assert absolute.foreground == plain.foreground
    assert absolute.dirs.rooms == str(scenes / "room_ir" / "valid")


def test_events_come_in_order_of_onset(scene: dict[str, Any], read: Callable[..., SceneSpec]) -> None:
    plain = read(scene)
    scene["fg_events"].reverse()
    assert read(scene) == plain


@pytest.mark.parametrize(
    "slots",
    [
        ("FootSteps", "AlarmClock"),
        ("FootSteps", "AlarmClock", "silence"),
        ("FootSteps", "AlarmClock", "Cough"),
        ("FootSteps", "AlarmClock", "AlarmClock"),
        (),
    ],
)
def test_ref_event_must_name_each_event_once(scene: dict[str, Any], read: Callable[..., SceneSpec], slots) -> None:
    with pytest.raises(UserError, match=r"scene\.json has the events .*name each event once"):
        read(scene, slots)


def test_silence_fills_any_slot(scene: dict[str, Any], read: Callable[..., SceneSpec]) -> None:
    del scene["fg_events"][0]
    names = [event["label"] for event in scene["fg_events"]]
    assert read(scene, (names[1], "silence", names[0])).slots == (names[1], "silence", names[0])


def _break(content: dict[str, Any], kind: str) -> Any:
    event = content["fg_events"][0]
    match kind:
        case "list":
            return []
        case "no room":
            del content["room"]
        case "no position":
            event["event_position"] = None
        case "no start":
            event["source_time"] = None
        case "late":
            event["event_time"] = 10.0
        case "short":
            event["event_duration"] = 0
        case "file":
            event["source_file"] = "Cough/gone.wav"
        case "room file":
            content["room"] = "gone.sofa"
        case "twice":
            content["fg_events"].append(event)
        case "config":
            content["config"]["duration"] = -1
        case "window":
            content["config"]["spatialize_direct_path_time_ms"] = [6]
    return content


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("list", "should be an object"),
        ("no room", r"\(room: Field required\)"),
        ("no position", r"fg_events\.0\.event_position: .*, not None"),
        ("no start", r"fg_events\.0\.source_time: .* a valid number, not None"),
        ("late", r"at 10 s"),
        ("short", r"fg_events\.0\.event_duration: .* greater than 0, not 0"),
        ("file", r"names .*Cough/gone\.wav, which does not exist"),
        ("room file", r"names .*gone\.sofa, which does not exist"),
        ("twice", "name each event once"),
        ("config", r"config\.duration: .* greater than 0, not -1"),
        ("window", r"config\.spatialize_direct_path_time_ms\.1: Field required"),
    ],
)
def test_a_bad_scene_gives_one_sentence_that_names_it(
    scene: dict[str, Any], read: Callable[..., SceneSpec], kind: str, says: str
) -> None:
    with pytest.raises(UserError, match=says) as error:
        read(_break(scene, kind))
    assert "scene.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("{", "Invalid JSON"),
        ("[]", "lists no scenes"),
        ("{}", "should be a valid array"),
        ('[{"ref_event": []}]', r"0\.metadata_path: Field required"),
        ('[{"metadata_path": "valid/gone.json", "ref_event": []}]', r"gone\.json does not exist"),
    ],
)
def test_a_bad_index_gives_one_sentence_that_names_it(
    layout: Layout, tmp_path: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "valid.json").write_text(content)
    with pytest.raises(UserError, match=says) as error:
        load_index(tmp_path / "valid.json", layout)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_scenes_at_another_rate_are_refused(scenes: Path) -> None:
    with pytest.raises(UserError, match=r"scene_0\.json is at 32000 Hz, not at 16000 Hz"):
        load_index(scenes / "metadata" / "valid.json", Layout(scenes, 16000, 4))


def test_scenes_must_hold_classes(scenes: Path) -> None:
    with pytest.raises(UserError, match=r"scene_0\.json holds the label .*, which is no class"):
        load_index(scenes / "metadata" / "valid.json", Layout(scenes, 32000, 4), LabelSet(("Violin",)))


def test_two_scenes_of_one_name_are_refused(sampler: SceneSampler, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Two scenes of .*train\.json are called"):
        write_index([sampler.sample(0, 0, 0)] * 2, tmp_path / "train.json")
