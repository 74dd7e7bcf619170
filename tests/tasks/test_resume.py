"""A training that was stopped goes on as if it had not been."""

from __future__ import annotations

import csv
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import short_training
import torch
from minis import refused
from short_training import weights, write_set

from sedsep.checkpoints.own import RECIPE
from sedsep.runs.command_line.starting import continued
from sedsep.runs.directories import FINISHED, INTERRUPTED, read_status
from sedsep.runs.tracking import HistoryLogger
from sedsep.training import SeparatorSystem
from sedsep.types import Batch

ROOT = Path(__file__).parents[2]
REFINING = ("model=separator_dprnn", "refinement.iters=2")  # dropout, drawn passes and drawn sources

# Imports take seconds: children are forked from a process that has done them.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["short_training"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "set")


def training(root: Path, where: Path, *overrides: str) -> Any:
    process = processes.Process(target=short_training.train, args=(root, where, *overrides))
    process.start()
    return process


def finish(root: Path, where: Path, *overrides: str) -> None:
    process = training(root, where, *overrides)
    process.join(120)
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def uninterrupted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A training nobody stopped, and the seconds it took once it had begun."""
    where = tmp_path_factory.mktemp("uninterrupted") / "run"
    finish(root, where, *REFINING)
    return where, time.time() - (where / RECIPE).stat().st_mtime


def kill(root: Path, where: Path, seconds: float) -> None:
    """Begin a training, or go on with it, and kill it some seconds later."""
    process = training(root, where, *REFINING)
    while not (where / RECIPE).is_file():
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.join()


def alike(one: Path, other: Path, name: str) -> bool:
    first, second = weights(one, name), weights(other, name)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def measured(where: Path) -> dict[tuple[str, int], float]:
    """What a training logged, but for what it cost: no value may be there twice."""
    with (where / HistoryLogger.NAME).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] not in COSTS]
    values = {(row["name"], int(row["step"])): float(row["value"]) for row in rows}
    assert len(values) == len(rows)
    return values


COSTS = {f"train/{cost}" for cost in ("step_seconds", "data_wait", "mixtures_per_second", "memory_gb")}


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    root: Path, uninterrupted: tuple[Path, float], tmp_path: Path, kills: int
) -> None:
    reference, seconds = uninterrupted
    moments = random.Random(kills)
    begun = 0
    for number in range(kills):
        where = tmp_path / str(number)
        kill(root, where, moments.uniform(0.0, 1.0) * seconds)
        last = where / "last.ckpt"
        begun += last.is_file()
        if last.is_file():
            torch.load(last, weights_only=True)  # whole at any moment
        finish(root, where, *REFINING)
        assert alike(where, reference, "last.ckpt")
        assert alike(where, reference, "best.ckpt")
        assert measured(where) == measured(reference)
    assert begun  # the moments were not all before the first step


@pytest.mark.slow
def test_killed_again_and_again_it_still_gets_there(
    root: Path, uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    reference, seconds = uninterrupted
    where = tmp_path / "run"
    for _ in range(3):
        kill(root, where, 0.6 * seconds)
    finish(root, where, *REFINING)
    assert alike(where, reference, "last.ckpt")


def test_a_scheduler_gets_its_checkpoint_and_then_its_signal(
    root: Path, uninterrupted: tuple[Path, float], tmp_path: Path
) -> None:
    reference, _ = uninterrupted
    where = tmp_path / "run"
    overrides = (*REFINING, "callbacks.last.minutes=10")
    process = processes.Process(target=train_until_requeued, args=(root, where, *overrides))
    process.start()
    process.join(300)
    assert process.exitcode == REQUEUED
    assert torch.load(where / "last.ckpt", weights_only=True)["global_step"] == TOLD_AT
    finish(root, where, *overrides)
    assert alike(where, reference, "last.ckpt")
    assert measured(where) == measured(reference)


REQUEUED = 75  # exit code
TOLD_AT = 7  # of 15 steps, in the middle of an epoch


def train_until_requeued(root: Path, where: Path, *overrides: str) -> None:
    """A training whose scheduler listens for SIGUSR2, as submitit does, and sends it in the middle of a step."""
    step, count = SeparatorSystem.training_step, itertools.count(1)

    def told(system: SeparatorSystem, batch: Batch, index: int) -> torch.Tensor:
        if next(count) == TOLD_AT:
            os.kill(os.getpid(), signal.SIGUSR2)
        return step(system, batch, index)

    SeparatorSystem.training_step = told  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR2, lambda *_: os._exit(REQUEUED))
    short_training.train(root, where, *overrides)


@pytest.mark.parametrize("average", [("callbacks=ema", "callbacks.average.decay=0.8"), ("callbacks=swa",)])
def test_averages_of_weights_are_gone_on_with(root: Path, tmp_path: Path, average: tuple[str, ...]) -> None:
    overrides = (*REFINING, *average)
    finish(root, tmp_path / "whole", *overrides)
    process = processes.Process(target=train_until_requeued, args=(root, tmp_path / "run", *overrides))
    process.start()
    process.join(300)
    assert process.exitcode == REQUEUED
    finish(root, tmp_path / "run", *overrides)
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (torch.load(tmp_path / where / name, weights_only=True) for where in ("whole", "run"))
        for part in ("state_dict", "current_model_state", "averaging_state"):
            assert one[part].keys() == other[part].keys()
            assert all(torch.equal(one[part][key], other[part][key]) for key in one[part])
        assert any(
            not torch.equal(one["state_dict"][key], one["current_model_state"][key]) for key in one["state_dict"]
        )
    assert measured(tmp_path / "whole") == measured(tmp_path / "run")
    with refused("begun with average.*: go on with the settings it was begun with"):
        short_training.train(root, tmp_path / "run", *REFINING)


def test_other_settings_are_refused(root: Path, uninterrupted: tuple[Path, float]) -> None:
    where = uninterrupted[0]
    with refused(r"begun with seed=0, not 1: go on with the settings it was begun with"):
        short_training.train(root, where, *REFINING, "seed=1")


def test_training_never_opens_the_test_split(root: Path, tmp_path: Path) -> None:
    without = Path(shutil.copytree(root, tmp_path / "set"))
    gone = [path for path in without.rglob("test*") if path.parent != without / "metadata" / "test"]
    assert len(gone) > 4
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    finish(without, tmp_path / "run", "model=separator", "conditioning=none")
    assert (tmp_path / "run" / "best.ckpt").is_file()  # it was validated


# From the command line.

TINY = (
    "trainer=debug",
    "trainer.max_epochs=null",
    "task.examples=1",
    "task.label_sources=[oracle]",
    *short_training.SHORT,
    "scale.separator.training.epochs=8",
)


def begin(where: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    env = {**os.environ, "SEDSEP_CACHE": str(where / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_job_goes_on_by_ckpt_last_in_its_own_run(root: Path, tmp_path: Path) -> None:
    import mlflow

    job = (*TINY, f"data.root={root}", "conditioning=none", "model=separator")
    whole = begin(tmp_path, *job, "hydra.run.dir=whole")
    assert whole.wait(300) == 0, whole.communicate()
    process = begin(tmp_path, *job)
    while not (found := list(tmp_path.glob("outputs/*/*/checkpoints/separator/last.ckpt"))):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.kill()
    process.wait()
    run = found[0].parents[2]
    status = read_status(run)
    assert status is not None
    assert status.state == INTERRUPTED

    again = begin(tmp_path, "ckpt=last")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert "Going on with" in out
    status = read_status(run)
    assert status is not None
    assert status.state == FINISHED
    assert json.loads((run / "metrics.json").read_text()) == json.loads((tmp_path / "whole/metrics.json").read_text())
    assert alike(run / "checkpoints/separator", tmp_path / "whole/checkpoints/separator", "last.ckpt")

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("sedsep").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    losses = [client.get_metric_history(run.info.run_id, "separator/train/loss_step") for run in runs]
    one, other = ([(point.step, point.value) for point in sorted(points, key=lambda p: p.step)] for points in losses)
    assert one == other  # no step is missing, none is there twice


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs begun before, in a working directory of their own."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, started: float, **status: Any) -> Path:
        run = tmp_path / "outputs" / "day" / name
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "overrides.yaml").write_text("- model=tagger\n- seed=3\n")
        known = {"state": "failed", "task": "train", "host": "h", "pid": 1, "started": started}
        (run / "status.json").write_text(json.dumps(known | status))
        return run.relative_to(tmp_path)

    return make


def test_ckpt_names_a_run_and_its_command_is_run_again(outputs: Callable[..., Path]) -> None:
    run = outputs("a", 1.0)
    outputs("finished", 4.0, state="finished")
    outputs("scored", 5.0, task="evaluate")
    newest = outputs("b", 2.0)
    begun = ["model=tagger", "seed=3"]
    assert continued(["ckpt=last"]) == [*begun, f"hydra.run.dir='{newest}'"]
    assert continued([f"ckpt={run}", "trainer=gpu"]) == [*begun, "trainer=gpu", f"hydra.run.dir='{run}'"]
    file = run / "checkpoints" / "tagger" / "last.ckpt"
    assert continued([f"ckpt={file}"]) == [*begun, f"hydra.run.dir='{run}'"]
    assert continued(["task=train", f"ckpt={run}"]) == [*begun, "task=train", f"hydra.run.dir='{run}'"]
    for other in (["task=evaluate", "ckpt=a.ckpt"], ["task=separate", f"ckpt={run}"], ["model=tagger"], ["ckpt=null"]):
        assert continued(other) == other


def test_a_run_is_scored_on_what_it_was_trained_with(outputs: Callable[..., Path]) -> None:
    run, newest = outputs("a", 1.0, state="finished"), outputs("b", 2.0, state="finished")
    outputs("failed", 3.0)
    assert continued(["task=evaluate", f"ckpt={run}", "seed=4"]) == [
        *("model=tagger", "seed=3", "task=evaluate", "seed=4", f"ckpt='{run}'")
    ]
    assert continued(["-m", "task=evaluate", "ckpt=last"]) == [
        *("-m", "model=tagger", "seed=3", "task=evaluate", f"ckpt='{newest}'")
    ]
    several = f"ckpt=[{run},elsewhere/other.ckpt]"
    assert continued(["task=evaluate", several]) == ["model=tagger", "seed=3", "task=evaluate", several]


def begun(run: Path, *overrides: str) -> None:
    (run / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))


def test_what_a_directory_says_is_a_value_or_left_out_or_typed_again(
    outputs: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = outputs("a", 1.0)
    where = f"hydra.run.dir='{run}'"
    begun(run, "data.rendering={spans: dry}", "+trainer.max_steps=3", "logger.tracking_uri=http://a.b", "logger=none")
    assert continued([f"ckpt={run}"]) == ["logger=none", "data.rendering={spans:dry}", "++trainer.max_steps=3", where]
    (line,) = capsys.readouterr().err.splitlines()
    assert "also asks for logger.tracking_uri=http://a.b: left out" in line
    profiler = "trainer.profiler._target_=lightning.pytorch.profilers.PyTorchProfiler"
    begun(run, "trainer=profile", profiler)
    with refused("begun with trainer.profiler._target_=.* may run code .* type it beside what you type now"):
        continued([f"ckpt={run}"])
    assert continued([f"ckpt={run}", profiler]) == ["trainer=profile", profiler, where]


def test_a_directory_with_links_out_of_it_is_not_written_to(outputs: Callable[..., Path], tmp_path: Path) -> None:
    run = outputs("a", 1.0)
    (run / "checkpoints").symlink_to(tmp_path)
    with refused("checkpoints is a link that leads out of"):
        continued([f"ckpt={run}"])


def test_ckpt_without_such_a_run_says_so(outputs: Callable[..., Path]) -> None:
    outputs("finished", 4.0, state="finished")
    with refused("no unfinished training below .*outputs"):
        continued(["ckpt=last"])
    with refused("elsewhere is not a run directory"):
        continued(["ckpt=elsewhere"])
