"""Told to stop at any moment: a shell sees why, all is tidied up, and a training goes on from where it was."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from harness import RUN_PY, Outcome, Started, assert_accepted, command
from tiny import TINY

from sedsep.runs.directories import FINISHED, INTERRUPTED, read_status
from sedsep.runs.tracking.journal import FOLDER, events

pytestmark = pytest.mark.slow

PLAIN = TINY[:-1]  # of tasks that score nothing
TAGGER = (*TINY, "model=tagger", "logger=csv")
EVALUATE = ("task=evaluate", "ckpt={run}", "logger=csv")
BY = ("task.author=A", "task.affiliation=B")
LAST = "checkpoints/separator/last.ckpt"
RUN = "hydra.run.dir=here"


def left_over(folder: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and "Z" not in (process / "stat").read_text().split(")")[1][:3]:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def assert_stopped(outcome: Outcome, number: int) -> None:
    """A shell sees the signal, a person no traceback; nothing is half-written, and nobody is left at work."""
    told = outcome.out + outcome.err
    assert outcome.code == 128 + number, (outcome.code, told[-3000:])
    assert "Traceback" not in told and "Exception ignored" not in told and "Error" not in told, told[-3000:]
    assert not outcome.half_written
    limit = time.monotonic() + 12  # of workers that look after their parent every 5 s
    while left := left_over(outcome.folder):
        assert time.monotonic() < limit, left
        time.sleep(0.1)


def in_turn(moments: Iterable[Any]) -> list[tuple[Any, signal.Signals]]:
    """Each moment with a signal."""
    return list(zip(moments, itertools.cycle((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)), strict=False))


def state(run_dir: Path) -> str | None:
    status = read_status(run_dir)
    return None if status is None else status.state


def stop_at(started: Started, *numbers: int, pause_s: float = 0.2) -> Outcome:
    """Send signals to a command at the moment that it pauses at, and let it go on."""
    started.until()
    for number in numbers:
        os.kill(started.pid, number)
        time.sleep(pause_s)
    started.go_on()
    return started.end(30)


@pytest.fixture
def tagger(_small: Path) -> Path:
    """That was trained for the run's separator."""
    return next((_small / "cache" / "models").glob("tagger-*")) / "last.ckpt"


TASKS: dict[str, tuple[tuple[str, ...], tuple[str, int]]] = {
    "the command line": (TAGGER, ("sedsep.tasks.entry:prepare", 1)),
    "imports": (TAGGER, ("sedsep.composition.common:complete", 1)),
    "a data set read": (TAGGER, ("sedsep.composition.common:data_set", 1)),
    "a first look at validation": (TAGGER, ("sedsep.training.sed:SedSystem.setup", 1)),
    "scores": (TAGGER, ("sedsep.composition.conclusion:score_scenes", 1)),
    "a test step": (TAGGER, ("sedsep.training.scoring:ScoringSystem.test_step", 1)),
    "a report": (TAGGER, ("sedsep.composition.conclusion:write_report", 1)),
    "evaluate": (EVALUATE, ("sedsep.composition.conclusion:score_scenes", 1)),
    "evaluate, scores": (EVALUATE, ("sedsep.composition.conclusion:write_scores", 1)),
    "separate, networks": ((*PLAIN, "task=separate", "ckpt={run}", "audio={wav}"), ("sedsep.tasks.separate:load", 1)),
    "separate, stems": (
        (*PLAIN, "task=separate", "ckpt={run}", "audio={wav}"),
        ("sedsep.inference.writing:_write_stems", 1),
    ),
    "submission": (
        (*PLAIN, "task=submission", "ckpt={run}", "tagger.ckpt={tagger}", "audio={sound}", *BY),
        ("sedsep.tasks.submission:check", 1),
    ),
    "prepare": (("task=prepare", "data=synthetic"), ("sedsep.datasets.synthetic:_write_wav", 5)),
    "verify": ((*PLAIN, "task=verify"), ("sedsep.datasets.verify:_leaks", 1)),
    "inspect": ((*PLAIN, "task=inspect"), ("sedsep.tasks.inspect:write_scenes", 1)),
    "benchmark": ((*PLAIN, "task=benchmark", "task.parts=[separator]"), ("sedsep.tasks.benchmark:separator_costs", 1)),
    "convert": ((*PLAIN, "task=convert", "task.source={run}/{last}"), ("sedsep.tasks.convert:convert", 1)),
    "sync": (("task=sync", "task.root={run}"), ("sedsep.tasks.sync:read_status", 1)),
}  # fmt: skip
"""Commands, and a moment of each: a function of the suite, and its how-manieth call."""


