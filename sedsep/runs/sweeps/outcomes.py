"""What became of a sweep's jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING, Status, read_status
from sedsep.runs.sweeps import slurm
from sedsep.runs.sweeps.manifest import Job, Manifest

QUEUED, MISSING = "queued", "not started"
ORDER = (FAILED, INTERRUPTED, MISSING, RUNNING, QUEUED, FINISHED)
"""States as tables list them: what asks for a hand comes first."""

TO_RUN = (FAILED, INTERRUPTED, MISSING)
"""States of jobs that `sweep.resume` runs."""

SCORES = (
    "test/ca_sdri/tagger",
    "test/ca_sdri/oracle",
    "test/ca_sdri/baseline",
    "test/label_accuracy/tagger",
    "test/label_accuracy/baseline",
)
"""Entries of metrics.json that may stand for a job, the first that it has."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        state: one of `ORDER`. cause: one line on why it did not finish. seconds: its last attempt took.
        metric, score: the number that stands for it.
    """

    job: Job
    state: str
    cause: str | None = None
    seconds: float | None = None
    metric: str | None = None
    score: float | None = None


def outcomes(manifest: Manifest, queue: slurm.Queue | None) -> list[Outcome]:
    """What became of every job, in the order of their numbers.

    Args:
        queue: SLURM's answer for all of them; `None` where there was none.
    """
    return [outcome(job, manifest.run_dir(job), queue) for job in manifest.jobs]


def outcome(job: Job, run_dir: Path, queue: slurm.Queue | None) -> Outcome:
    """What became of a job that runs in `run_dir`."""
    status = read_status(run_dir)
    state = _state(job, status, queue)
    if state in (QUEUED, MISSING) or status is None:
        return Outcome(job, state, (job.note or "It was never started.") if state == MISSING else None)
    seconds = status.ended - status.started if status.ended else None
    if state != FINISHED:
        stopped = job.note or "It was killed or stopped before its end."
        return Outcome(job, state, {FAILED: status.cause, INTERRUPTED: stopped}.get(state), seconds)
    return Outcome(job, state, None, seconds, *_score(run_dir))


def _state(job: Job, status: Status | None, queue: slurm.Queue | None) -> str:
    if status is not None and status.state == FINISHED:
        return FINISHED
    if slurm.is_queued(job.id, queue):
        return QUEUED
    if slurm.is_running(job.id, queue):
        return RUNNING
    if status is None:
        return MISSING
    # Not every cluster's file system shows the lock of another node's job: where SLURM answers, it knows.
    if status.state == RUNNING and job.id and queue is not None:
        return INTERRUPTED
    return status.state


def _score(run_dir: Path) -> tuple[str | None, float | None]:
    try:
        metrics = json.loads((run_dir / "metrics.json").read_text())
    except FileNotFoundError:
        return None, None
    return next(((name, metrics[name]) for name in SCORES if metrics.get(name) is not None), (None, None))


def counts(found: Sequence[Outcome]) -> str:
    """How many jobs are in which state, in words."""
    numbers = {state: sum(one.state == state for one in found) for state in reversed(ORDER)}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
