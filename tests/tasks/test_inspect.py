"""task=inspect: a page of scenes from a data set, and node-local copies on the way to it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sedsep.datasets.inspect import recorded_sheet, scene_sheets
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Scene

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data(golden: Path, tmp_path: Path) -> list[str]:
    """Overrides for the golden scenes, which are their own training split as well."""
    root = tmp_path / "data"
    shutil.copytree(golden / "scenes" / "dev_set", root)
    for group in ("sound_event", "interference", "noise", "room_ir"):
        shutil.copytree(root / group / "valid", root / group / "train")
    return ["data=folder", f"data.root={root}", "data.module.test_split=valid", f"hydra.run.dir={tmp_path / 'run'}"]


def headings(page: str) -> list[str]:
    return re.findall(r'<h2 id="scene-\d+">([^<]*)', page)


def test_fixed_scenes_are_chosen_by_the_seed(run_py: RunPy, data: list[str], tmp_path: Path) -> None:
    done = run_py("task=inspect", "task.count=3", "seed=1", f"data.local_copy={tmp_path / 'node'}", *data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == f"Scenes: {tmp_path / 'run' / 'scenes.html'}"
    page = (tmp_path / "run" / "scenes.html").read_text()
    names = headings(page)
    assert len(names) == 3
    assert names == sorted(names)
    assert set(names) <= {f"scene_{index}" for index in range(6)}
    scene = json.loads((tmp_path / "data" / "metadata" / "valid" / f"{names[0]}.json").read_text())
    for event in scene["fg_events"] + scene["int_events"]:
        text = re.sub("<wbr>", "", page)
        assert f"{event['label']}/{Path(event['source_file']).name}" in text
        assert f"{event['event_time']:.2f}" in text
        assert f"{event['snr']:.1f}" in text
    # The data set was copied, and read from its copy.
    (copy,) = (path for path in (tmp_path / "node").iterdir() if not path.name.startswith("."))
    assert str(copy) in page
    assert (copy / "metadata" / "valid.json").is_file()


def test_the_training_split_shows_what_training_draws(run_py: RunPy, data: list[str], tmp_path: Path) -> None:
    done = run_py("task=inspect", "task.split=train", "task.count=2", "scale.separator.training.duration=4", *data)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "scenes.html").read_text()
    assert headings(page) == ["scene_000_000000", "scene_000_000001"]
    assert "4.0\u00a0s, 32.0\u00a0kHz" in page


def test_a_split_that_is_not_there_is_named(run_py: RunPy, data: list[str]) -> None:
    done = run_py("task=inspect", "task.split=exam", *data)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "exam" in done.stderr
    assert "train, valid" in done.stderr


def test_a_recording_shows_its_targets() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros((2, 32000), np.float32)
    targets[0, 8000:16000] = 0.1 * rng.standard_normal(8000)
    mixture = (0.01 * rng.standard_normal((4, 32000)) + targets[0]).astype(np.float32)
    scene = Scene(mixture, targets, ("Cough", "silence"), ((8000, 16000), (0, 0)), "eval_0")
    sheet = recorded_sheet(scene, 32000)
    (sound,) = sheet.sounds
    assert (sound.label, sound.onset, sound.offset) == ("Cough", 0.25, 0.5)
    # A quarter of the clip holds the target at -20 dB, all of it the rest at -40 dB.
    assert sound.level_in_mixture == pytest.approx(20 - 6, abs=0.2)
    assert sound.file == sheet.room == ""


def test_scenes_of_2026_are_shown_whole(golden: Path, tmp_path: Path) -> None:
    root = shutil.copytree(golden / "dcase2026" / "scenes" / "dev_set", tmp_path / "set")
    path = root / "metadata" / "valid" / "scene_2.json"
    scene = json.loads(path.read_text())
    for event in scene["fg_events"]:  # three of a class
        event["event_time"] = 0.0
    path.write_text(json.dumps(scene))
    layout = Layout(root, 32000, 4)
    options = dict.fromkeys(("seed", "epoch_size", "batch_size", "eval_batch_size", "duration", "workers"), 1)
    data = SceneDataModule(layout, layout.labels(), SceneSampler, eval_duration=3.0, **options)
    sheets, _ = scene_sheets(data, "valid", 8, 0)
    assert [sound.role for sound in sheets[0].sounds if sound.role == "target"] == []
    assert sheets[2].decay is not None
    assert len(sheets[2].decay.series) == len(scene["fg_events"] + scene["int_events"])