@pytest.mark.parametrize(("moment", "number"), in_turn(TASKS), ids=str)
def test_every_task_can_be_stopped(
    moment: str, number: int, tiny_set: Path, tiny_run: Path, tagger: Path, tmp_path: Path
) -> None:
    arguments, pause = TASKS[moment]
    sound = tmp_path / "sound" / "soundscape" / "a.wav"
    sound.parent.mkdir(parents=True)
    soundfile.write(sound, np.random.default_rng(0).normal(0, 0.05, (32000, 4)), 16000)
    places = {"run": tiny_run, "wav": sound, "sound": sound.parent, "tagger": tagger, "last": LAST}
    given = [text.format(**places) for text in arguments]
    data = [] if "data=synthetic" in given or "task=sync" in given else [f"data.root={tiny_set}"]
    cache = {} if "data=synthetic" in given else {"SEDSEP_CACHE": str(tagger.parents[2])}
    outcome = stop_at(Started(tmp_path, *given, *data, RUN, pause=pause, **cache), number)
    assert_stopped(outcome, number)
    assert state(tmp_path / "here") == (None if moment == "the command line" else INTERRUPTED)


THREE = ("trainer.max_epochs=3", "scale.tagger.training.validate_every=3", "trainer.limit_train_batches=3")
LONG = (*TAGGER, *THREE, "trainer.num_sanity_val_steps=1")
STEP, VALIDATION = ("sedsep.training.sed:SedSystem.training_step", "sedsep.training.sed:SedSystem.validation_step")
TRAININGS: dict[str, tuple[tuple[str, int], int | None]] = {
    "the first step": ((STEP, 1), 1),
    "the middle of an epoch": ((STEP, 5), 5),
    "the last step of an epoch": ((STEP, 3), 3),
    "the last step, before a validation": ((STEP, 9), 6),
    "the sanity check": ((VALIDATION, 1), None),
    "a validation": ((VALIDATION, 2), 6),
    "a checkpoint": (("sedsep.training.checkpointing:torch.save", 2), None),
    "the end of an epoch": (("sedsep.training.checkpointing:LastCheckpoint.on_train_epoch_end", 1), 3),
}
"""Moments of a training of 3 epochs of 3 steps, and the step of the checkpoint that there must be then."""


@pytest.mark.parametrize(("moment", "number"), in_turn(TRAININGS), ids=str)
def test_a_training_writes_its_checkpoint_first_and_goes_on(
    moment: str, number: int, tiny_set: Path, tmp_path: Path
) -> None:
    pause, step = TRAININGS[moment]
    started = Started(tmp_path, *LONG, f"data.root={tiny_set}", RUN, pause=pause)
    outcome = stop_at(started, number)
    assert_stopped(outcome, number)
    run_dir = tmp_path / "here"
    assert state(run_dir) == INTERRUPTED
    assert f"To go on with this training: python run.py ckpt={run_dir}" in outcome.out
    if step is not None:
        assert torch.load(run_dir / "checkpoints/tagger/last.ckpt", weights_only=True)["global_step"] == step
    if number == signal.SIGINT:
        assert_accepted(command(tmp_path, f"ckpt={run_dir}"))
        assert state(run_dir) == FINISHED
        assert torch.load(run_dir / "checkpoints/tagger/last.ckpt", weights_only=True)["global_step"] == 9


def test_what_it_leans_on_is_gone_on_with_as_well(tiny_set: Path, tmp_path: Path) -> None:
    started = Started(tmp_path, *TINY, f"data.root={tiny_set}", RUN, pause=(STEP, 1))
    outcome = stop_at(started, signal.SIGTERM)
    assert outcome.code == 128 + signal.SIGTERM, outcome.err
    assert f"To go on with this training: python run.py ckpt={tmp_path / 'here'}" in outcome.out
    assert len(list(tmp_path.glob("cache/models/*.partial/last.ckpt"))) == 1
    again = command(tmp_path, f"ckpt={tmp_path / 'here'}")
    assert again.code == 0, again.err
    assert "Going on with" in again.out


