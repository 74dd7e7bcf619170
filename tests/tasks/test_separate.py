"""Separating recordings by command, and by the lines of the README."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from minis import RATE, noise, refused
from omegaconf import DictConfig
from whole_systems import GUIDED, saved

from sedsep.checkpoints.finding import BOX_IS
from sedsep.tasks.separate import run

ROOT = Path(__file__).parents[2]

Compose = Callable[..., DictConfig]
RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


def record(path: Path, frames: int = 3 * RATE, channels: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (0.02 * noise(channels, frames)).T.numpy(), RATE)
    return path


@pytest.fixture
def checkpoints(tmp_path: Path) -> tuple[str, str]:
    separator, tagger = saved(tmp_path, **GUIDED)
    return f"ckpt={separator}", f"tagger.ckpt={tagger}"


def test_a_folder_is_separated_as_far_as_it_goes(run_py: RunPy, tmp_path: Path, checkpoints: tuple[str, str]) -> None:
    for name in ("street.wav", "street.flac"):
        record(tmp_path / "in" / name)
    record(tmp_path / "in" / "foa.ogg", channels=4)
    cut = record(tmp_path / "in" / "cut.wav")
    cut.write_bytes(cut.read_bytes()[:5000])
    (tmp_path / "in" / "text.wav").write_text("hello")
    (tmp_path / "in" / "notes.txt").write_text("not asked for")
    done = run_py("task=separate", "audio=in", *checkpoints, "task.threshold=0", "task.output=out", "task.chunk=1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: 2 of 5 recordings could not be separated, for the reasons above: mend them and separate them again."
    ]
    assert "cut.wav is cut off: its header promises" in done.stdout
    assert "text.wav is not a readable audio file" in done.stdout
    assert "2 channels, left and right" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["foa", "street", "street-2"]
    account = json.loads((tmp_path / "out" / "street" / "separation.json").read_text())
    assert Path(account["file"]).name == "street.flac"
    assert len(account["stems"]) == 5
    figure = (tmp_path / "out" / "street" / "events.svg").read_text()
    assert figure.startswith("<svg")
    assert all(stem["label"] in figure for stem in account["stems"])


def test_named_sounds_go_to_the_run_s_directory(run_py: RunPy, tmp_path: Path, checkpoints: tuple[str, str]) -> None:
    record(tmp_path / "a b.wav", channels=1)
    done = run_py(
        "task=separate", "audio='a b.wav'", checkpoints[0], "task.labels=[Dog,Rain]", "task.decide=chunk",
        "hydra.run.dir=here",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "here" / "a b"
    assert {path.name for path in folder.glob("*.wav")} == {"Dog.wav", "Rain.wav", "residual.wav"}
    assert str(Path("here", "a b")) in done.stdout


def test_without_a_checkpoint_the_model_in_the_box_says_first_what_it_is(run_py: RunPy, tmp_path: Path) -> None:
    record(tmp_path / "street.wav")
    done = run_py("task=separate", "audio=street.wav", "task.labels=Doorbell", "task.output=out")
    assert (done.returncode, done.stderr) == (0, "")
    assert BOX_IS in done.stdout.splitlines()[0]
    assert {path.name for path in (tmp_path / "out" / "street").glob("*.wav")} == {"Doorbell.wav", "residual.wav"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("audio=null",), "add audio=PATH"),
        (("audio=absent.wav",), r"absent\.wav does not exist"),
        (("ckpt=absent.ckpt",), r"no checkpoint at absent\.ckpt"),
        (("task.labels=[Dogs]",), "did you mean Dog"),
        (("task.labels=Dogs",), "did you mean Dog"),
        (("task.iters=2",), "2 passes were asked"),
    ],
)
def test_a_mistake_is_one_sentence(
    composed: Compose, tmp_path: Path, checkpoints: tuple[str, str], arguments: tuple[str, ...], says: str
) -> None:
    audio = record(tmp_path / "x.wav")
    with refused(says):
        run(composed("task=separate", f"audio={audio}", *checkpoints, *arguments))


def test_the_readme_s_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    found = [example for example in examples if "sedsep.load" in example]
    assert found
    record(tmp_path / "street.wav")
    monkeypatch.chdir(tmp_path)
    for example in found:
        exec(compile(example, "README.md", "exec"), {})
    assert np.isfinite(soundfile.read(tmp_path / "residual.wav")[0]).all()
