"""The sweepers and the launchers of sedsep, where Hydra looks for plugins; every start of Hydra imports them all."""

from sedsep.runs.launchers.local import LocalLauncher
from sedsep.runs.launchers.slurm import SlurmLauncher
from sedsep.runs.search_sweeper import SearchSweeper
from sedsep.runs.sweeper import ResumableSweeper


class Resumable(ResumableSweeper):
    """hydra/sweeper=resumable."""


class Optuna(SearchSweeper):
    """hydra/sweeper=optuna."""


class Local(LocalLauncher):
    """hydra/launcher=local."""


class Slurm(SlurmLauncher):
    """hydra/launcher=slurm."""
