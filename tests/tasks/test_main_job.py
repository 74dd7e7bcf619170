"""The whole system through the command line: data in, trained, separated, scored, tracked, with a page to look at."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import soundfile
from tiny import TINY, write_tiny_set

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("data") / "set")


def run_directory(cwd: Path) -> Path:
    return next(iter(sorted((cwd / "outputs").glob("*/*"))))


def test_the_main_job_ends_in_scores_a_page_and_a_tracked_run(run_py: RunPy, tiny_set: Path, tmp_path: Path) -> None:
    done = run_py(*TINY, f"data.root={tiny_set}")
    assert done.returncode == 0, done.stderr
    where = run_directory(tmp_path)
    metrics = json.loads((where / "metrics.json").read_text())
    for source in ("baseline", "tagger", "oracle"):
        assert isinstance(metrics[f"test/ca_sdri/{source}"], float)
    for source in ("baseline", "tagger"):
        assert 0 <= metrics[f"test/label_accuracy/{source}"] <= 100
    assert "CA-SDRi" in (where / "report.html").read_text()
    assert (where / "checkpoints" / "separator" / "last.ckpt").is_file()
    assert "sample_rate: 16000" in (where / "config.yaml").read_text()
    assert "training one" in done.stdout

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("sedsep").experiment_id])
    assert run.info.status == "FINISHED"
    name = r"separator-soundbeam, set, trainer=debug .*, seed 0, \d{4}-\d\d-\d\d \d\d:\d\d"
    assert re.fullmatch(name, run.info.run_name)
    note = run.data.tags["mlflow.note.content"]
    assert f"| CA-SDRi (dB) | {metrics['test/ca_sdri/tagger']:.2f} |" in note
    assert str(where / "report.html") in note
    assert run.data.metrics["test/ca_sdri/oracle"] == pytest.approx(metrics["test/ca_sdri/oracle"])
    assert run.data.params["sample_rate"] == "16000"
    assert client.get_metric_history(run.info.run_id, "separator/train/loss_step")
    assert "report.html" in {item.path for item in client.list_artifacts(run.info.run_id)}


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers_and_a_checkpoint_scores_as_its_run_did(
    run_py: RunPy, tiny_set: Path, tmp_path: Path
) -> None:
    job = (*TINY, f"data.root={tiny_set}", "logger=none")

    def scores(name: str, *overrides: str) -> dict[str, float]:
        done = run_py(*job, f"hydra.run.dir={tmp_path / name}", *overrides)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / name / "metrics.json").read_text())

    first = scores("first")
    assert scores("again") == first  # with the SED models and labels that the first left in the cache
    assert scores("anew", f"paths.cache={tmp_path / 'elsewhere'}", "data.workers=1") == first
    checkpoint = tmp_path / "first" / "checkpoints" / "separator" / "last.ckpt"
    assert scores("evaluated", "task=evaluate", f"ckpt={checkpoint}") == pytest.approx(first, abs=1e-4)


def test_the_job_of_2026_trains_its_tagger_and_a_guided_separator_of_several_outputs(
    run_py: RunPy, tmp_path: Path
) -> None:
    data = write_tiny_set(tmp_path / "set", edition=2026)
    job = ("experiment=dcase2026_guided", "refinement.iters=2", "logger=none")
    done = run_py(*TINY, f"data.root={data}", *job)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((run_directory(tmp_path) / "metrics.json").read_text())
    for source in ("baseline", "tagger", "oracle"):
        assert isinstance(metrics[f"test/capi_sdri/{source}"], float)


def test_a_tagger_trains_alone(run_py: RunPy, tiny_set: Path, tmp_path: Path) -> None:
    done = run_py(*TINY, f"data.root={tiny_set}", "model=tagger", "logger=none")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((run_directory(tmp_path) / "metrics.json").read_text())
    assert "test/label_accuracy/tagger" in metrics
    assert not any("ca_sdri" in name for name in metrics)


@pytest.mark.slow
def test_a_sweep_runs_every_combination(run_py: RunPy, tiny_set: Path, tmp_path: Path) -> None:
    done = run_py("-m", *TINY, f"data.root={tiny_set}", "logger=none", "conditioning=none,soundbeam", "seed=1,2")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "multirun").glob("*/*/*/metrics.json"))) == 4


def test_a_damaged_sound_stops_the_job_with_its_name(run_py: RunPy, tiny_set: Path, tmp_path: Path) -> None:
    victim = tiny_set / "sound_event" / "train" / "Speech" / "zz_nan.wav"
    soundfile.write(victim, [float("nan")] * 8000, 16000, subtype="FLOAT")
    try:
        # One worker: the error crosses a process on its way.
        overrides = ("model=tagger", "logger=none", "data.workers=1", "trainer.limit_train_batches=40")
        done = run_py(*TINY, f"data.root={tiny_set}", *overrides, "scale.tagger.training.epoch_size=320")
    finally:
        victim.unlink()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "zz_nan.wav" in done.stderr.strip().splitlines()[-1]
    assert not list((tmp_path / "outputs").glob("*/*/metrics.json"))


def test_a_checkpoint_of_another_scale_is_refused(run_py: RunPy, tiny_set: Path, tmp_path: Path) -> None:
    job = (*TINY, f"data.root={tiny_set}", "logger=none")
    assert run_py(*job, "model=tagger").returncode == 0
    checkpoint = next(tmp_path.glob("outputs/*/*/checkpoints/tagger/last.ckpt"))
    done = run_py(*job, f"tagger.ckpt={checkpoint}", "scale.sed.width=32")
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert str(checkpoint) in sentence
    assert "another scale" in sentence


def test_the_paper_scale_says_what_it_needs(run_py: RunPy, tiny_set: Path) -> None:
    done = run_py("data=folder", f"data.root={tiny_set}", "sample_rate=16000", "scale.trains_prerequisites=false")
    assert done.returncode == 1
    assert "tagger.ckpt=PATH" in done.stderr


def test_a_mistyped_choice_of_a_network_names_the_valid_ones(run_py: RunPy, tiny_set: Path) -> None:
    done = run_py(*TINY, f"data.root={tiny_set}", "logger=none", "conditioning.time_film.mode=add")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: conditioning.time_film.mode=add is not right: one of additive, multiplicative is expected "
        "(the default is additive)."
    )
