"""Where a number comes from: the code, the machine, the command."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import distributions

import sedsep

DIRTY = "-dirty"


def command() -> str:
    """What was typed."""
    return shlex.join(["python", *sys.argv])


def user() -> str:
    """Who runs this; a container may know no more than a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def facts(commit: str | None, overrides: Sequence[str]) -> dict[str, str]:
    """Tags of a job.

    Args:
        commit: of the code, ends in `-dirty` where it has changes that are in none.
        overrides: of the config.
    """
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    tags = {
        "mlflow.user": user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.git.commit": commit and commit.removesuffix(DIRTY),
        "sedsep.uncommitted_changes": commit and str(commit.endswith(DIRTY)).lower(),
        "sedsep.version": sedsep.__version__,
        "sedsep.command": command(),
        "sedsep.overrides": " ".join(overrides),
        "sedsep.host": platform.node(),
        "sedsep.cpus": str(os.cpu_count()),
        "sedsep.gpus": ", ".join(gpus) or "none",
        "sedsep.python": platform.python_version(),
        "sedsep.torch": torch.__version__,
        "sedsep.cuda": torch.version.cuda or "none",
        "sedsep.slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
    return {name: value for name, value in tags.items() if value is not None}


def environment() -> str:
    """What is installed, one `name==version` a line, as pip reads it."""
    packages = {f"{package.name}=={package.version}" for package in distributions()}
    return "".join(f"{line}\n" for line in sorted(packages, key=str.lower))
