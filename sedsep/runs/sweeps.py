"""Sweeps: the jobs that they consist of, kept in the sweep's directory, and what became of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from sedsep.errors import UserError
from sedsep.files import read_json, write_json
from sedsep.metrics.registry import BASELINE, ORACLE, RANKINGS, TAGGER, MetricName
from sedsep.runs import slurm
from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING, Status, read_status
from sedsep.runs.slurm import QUEUED

SWEEP = "SEDSEP_SWEEP"
"""The environment variable by which a job knows the directory of the sweep that it belongs to."""

FILE = "sweep.json"

MISSING = "not started"
ORDER = (FAILED, INTERRUPTED, MISSING, RUNNING, QUEUED, FINISHED)
"""States of jobs as tables list them: what asks for a hand comes first."""

TO_RUN = (FAILED, INTERRUPTED, MISSING)
"""States of jobs that `sweep.resume` runs."""

SCORES = tuple(
    str(MetricName("test", metric, source))
    for metric in (*RANKINGS, "label_accuracy")
    for source in (TAGGER, ORACLE, BASELINE)
)
"""Entries of metrics.json that may stand for a job: of the metric that comes first in its file, the first of these."""


def _inside(path: str) -> str:
    """A place below a sweep's directory, which is not that of the code, as it stands.

    Raises:
        ValueError: it is another.
    """
    parts = Path(path).parts
    if path and (not parts or parts[0] in ("/", "code") or ".." in parts or "${" in path or not path.isprintable()):
        raise ValueError("not a place below the sweep's directory")
    return path


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: its place.
        overrides: what it is composed with.
        directory: its own, below the sweep's.
        code: the name of the snapshot that it runs.
        id: the scheduler's name for it.
        log: what it prints, below the sweep's directory.
        note: how its process ended, where it could not say so itself.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    number: Annotated[int, Field(ge=0)]
    overrides: tuple[str, ...]
    directory: Annotated[str, AfterValidator(_inside)] = ""
    code: Annotated[str, Field(pattern="^[0-9a-f]+$")] | None = None
    id: Annotated[str, Field(pattern=r"^[0-9]+(_[0-9]+)?$")] | None = None
    log: Annotated[str, AfterValidator(_inside)] | None = None
    note: str | None = None


@dataclass
class Manifest:
    """A sweep's jobs and how it was started: enough to go on with it, whoever asks.

    Attributes:
        root: the sweep's directory, absolute.
        jobs: in the order of their numbers.
        command: as it was typed.
        cwd: where it was typed.
        created: when, Unix seconds.
        hydra: those of the overrides that choose how jobs are launched.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    root: Annotated[Path, Field(default=Path())]  # a file does not say where it lies
    jobs: Annotated[list[Job], Field(min_length=1)]
    command: str
    cwd: str
    created: float
    hydra: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path) -> Manifest:
        """The sweep of a directory.

        Raises:
            UserError: there is none, or not as it was written.
        """
        file = root / FILE
        if not file.is_file():
            raise UserError(
                f"{root} holds no sweep ({FILE} is missing): give the directory that one was started in, by "
                "default one below multirun."
            )
        manifest = read_json(file, cls, "start the sweep anew")
        manifest.root = root
        home = os.path.realpath(root)
        for number, job in enumerate(manifest.jobs):
            if job.number != number:
                raise UserError(f"{file} counts its jobs wrongly ({job.number} for {number}): start the sweep anew.")
            if not Path(os.path.realpath(manifest.run_dir(job))).is_relative_to(home):
                raise UserError(f"{file} has job {number} run outside of {root}: start the sweep anew.")
        return manifest

    @property
    def ids(self) -> list[str]:
        """The scheduler's names of the jobs that it was given."""
        return [job.id for job in self.jobs if job.id]

    def run_dir(self, job: Job) -> Path:
        """Where a job runs."""
        return self.root / job.directory

    def record(self, number: int, **changes: Any) -> Job:
        """Note facts about a job, to be written with the next `write`."""
        place = next(index for index, job in enumerate(self.jobs) if job.number == number)
        self.jobs[place] = replace(self.jobs[place], **changes)
        return self.jobs[place]

    def write(self) -> None:
        """Write it to its directory, whole or not at all."""
        write_json(self.root / FILE, {key: value for key, value in asdict(self).items() if key != "root"})


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        state: one of `ORDER`.
        cause: one line on why it did not finish.
        seconds: its last attempt took.
        metric: the name of the number that stands for it.
        score: that number.
    """

    job: Job
    state: str
    cause: str | None = None
    seconds: float | None = None
    metric: str | None = None
    score: float | None = None


def sweep_dir() -> Path | None:
    """The directory of the sweep that this process's job belongs to; `None` for a job of its own."""
    value = os.environ.get(SWEEP)
    return Path(value) if value else None


def differing(jobs: Sequence[Job]) -> dict[int, tuple[str, ...]]:
    """By number, the overrides that not every job has; all of them where there is one job."""
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return {job.number: tuple(text for text in job.overrides if text not in common) for job in jobs}


def outcomes(manifest: Manifest, queue: slurm.Queue | None) -> list[Outcome]:
    """What became of every job, in the order of their numbers.

    Args:
        manifest: of the sweep.
        queue: SLURM's answer for all of them; `None` where there was none.
    """
    return [outcome(job, manifest.run_dir(job), queue) for job in manifest.jobs]


def outcome(job: Job, run_dir: Path, queue: slurm.Queue | None) -> Outcome:
    """What became of a job that runs in `run_dir`."""
    status = read_status(run_dir)
    state = _state(status, slurm.state(job.id, queue))
    if state in (QUEUED, MISSING) or status is None:
        return Outcome(job, state, (job.note or "It was never started.") if state == MISSING else None)
    seconds = status.ended - status.started if status.ended else None
    if state != FINISHED:
        stopped = job.note or "It was killed or stopped before its end."
        return Outcome(job, state, {FAILED: status.cause, INTERRUPTED: stopped}.get(state), seconds)
    path = run_dir / "metrics.json"
    try:
        metrics = read_json(path, dict[str, float | None], "score the job again") if path.exists() else {}
    except UserError as error:
        return Outcome(job, state, str(error), seconds)
    known = [name for name in metrics if name in SCORES and metrics[name] is not None]
    ranking = MetricName.parse(known[0]).metric if known else ""
    metric = min((name for name in known if MetricName.parse(name).metric == ranking), key=SCORES.index, default=None)
    return Outcome(job, state, None, seconds, metric, metrics[metric] if metric else None)


def _state(status: Status | None, in_slurm: str | None) -> str:
    if status is not None and status.state == FINISHED:
        return FINISHED
    if in_slurm in (QUEUED, RUNNING):
        return in_slurm
    if status is None:
        return MISSING
    # Not every cluster's file system shows the lock of another node's job: where SLURM answers, it knows.
    if status.state == RUNNING and in_slurm == slurm.OVER:
        return INTERRUPTED
    return status.state


def counts(results: Sequence[Outcome]) -> str:
    """How many jobs are in which state, in words."""
    numbers = {state: sum(result.state == state for result in results) for state in reversed(ORDER)}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
