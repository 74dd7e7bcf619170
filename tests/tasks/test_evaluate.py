"""task=evaluate through the command line: a checkpoint, a folder in the test layout, another system's files."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from tiny import LABELS, TINY, write_tiny_set

from sedsep.metrics.registry import LEDGER
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.rendering import Renderer

Evaluate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def recorded(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test scenes of the data set as the challenge hands them out: 16-bit files."""
    root = tmp_path_factory.mktemp("recorded")
    layout = Layout(data, 16000, 4)
    for folder in ("soundscape", "oracle_target"):
        (root / folder).mkdir()
    for spec in load_index(data / "metadata" / "test.json", layout):
        scene = Renderer(layout).render(spec)
        soundfile.write(root / "soundscape" / f"{scene.name}.wav", scene.mixture.T, 16000, subtype="PCM_16")
        for label, target in zip(scene.labels, scene.targets, strict=True):
            if label in LABELS:
                path = root / "oracle_target" / f"{scene.name}_{label}.wav"
                soundfile.write(path, target, 16000, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def evaluate(run_py_in: Callable[[Path], Evaluate], data: Path, home: Path) -> Evaluate:
    """Runs a job in a place where a separator with refinement lies in `trained`."""
    run = run_py_in(home)

    def job(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        return run(*TINY, f"data.root={data}", "logger=none", f"hydra.run.dir={home / name}", *overrides)

    done = job("trained", "experiment=separator_iter_2", "scale.separator.widths=[4,8]")
    assert done.returncode == 0, done.stderr
    return job


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_directory_is_scored_as_its_run_was_after_any_number_of_passes(evaluate: Evaluate, home: Path) -> None:
    passes = "refinement.eval_iters=[1,3]"
    more = ("task.write_estimates=true", "task.ledger=true")
    done = evaluate("again", "task=evaluate", f"ckpt={home / 'trained'}", passes, *more)
    assert done.returncode == 0, done.stderr
    before, now = metrics(home / "trained"), metrics(home / "again")
    assert {name: now[name] for name in before} == pytest.approx(before, abs=1e-4, nan_ok=True)
    for source in ("baseline", "tagger", "oracle"):
        assert now[f"test/ca_sdri@2/{source}"] == now[f"test/ca_sdri/{source}"]
        assert {f"test/ca_sdri@{count}/{source}" for count in (1, 3)} <= set(now)
    assert now["test/ca_sdri@1/oracle"] != now["test/ca_sdri@3/oracle"]
    with (home / "again" / "mixtures.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 3 * 3 * 3  # mixtures, label sources, passes
    mean = sum(float(r["ca_sdri"]) for r in rows if (r["labels_from"], r["passes"]) == ("oracle", "3")) / 3
    assert mean == pytest.approx(now["test/ca_sdri@3/oracle"], abs=1e-6)
    account = json.loads((home / "again" / "evaluation.json").read_text())
    one = account["metrics"]["test/ca_sdri/oracle"]
    assert (one["low"], one["count"]) == (None, 3)  # too few for an interval

    taken_apart = [row for row in rows if row["ledger_ceiling"]]
    assert [(row["labels_from"], row["passes"]) for row in taken_apart] == [("tagger", "2")] * 3
    for row in taken_apart:
        lost = sum(float(row[f"ledger_{part}"]) for part in LEDGER)
        assert lost == pytest.approx(float(row["ledger_ceiling"]) - float(row["ca_sdri"]), abs=1e-6)
    lost = sum(now[f"test/ledger_{part}/tagger"] for part in LEDGER)
    assert lost == pytest.approx(now["test/ledger_ceiling/tagger"] - now["test/ca_sdri/tagger"], abs=1e-6)
    assert set(account["ledger"]["by_class"]) <= set(LABELS)

    # What was written is scored as it was when it was made, whoever made it.
    files = home / "again" / "estimates" / "tagger"
    done = evaluate("files", "task=evaluate", f"task.estimates={files}")
    assert done.returncode == 0, done.stderr
    theirs = metrics(home / "files")
    for metric in ("ca_sdri", "capi_sdri", "si_sdr", "label_accuracy", "source_accuracy"):
        assert theirs[f"test/{metric}/files"] == pytest.approx(now[f"test/{metric}/tagger"], abs=1e-5)


def test_a_set_for_scoring_alone_is_scored_with_the_run_s_taggers(
    evaluate: Evaluate, home: Path, data: Path, tmp_path: Path
) -> None:
    alone = Path(shutil.copytree(data, tmp_path / "alone"))
    for group in ("sound_event", "interference", "noise", "room_ir"):
        for split in ("train", "valid"):
            shutil.rmtree(alone / group / split)
    done = evaluate("alone", "task=evaluate", f"ckpt={home / 'trained'}", f"data.root={alone}")
    assert done.returncode == 0, done.stderr
    assert metrics(home / "alone") == pytest.approx(metrics(home / "trained"), abs=1e-4, nan_ok=True)


def test_recordings_in_the_test_layout_score_as_the_scenes_they_were_rendered_from(
    evaluate: Evaluate, home: Path, recorded: Path
) -> None:
    done = evaluate(
        "recorded", "task=evaluate", f"ckpt={home / 'trained'}", f"audio={recorded}", "model.training.eval_batch_size=1"
    )
    assert done.returncode == 0, done.stderr
    assert metrics(home / "recorded") == pytest.approx(metrics(home / "trained"), abs=0.02)  # 16 bits


def test_recordings_need_no_data_set(evaluate: Evaluate, home: Path, recorded: Path) -> None:
    file = next(home.glob("trained/checkpoints/*/last.ckpt"))
    own = ("task=evaluate", f"ckpt={file}", f"audio={recorded}", "task.label_sources=[oracle]", "data=synthetic")
    done = evaluate("bare", *own)
    assert done.returncode == 0, done.stderr
    oracle = "test/ca_sdri/oracle"
    assert metrics(home / "bare")[oracle] == pytest.approx(metrics(home / "trained")[oracle], abs=0.02)
    assert not (home / "cache" / "synthetic").exists()


def test_a_command_that_does_not_fit_the_checkpoint_is_refused(evaluate: Evaluate, home: Path) -> None:
    done = evaluate("refused", "task=evaluate", f"ckpt={home / 'trained'}", "refinement.iters=3")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert "refinement.iters=3" in sentence
    assert "refinement.eval_iters" in sentence
    files = evaluate("refused", "task=evaluate", f"task.estimates={home}", "task.ledger=true")
    assert "which files cannot" in files.stderr.strip().splitlines()[-1]
    nothing = evaluate("refused", "task=evaluate")
    assert "task.estimates=PATH" in nothing.stderr.strip().splitlines()[-1]
