"""Scenes from one year's format to the other's: what can be carried over comes back, the rest is told."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from minis import refused

from sedsep.datasets.conversion import convert_scenes
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import in_order_of_onset, load_index
from sedsep.types import Event, SceneSpec


@pytest.fixture(params=[2025, 2026])
def year(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def index(golden: Path, tmp_path: Path, year: int) -> Path:
    """The challenge's scenes of a year, beside their data set."""
    scenes = golden / ("scenes" if year == 2025 else "dcase2026/scenes")
    return Path(shutil.copytree(scenes / "dev_set", tmp_path / "set")) / "metadata" / "valid.json"


def specs(index: Path) -> list[SceneSpec]:
    return load_index(index, Layout(index.parents[1], 32000, 4))


def sounds(spec: SceneSpec) -> tuple[Event, ...]:
    return tuple(sorted(spec.interference, key=lambda event: event.event_time))


def test_what_both_formats_hold_comes_back(index: Path, year: int) -> None:
    other = 4051 - year
    (there,) = convert_scenes(index, other, 4)
    assert {spec.edition for spec in specs(there.target)} == {other}
    (back,) = convert_scenes(there.target, year, 4, index.with_name("back.json"))
    before = specs(index)
    if year == 2025:  # 2026 has no other order
        before = [replace(spec, slots=in_order_of_onset(spec.foreground), interference=sounds(spec)) for spec in before]
    assert specs(back.target) == before
    scene = json.loads((there.target.with_suffix("") / "scene_0.json").read_text())
    assert scene["config"]["foreground_dir"] == "data/dev_set/sound_event/valid"


LOSSES = {
    2025: [
        "scene_0 has its targets at channel 2",
        "scene_0 plays .* with pitch_shift 1.5, which 2026 does not know",
        "scene_0 plays .* from .*, where .* has no measurement: .* 2026 fails",
        "scene_2 names no interference_dir",
        "scene_3 has its targets in the order Doorbell, silence, Cough: .* onset, Cough, Doorbell, silence",
        "scene_4 has the target .*alarm_valid_1.wav, whose direct path .* 8.1 ms away",
    ],
    2026: [
        "scene_0 has no target",
        "scene_2 has 3 targets of Dishes",
        "scene_3 is in roomB.sofa, whose responses are at 44100 Hz: 2025 takes them for responses at 32000 Hz",
        "scene_3 is in roomB.sofa, whose positions are angles",
        "scene_3 has the background bg_short.wav, which is shorter than the scene: 2025 repeats each of its samples",
    ],
}


def change(path: Path, **changes: Any) -> None:
    """Changes of a scene's config, `None` to take a key out, and of its first event."""
    scene = json.loads(path.read_text())
    for key, value in changes.items():
        place = scene["fg_events"][0] if key in scene["fg_events"][0] else scene["config"]
        place[key] = value
        if value is None:
            del place[key]
    path.write_text(json.dumps(scene))


def test_what_cannot_be_carried_over_is_told_of_each_scene(index: Path, year: int) -> None:
    if year == 2025:
        odd = {"ref_channel": 2, "pitch_shift": 1.5, "event_position": [[9.0, 9.0, 9.0]]}
        change(index.with_suffix("") / "scene_0.json", **odd)
        change(index.with_suffix("") / "scene_2.json", interference_dir=None)
    (done,) = convert_scenes(index, 4051 - year, 4)
    assert done.unseen == []
    for loss in LOSSES[year]:
        assert any(re.match(loss, sentence) for sentence in done.losses), loss


def test_metadata_alone_can_be_converted(index: Path, year: int, tmp_path: Path) -> None:
    alone = shutil.copytree(index.parent, tmp_path / "alone" / "metadata")
    (done,) = convert_scenes(alone, 4051 - year, 4, tmp_path / "new")
    assert done.target == tmp_path / "new" / "valid.json"
    assert len(done.unseen) == done.scenes
    assert "were not looked at" in [*done.account()][-1]


def test_what_makes_no_sense_is_refused(index: Path, year: int, tmp_path: Path) -> None:
    with refused(f"is in the format of {year} already"):
        convert_scenes(index, year, 4)
    with refused("would overwrite the source"):
        convert_scenes(index, 4051 - year, 4, index)
    with refused(r"no name of an index: give one that ends in \.json"):
        convert_scenes(index, 4051 - year, 4, tmp_path / "folder")
    (tmp_path / "empty").mkdir()
    with refused("empty holds no index of scenes"):
        convert_scenes(tmp_path / "empty", year, 4)
