"""What a sweep consists of, kept in its directory: enough to go on with it, whoever asks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sedsep.errors import UserError
from sedsep.files import write_json

FILE = "sweep.json"


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: its place. overrides: what it is composed with. directory: its own, below the sweep's.
        code: the snapshot that it runs. id: the scheduler's name for it. log: what it prints, below the sweep's.
        note: how its process ended, where it could not say so itself.
    """

    number: int
    overrides: tuple[str, ...]
    directory: str = ""
    code: str | None = None
    id: str | None = None
    log: str | None = None
    note: str | None = None


@dataclass
class Manifest:
    """A sweep's jobs and how it was started.

    Attributes:
        root: the sweep's directory, absolute. jobs: in the order of their numbers.
        command: as it was typed. cwd: where. created: when, Unix seconds.
        hydra: those of the overrides that choose how jobs are launched.
    """

    root: Path
    jobs: list[Job]
    command: str
    cwd: str
    created: float
    hydra: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path) -> Manifest:
        """The sweep of a directory.

        Raises:
            UserError: there is none.
        """
        try:
            content = json.loads((root / FILE).read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{root} holds no sweep ({FILE} is missing): give the directory that one was started in, by "
                "default one below multirun."
            ) from None
        jobs = [Job(**{**job, "overrides": tuple(job["overrides"])}) for job in content.pop("jobs")]
        return cls(root=root, jobs=jobs, **content)

    @staticmethod
    def is_in(root: Path) -> bool:
        """Whether a directory holds a sweep."""
        return (root / FILE).is_file()

    @property
    def ids(self) -> list[str]:
        """The scheduler's names of the jobs that it was given."""
        return [job.id for job in self.jobs if job.id]

    def run_dir(self, job: Job) -> Path:
        """Where a job runs."""
        return self.root / job.directory

    def log(self, job: Job) -> Path | None:
        """What a job printed."""
        return self.root / job.log if job.log else None

    def record(self, number: int, **changes: Any) -> Job:
        """Note facts about a job, to be written with the next `write`."""
        place = next(index for index, job in enumerate(self.jobs) if job.number == number)
        self.jobs[place] = replace(self.jobs[place], **changes)
        return self.jobs[place]

    def write(self) -> None:
        """Write it to its directory, whole or not at all."""
        content = {key: value for key, value in asdict(self).items() if key != "root"}
        write_json(self.root / FILE, content)


def differing(jobs: Sequence[Job]) -> dict[int, tuple[str, ...]]:
    """By number, the overrides that not every job has; all of them where there is one job."""
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    return {job.number: tuple(text for text in job.overrides if text not in common) for job in jobs}
