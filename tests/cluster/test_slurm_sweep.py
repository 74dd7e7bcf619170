"""A sweep on a real SLURM whose jobs are killed, queued again and broken, and which `sweep.resume` finishes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from tiny import write_tiny_set

from sedsep.runs.directories import Status, read_status

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRAINING = (
    "model=tagger",
    "data=folder",
    "data.workers=0",
    "sample_rate=16000",
    "duration=2.0",
    "scale.tagger.training.duration=1.5",
    "scale.sed.unit_frames=101",
    "scale.sed.f_max=8000",
    "task.examples=1",
    "scale.tagger.training.epochs=60",
    "scale.tagger.training.epoch_size=16",
    "scale.tagger.training.batch_size=4",
)
SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.gpus=0",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.timeout_min=10",
    "hydra.launcher.poll_s=2",
)
KILLED, REQUEUED, SIGNALLED = 0, 1, 2
"""Jobs of the seeds 1 to 3, with a data set that is there."""
BROKEN = 3, 4, 5
"""Jobs of the same seeds, with a data set that is not there yet."""
LAST = "checkpoints/tagger/last.ckpt"
PARENT = "mlflow.parentRunId"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory with a data set, and with code that is not the snapshot's."""
    write_tiny_set(tmp_path / "set")
    (tmp_path / "sedsep").mkdir()
    (tmp_path / "sedsep" / "__init__.py").write_text("raise ImportError('edited since')")
    return tmp_path


class Sweep:
    """A sweep that runs in a process of its own, and what can be done to its jobs."""

    def __init__(self, here: Path, slurm: Mapping[str, str]) -> None:
        self.here, self.root = here, here / "sweep"
        self.env = {**os.environ, **slurm, "SEDSEP_CACHE": str(here / "cache"), "OMP_NUM_THREADS": "1"}
        self.process: subprocess.Popen[str]

    def start(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *arguments],
            cwd=self.here,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, code: int) -> str:
        """What it printed; it must end with an exit code."""
        told = self.process.communicate(timeout=400)[0]
        assert self.process.returncode == code, told
        return told

    def until(self, value: Callable[[], object], seconds: float = 180) -> None:
        """Wait for something while the process lives."""
        limit = time.monotonic() + seconds
        while not value():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < limit, "waited in vain"
            time.sleep(0.1)

    def call(self, *command: str, check: bool = True) -> str:
        return subprocess.run(command, env=self.env, check=check, capture_output=True, text=True).stdout.strip()

    def job(self, number: int) -> dict[str, Any]:
        return json.loads((self.root / "sweep.json").read_text())["jobs"][number]

    def status(self, number: int) -> Status:
        status = read_status(self.root / str(number))
        assert status is not None
        return status

    def is_training(self, number: int) -> bool:
        """Whether a job has a first checkpoint, and many steps to go."""
        return (self.root / str(number) / LAST).is_file()

    def until_running_again(self, number: int) -> None:
        """SLURM lets a job that was queued again wait for two minutes: ask for less."""
        name = self.job(number)["id"]
        self.until(lambda: self.call("squeue", "--noheader", "--array", "--format=%T", f"--jobs={name}") == "PENDING")
        self.call("scontrol", "update", f"JobId={name}", "StartTime=now")

    def weights(self, number: int) -> dict[str, torch.Tensor]:
        return torch.load(self.root / str(number) / LAST, map_location="cpu", weights_only=False)["state_dict"]

    def table(self) -> list[dict[str, str]]:
        with (self.root / "jobs.csv").open() as file:
            return list(csv.DictReader(file))


def test_a_sweep_survives_kills_requeues_and_broken_jobs(here: Path, slurm: Mapping[str, str]) -> None:
    sweep = Sweep(here, slurm)
    axes = ("data.root=set,later", "seed=1,2,3")
    sweep.start("-m", *TRAINING, *axes, *SLURM, f"hydra.sweep.dir={sweep.root}")
    blows: dict[int, Callable[[], object]] = {
        KILLED: lambda: os.kill(sweep.status(KILLED).pid, signal.SIGKILL),
        REQUEUED: lambda: sweep.call("scontrol", "requeue", sweep.job(REQUEUED)["id"]),
        # As SLURM does before the time limit; scancel complains when the job is back in the queue before it looks.
        SIGNALLED: lambda: sweep.call("scancel", "--signal=USR2", sweep.job(SIGNALLED)["id"], check=False),
    }
    while blows:
        sweep.until(lambda: any(map(sweep.is_training, blows)))
        for number in filter(sweep.is_training, list(blows)):
            blows.pop(number)()
    sweep.until_running_again(REQUEUED)
    sweep.until_running_again(SIGNALLED)

    last = sweep.end(1).strip().splitlines()[-1]
    assert last.startswith("Error: 4 of 6 jobs did not finish")
    assert f"sweep.resume={sweep.root}" in last
    rows = sweep.table()
    assert [int(row["number"]) for row in rows] == [*BROKEN, KILLED, REQUEUED, SIGNALLED], "failures first"
    assert [row["state"] for row in rows] == ["failed"] * 3 + ["interrupted"] + ["finished"] * 2
    assert "later does not exist" in rows[0]["cause"]
    assert "SLURM" in rows[3]["cause"]
    assert all(Path(row["log"]).is_file() for row in rows)
    for number in (REQUEUED, SIGNALLED):
        log = (sweep.root / sweep.job(number)["log"]).read_text()
        assert log.count("Starting with JobEnvironment") == 2, "a log of both attempts"
    done = {number: sweep.status(number) for number in (REQUEUED, SIGNALLED)}

    (here / "later").symlink_to(here / "set")  # mended
    sweep.start(f"sweep.resume={sweep.root}")
    sweep.end(0)
    assert [row["state"] for row in sweep.table()] == ["finished"] * 6
    assert {number: sweep.status(number) for number in done} == done, "nothing runs twice"
    for interrupted, whole in zip((KILLED, REQUEUED, SIGNALLED), BROKEN, strict=True):  # of the same seeds
        found, expected = sweep.weights(interrupted), sweep.weights(whole)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), interrupted
    check_tracking(here)


def check_tracking(here: Path) -> None:
    """One run a job, however often it was started, below the sweep's."""
    client = mlflow.MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sedsep")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if PARENT not in run.data.tags]
    assert [run.data.tags[PARENT] for run in runs if run is not parent] == [parent.info.run_id] * 6
    assert {run.info.status for run in runs} == {"FINISHED"}