def test_the_tracking_run_ends_as_killed(tiny_set: Path, tmp_path: Path) -> None:
    import mlflow

    started = Started(tmp_path, *TINY, "model=tagger", f"data.root={tiny_set}", RUN, pause=(STEP, 2))
    assert_stopped(stop_at(started, signal.SIGTERM), signal.SIGTERM)
    assert [event.end for _, event in events(tmp_path / "here" / FOLDER) if event.end] == ["interrupted"]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("sedsep").experiment_id])
    assert run.info.status == "KILLED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_told_with_its_workers_it_ends_as_if_told_alone(number: int, tiny_set: Path, tmp_path: Path) -> None:
    """As `timeout`, systemd, SLURM and a key do."""
    workers = ("data.workers=2", f"data.root={tiny_set}")
    started = Started(tmp_path, *LONG, *workers, RUN, pause=(STEP, 2))
    started.until()
    assert len(left_over(tmp_path)) >= 3
    os.kill(started.pid, number)  # `timeout` does both
    os.killpg(started.pid, number)
    time.sleep(0.2)
    started.go_on()
    assert_stopped(started.end(30), number)
    last = tmp_path / "here/checkpoints/tagger/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_told_twice_it_ends_at_once(again: int, tiny_set: Path, tmp_path: Path) -> None:
    workers = ("data.workers=2", f"data.root={tiny_set}")
    started = Started(tmp_path, *LONG, *workers, RUN, pause=(STEP, 2))
    started.until()
    os.kill(started.pid, signal.SIGTERM)
    time.sleep(1.2)
    os.kill(started.pid, again)
    assert_stopped(started.end(5), again)  # it still pauses
    assert not (tmp_path / "here/checkpoints/tagger/last.ckpt").exists()
    assert state(tmp_path / "here") == INTERRUPTED


def test_told_twice_while_it_tidies_up(tiny_set: Path, tmp_path: Path) -> None:
    tidying = ("sedsep.runs.tracking.csv_file:CsvFile.close", 1)
    started = Started(tmp_path, *LONG, f"data.root={tiny_set}", RUN, pause=tidying)
    started.until((tmp_path / "here/checkpoints/tagger/last.ckpt").is_file)
    os.kill(started.pid, signal.SIGTERM)
    started.until()
    time.sleep(1.2)
    os.kill(started.pid, signal.SIGTERM)
    assert_stopped(started.end(5), signal.SIGTERM)


@pytest.mark.parametrize(("wait", "number"), in_turn([0.08, 0.7, 0.18, 0.4, 1.2, 1.8, 2.5]), ids=str)
def test_told_while_python_imports(wait: float, number: int, tmp_path: Path) -> None:
    """A process of its own, from its first moments on."""
    log = (tmp_path / "log").open("w")
    arguments = [
        sys.executable,
        str(RUN_PY),
        "task=evaluate",
        f"ckpt={tmp_path}",
        f"data.root={tmp_path}",
        "data=folder",
    ]
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    time.sleep(wait)
    os.kill(process.pid, number)
    code = process.wait(30)
    told = (tmp_path / "log").read_text()
    assert code in (-number, 128 + number) or "Error: " in told, (code, told)
    assert "Traceback" not in told, told


def test_the_jobs_of_a_sweep_end_with_it(tiny_set: Path, tmp_path: Path) -> None:
    from sedsep.runs.sweeps import Manifest

    sweep = ("seed=1,2", "hydra/launcher=local", "hydra.launcher.jobs=2", "hydra.sweep.dir=sweep")
    long = ("trainer.max_epochs=1000", "logger=none", f"data.root={tiny_set}")
    started = Started(tmp_path, "-m", *TAGGER[:-1], *long, *sweep)
    lasts = [tmp_path / "sweep" / name / "checkpoints/tagger/last.ckpt" for name in "01"]
    started.until(lambda: all(last.is_file() for last in lasts))
    os.kill(started.pid, signal.SIGTERM)
    assert_stopped(started.end(40), signal.SIGTERM)
    assert [state(tmp_path / "sweep" / name) for name in "01"] == [INTERRUPTED] * 2
    assert len(Manifest.read(tmp_path / "sweep").jobs) == 2


def test_a_sweep_within_one_process_ends_with_its_job(tiny_set: Path, tmp_path: Path) -> None:
    sweep = ("seed=1,2", "hydra/launcher=basic", "hydra.sweep.dir=sweep")
    started = Started(tmp_path, "-m", *TAGGER, "trainer.max_epochs=1000", f"data.root={tiny_set}", *sweep)
    started.until((tmp_path / "sweep/0/checkpoints/tagger/last.ckpt").is_file)
    os.kill(started.pid, signal.SIGINT)
    outcome = started.end(40)
    assert_stopped(outcome, signal.SIGINT)
    assert state(tmp_path / "sweep/0") == INTERRUPTED
    assert state(tmp_path / "sweep/1") is None
    assert "sweep.resume=" in outcome.out
