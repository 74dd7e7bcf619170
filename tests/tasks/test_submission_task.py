"""Submissions by command: a zip that holds what it should, or a sentence."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from minis import LABELS, LENGTH, RATE, noise, refused
from omegaconf import DictConfig
from whole_systems import GUIDED, saved

from sedsep.evaluation.submission import Answer, System
from sedsep.tasks import submission
from sedsep.tasks.submission import run

Compose = Callable[..., DictConfig]
RunPy = Callable[..., "subprocess.CompletedProcess[str]"]

NAME = "Doe_Uni_task4_1_out.zip"
BY = ("task.author=Doe", "task.affiliation=Uni")


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Soundscapes of two lengths, and a system for them."""
    folder = tmp_path / "set" / "soundscape"
    folder.mkdir(parents=True)
    for index in range(6):
        soundfile.write(folder / f"test_{index}.wav", 0.1 * noise(LENGTH + 40 * (index > 2), 4).numpy(), RATE)
    separator, tagger = saved(tmp_path, **GUIDED)
    return ["task=submission", f"audio={folder.parent}", f"ckpt={separator}", f"tagger.ckpt={tagger}",
            f"sample_rate={RATE}", "task.threshold=0"]  # fmt: skip


@pytest.fixture
def make(composed: Compose, given: list[str]) -> Callable[..., None]:
    return lambda *overrides: run(composed(*given, *overrides))


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def account(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "submission.json").read_text())


def test_a_submission_is_made_by_command(run_py: RunPy, given: list[str], tmp_path: Path) -> None:
    done = run_py(*given, *BY, "hydra.run.dir=here")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{NAME}: 18 estimates of 6 soundscapes" in done.stdout
    assert len(names(tmp_path / "here" / NAME)) == 6 * 3
    made = account(tmp_path / "here")
    assert (made["mixtures"], made["estimates"], made["errors"], made["threshold"]) == (6, 18, [], 0)


def test_what_is_made_passes_its_check_and_fails_another(
    make: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(*BY)
    checked = (f"task.check={tmp_path / NAME}", f"labels.names=[{','.join(LABELS)}]")
    make(*checked, f"audio={tmp_path / 'set' / 'soundscape'}")
    assert "can be handed in: 18 estimates of 6 soundscapes" in capsys.readouterr().out
    with refused("has 38 errors, listed above and in"):
        make(*checked, "task.format=2026")
    table = capsys.readouterr().out
    assert "named as in the other form" in table
    assert "and 15 more" in table
    assert {problem["kind"] for problem in account(tmp_path)["errors"]} == {"form", "place", "account"}


@pytest.mark.slow
def test_a_submission_of_2026_tells_the_scores_of_its_system(run_py: RunPy, given: list[str], tmp_path: Path) -> None:
    targets = tmp_path / "set" / "oracle_target"
    targets.mkdir()
    for name in ("test_0_0_Dog", "test_0_1_Dog", "test_1_0_Rain", "test_5_0_Bell"):
        length = LENGTH + 40 * (name > "test_3")
        soundfile.write(targets / f"{name}.wav", 0.1 * noise(length).numpy(), RATE)
    edition = "edition=dcase2026", f"baseline.ckpt={tmp_path / 'tagger.ckpt'}"
    one = "model.training.eval_batch_size=1", "logger=none"  # for they are of two lengths
    scored = run_py("task=evaluate", *given[1:], *edition, *one, "hydra.run.dir=scored")
    assert (scored.returncode, scored.stderr) == (0, "")
    told = f"task.dev_test={tmp_path / 'set'}", *edition
    done = run_py(*given, *BY, *told, "task.scored=scored", "hydra.run.dir=here")
    assert (done.returncode, done.stderr) == (0, "")
    inside = names(tmp_path / "here" / NAME)
    assert {name.split("/")[0] for name in inside} == {"Doe_Uni_task4_1"}
    assert len(inside) == 6 * 3 + 3
    labels = f"labels.names=[{','.join(LABELS)}]"
    checked = run_py("task=submission", given[1], given[4], *told, labels, f"task.check=here/{NAME}")
    assert checked.returncode == 0
    assert "can be handed in: 18 estimates of 6 soundscapes" in checked.stdout
    other = run_py(*given, *BY, *told, "task.scored=scored", "task.threshold=0.5")
    assert other.returncode == 1
    assert "dev_set_test_results.json is of a system with another threshold: score it (python run.py" in other.stderr


def test_a_submission_of_2026_needs_scores(make: Callable[..., None], tmp_path: Path) -> None:
    with refused(r"tells how its system did .* has no dev_set_test_results\.json: score it \(python run\.py task="):
        make(*BY, "edition=dcase2026", f"baseline.ckpt={tmp_path / 'tagger.ckpt'}", f"task.scored={tmp_path}")
    (tmp_path / "dev_set_test_results.json").write_text('{"nparams": 1}')
    with refused("is damaged or holds something else .* score it"):
        make(*BY, "edition=dcase2026", f"baseline.ckpt={tmp_path / 'tagger.ckpt'}", f"task.scored={tmp_path}")


def test_a_dry_run_goes_all_the_way_with_a_few(
    make: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(*BY, "task.dry_run=true")
    assert {name[:6] for name in names(tmp_path / "dry_run" / NAME)} == {"test_0", "test_1", "test_2", "test_3"}
    assert not (tmp_path / NAME).exists()
    assert "4 of 6 soundscapes: all of them would take about" in capsys.readouterr().out


def test_what_fails_its_check_is_not_kept(
    make: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = System.answers

    def cut(*args: Any) -> list[Answer]:
        found = answers(*args)
        return [Answer([(label, wave[1:]) for label, wave in one.sources], one.probabilities) for one in found]

    monkeypatch.setattr(System, "answers", cut)
    with refused("has 18 errors, listed above and in .*, and was not kept"):
        make(*BY)
    assert not [path for path in tmp_path.iterdir() if "out.zip" in path.name]
    assert len(account(tmp_path)["errors"]) == 18


def test_an_interrupted_run_leaves_nothing(
    make: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(submission, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(*BY)
    assert not [path for path in tmp_path.iterdir() if "out.zip" in path.name]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "named after its author"),
        (("task.author=Doe", "task.affiliation='A B'"), "letters and digits"),
        ((*BY, "audio=null"), "add audio=FOLDER"),
        ((*BY, "audio=absent"), "absent holds no wav files"),
        ((*BY, "ckpt=null"), "add ckpt=PATH"),
        ((*BY, "tagger.ckpt=null"), r"does not say with which tagger it was scored: give tagger\.ckpt=PATH"),
        ((*BY, "tagger.ckpt=absent.ckpt"), r"no checkpoint at absent\.ckpt"),
        ((*BY, "scale=paper"), "made at scale=mini, this is scale=paper"),
        ((*BY, "sample_rate=16000"), "was made for 8000 Hz"),
        (("task.check=absent.zip",), r"nothing at absent\.zip"),
        (("task.check=absent.zip", "sample_rate=16000"), "is sampled at 8000 Hz, not at 16000 Hz"),
    ],
)
def test_a_mistake_is_one_sentence(make: Callable[..., None], arguments: tuple[str, ...], says: str) -> None:
    with refused(says):
        make(*arguments)


def test_soundscapes_must_have_the_separator_s_microphones(make: Callable[..., None], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "set" / "soundscape" / "test_9.wav", noise(LENGTH).numpy(), RATE)
    with refused("has 1 channels and the separator 4 microphones"):
        make(*BY)
