"""What the launchers of this suite have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.runs.command_line.arguments import quoted
from sedsep.runs.sweeps import Job, Manifest

Jobs = Sequence[tuple[Job, DictConfig]]
"""Jobs to launch, each with the config that it will have."""


class SweepLauncher(Launcher):
    """A launcher that takes the jobs of a manifest, and notes there where they went and how they ended.

    A job that fails is no error of the launcher.
    """

    @abstractmethod
    def check(self, jobs: Jobs) -> None:
        """Refuse what cannot be run this way, before anything is written.

        Raises:
            UserError: why.
        """

    @abstractmethod
    def launch_jobs(self, manifest: Manifest, jobs: Jobs) -> None:
        """Run the jobs and return when all have ended."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's own sweepers keep no manifest."""
        raise UserError("This launcher works with the suite's own sweeper alone: leave hydra/sweeper out.")


def overrides_in_place(job: Job) -> list[str]:
    """The overrides that a job of the sweep is composed with, its directory among them."""
    return [*job.overrides, f"hydra.sweep.subdir={quoted(job.directory)}"]


def devices(config: DictConfig) -> int | None:
    """The devices of a node that a job trains on; `None` where it takes what is there."""
    value = config.trainer.devices
    if isinstance(value, int):
        return value if value > 0 else None
    return None if isinstance(value, str) else len(value)
