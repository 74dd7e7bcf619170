"""What the launchers of this suite have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.runs.sweeps import Job, Manifest


@dataclass(frozen=True)
class Planned:
    """A job to launch.

    Attributes:
        job: of the manifest. config: as it will be composed. overrides: for Hydra, its directory among them.
    """

    job: Job
    config: DictConfig
    overrides: list[str]


class ManifestLauncher(Launcher):
    """A launcher that takes the jobs of a manifest, and notes there where they went and how they ended.

    A job that fails is no error of the launcher.
    """

    @abstractmethod
    def check(self, planned: Sequence[Planned]) -> None:
        """Refuse what cannot be run this way, before anything is written.

        Raises:
            UserError: why.
        """

    @abstractmethod
    def launch_jobs(self, manifest: Manifest, planned: Sequence[Planned]) -> None:
        """Run the jobs and return when all have ended."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hydra's own sweepers keep no manifest."""
        raise UserError("This launcher works with the suite's own sweeper alone: leave hydra/sweeper out.")


def devices(config: DictConfig) -> int | None:
    """The devices of a node that a job trains on; `None` where it takes what is there."""
    value = config.trainer.devices
    if isinstance(value, int):
        return value if value > 0 else None
    return None if isinstance(value, str) else len(value)
