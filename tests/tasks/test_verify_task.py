"""task=verify from the command line: what is printed, what is kept, and the exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data(golden: Path, tmp_path: Path) -> Path:
    root = tmp_path / "data"
    shutil.copytree(golden / "scenes" / "dev_set", root / "dev_set")
    shutil.copytree(root / "dev_set" / "sound_event" / "valid", root / "dev_set" / "sound_event" / "train")
    return root


def verify(run_py: RunPy, root: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    splits = [f"data.module.{name}_split=valid" for name in ("train", "valid", "test")]
    done = run_py("task=verify", "data=folder", f"data.root={root}", f"hydra.run.dir={root.parent}/run", *splits, *more)
    return done, json.loads((root.parent / "run" / "verify.json").read_text())


def test_a_sound_set_passes(run_py: RunPy, data: Path) -> None:
    shutil.rmtree(data / "dev_set" / "sound_event" / "train")
    done, found = verify(run_py, data)
    assert done.returncode == 0, done.stderr
    assert "Nothing is wrong with" in done.stdout
    for word in ("Blender", "interference (2 classes)", "background", "rooms", "fixed scenes"):
        assert word in done.stdout
    assert found["problems"] == []
    assert found["scenes"] == {"valid": 6}
    assert {content["group"] for content in found["contents"]} == {"sound_event", "interference", "noise", "room_ir"}


def test_a_broken_one_fails_with_the_whole_list(run_py: RunPy, data: Path) -> None:
    wav = data / "dev_set" / "sound_event" / "valid" / "Cough" / "cough_valid_1.wav"
    wav.write_bytes(wav.read_bytes()[:-100])
    size = wav.stat().st_size + 100 - 44  # without the header
    done, found = verify(run_py, data)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    lines = [line for line in done.stdout.splitlines() if line.split(":")[0] in ("structure", "file", "leak")]
    assert lines == [f"{problem['kind']}: {problem['text']}" for problem in found["problems"]]
    assert f"has {len(lines)} problems" in done.stderr
    # The train split is a copy without rooms: every file leaks, but for the one that now differs.
    assert [line for line in lines if "cough_valid_1.wav" in line] == [
        f"file: {wav} is cut off: its header promises {size} bytes of samples, the last 100 are missing: "
        "fetch or convert it again."
    ]
    assert sum(line.startswith("leak") for line in lines) == 9
