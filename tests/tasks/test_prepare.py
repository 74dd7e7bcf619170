"""From nothing to the challenge's data set, against a small replica of the archives on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets.challenge.replica import LABELS, RATE, Replica
from minis import refused
from omegaconf import DictConfig
from servers import Server

from sedsep.composition import common, parts
from sedsep.datasets.challenge import prepared
from sedsep.labels import LabelSet
from sedsep.scenes.layout import Layout, recorded_splits
from sedsep.scenes.metadata import load_index
from sedsep.scenes.recorded import RecordedScenes
from sedsep.scenes.rendering import Renderer
from sedsep.tasks import prepare

Prepare = Callable[..., Path]
RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def replica(server: Server, tmp_path: Path) -> Replica:
    return Replica(server, tmp_path)


@pytest.fixture
def make(replica: Replica, composed: Callable[..., DictConfig], tmp_path: Path) -> Prepare:
    """Runs task=prepare, licences accepted; gives the root."""

    def run(*overrides: str, root: str = "set") -> Path:
        given = [*replica.overrides(), "task.accept_licences=true", f"data.root={tmp_path / root}", *overrides]
        prepare.run(composed(*given))
        return tmp_path / root

    return run


EXPECTED = {
    "sound_event/train/Cough": {"cough_0.wav", "cough_1.wav"},
    "sound_event/train/Doorbell": {"doorbell_0.wav", "doorbell_1.wav", "1001.wav"},
    "sound_event/train/Speech": {"p001_freeform.wav"},
    "sound_event/valid/Speech": {"p003_freeform.wav"},
    "interference/train/Rain": {"2001.wav"},
    "interference/valid/Rain": {"2002.wav"},
    "eval/soundscape": {"s_1.wav", "s_10.wav"},
    "test/oracle_target": {"s_1_Speech.wav", "s_1_Cough.wav", "s_10_Doorbell.wav"},
}


def test_from_nothing_to_scenes(make: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    root = make()
    for folder, names in EXPECTED.items():
        assert {path.name for path in (root / "dev_set" / folder).iterdir()} == names, folder
    assert not (root / "dev_set" / "interference" / "train" / "Wind").exists()

    layout = Layout(root, RATE, 4)
    assert layout.root == root / "dev_set"
    assert {info.rate for path, info in layout.split("train").infos.items() if path.name[0] in "p12"} == {RATE}
    (spec,) = load_index(layout.root / "metadata" / "valid.json", layout)
    scene = Renderer(layout).render(spec)
    assert scene.labels == ("Speech", "Cough", "silence")
    assert all(target.any() for target in scene.targets[:2])

    shown = capsys.readouterr().out
    for part in ("CC BY-NC 4.0", "https://zenodo.org/records/15117227", "Doorbell", "train", "valid"):
        assert part in shown
    assert re.search(r"^ *recordings +2 ", shown, re.MULTILINE)


def test_every_split_can_be_scored(make: Prepare) -> None:
    data = make() / "dev_set"
    assert recorded_splits(data) == {"eval": data / "eval", "test": data / "test"}
    for folder in recorded_splits(data).values():
        scenes = RecordedScenes(folder, LabelSet(LABELS), RATE, 4)
        assert [scenes[item].labels for item in range(2)] == [
            ("Cough", "Speech"),
            ("Doorbell", "silence"),
        ]


def test_2026_from_nothing_to_scenes(
    server: Server, composed: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replica = Replica(server, tmp_path, 2026)
    given = [f"data.root={tmp_path / 'set'}", f"labels.names=[{','.join(LABELS)}]"]
    config = composed(*replica.overrides(), "task.accept_licences=true", *given)
    assert config.data.sampler.edition == 2026  # the data chooses it
    prepare.run(config)
    assert "https://zenodo.org/records/19328046" in capsys.readouterr().out
    assert len(replica.parts) == 16

    layout = common.data_set(config)
    assert "Cough/one_0/cough_0.wav" in layout.split("train").names.values()
    assert "Speech/p001_freeform.wav" in layout.split("train").names.values()
    module = parts.scenes(config, layout, common.class_labels(config), parts.recipe(config).plan)
    assert module.eval_dataset("valid")[0].labels == ("Cough", "Speech", "Cough")
    for split in ("test", "eval"):
        scenes = module.eval_dataset(split)
        assert [scenes[item].labels for item in range(3)] == [
            ("silence", "silence"),
            ("Speech", "Speech"),
            ("Doorbell", "silence"),
        ]


# Before anything is done.


def test_licences_come_first_and_are_asked_for_once(
    make: Prepare, replica: Replica, capsys: pytest.CaptureFixture[str]
) -> None:
    with refused("The licences of DCASE2025Task4Dataset, .* are not accepted: .* task.accept_licences=true"):
        make("task.accept_licences=false")
    assert "Semantic Hearing" in capsys.readouterr().out
    assert replica.server.asked == []
    root = make("task.steps=[development]")
    assert "EARS" not in capsys.readouterr().out
    shutil.rmtree(root / "dev_set")
    shutil.rmtree(root / "prepared")
    make("task.accept_licences=false", "task.steps=[development]")
    assert "going to be downloaded" not in capsys.readouterr().out


@pytest.mark.parametrize("answer", [True, False])
def test_on_a_terminal_somebody_is_asked(
    make: Prepare, replica: Replica, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    monkeypatch.setattr(prepare.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(prepare.Confirm, "ask", lambda *_, **__: answer)
    with nullcontext() if answer else refused("are not accepted"):
        assert make("task.accept_licences=false", "task.steps=[development]").is_dir()
    assert bool(replica.shelf.taken) == answer


def test_steps_can_be_chosen(make: Prepare, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with refused("task.steps=speach is not known: choose one of development, evaluation, speech, curated"):
        make("task.steps=[speach]")
    with refused("EARS_config.json is missing: prepare the development set first"):
        make("task.steps=[speech]")
    with refused("prepare the development set first"):
        make("task.steps=[evaluation]")
    assert prepared(make("task.steps=[development]")) == tmp_path / "set" / "dev_set"
    assert "Not prepared yet: evaluation, speech, curated" in caplog.text
    assert not (tmp_path / "set" / "dev_set" / "eval").exists()
    make()
    assert (tmp_path / "set" / "dev_set" / "eval").is_dir()


# Through the command line.


def test_one_command_does_it_all(run_py: RunPy, replica: Replica, tmp_path: Path) -> None:
    done = run_py(*replica.overrides(), "task.accept_licences=true")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache" / "dcase2025" / "dev_set" / "eval").is_dir()
    assert "Doorbell" in done.stdout


def test_other_data_is_prepared_as_before(
    composed: Callable[..., DictConfig], make: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make()
    capsys.readouterr()
    prepare.run(composed("task=prepare", "data=folder", f"data.root={root}", f"sample_rate={RATE}"))
    shown = capsys.readouterr().out
    assert "train" in shown
    assert "going to be downloaded" not in shown
    assert "Doorbell" not in shown
