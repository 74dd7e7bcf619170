"""Where a number comes from: the command, the machine, the code, of which a sweep's jobs run a copy."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

import sedsep
from sedsep.fingerprint import fingerprint

SNAPSHOT = "SEDSEP_SNAPSHOT"
"""The environment variable that names the snapshot which a sweep and its jobs run from."""

PROJECT = Path(sedsep.__file__).parents[1]
"""Holds the code that this process runs: a checkout, a snapshot, or where packages are installed."""

PARTS = ("sedsep", "hydra_plugins/sedsep_sweeps")
CLONE, COMMIT = "run.py", "COMMIT"


def take(project: Path, folder: Path) -> Path:
    """Copy the code, changes and all, to a directory named after its content: the same again is the same directory.

    What lies there under that name and is something else, whoever put it there, is replaced.

    Args:
        project: holds the packages; it need not be in a repository.
        folder: of snapshots, made where it is missing.
    """
    partial = folder / f".partial.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:  # with the configs: what the link in a clone leads to
        shutil.copytree(project / part, partial / part, ignore=ignore)
    if (project / CLONE).is_file():
        shutil.copy2(project / CLONE, partial)
    # The name is the copy's: the original may change meanwhile.
    snapshot = folder / str(_digest(partial))
    (partial / COMMIT).write_text(commit(project) or "")
    if _digest(snapshot) == snapshot.name:  # it is there already
        shutil.rmtree(partial)
        return snapshot
    if snapshot.exists() or snapshot.is_symlink():  # somebody else's content under this name
        discarded = folder / f".discarded.{os.getpid()}"
        snapshot.rename(discarded)
        discarded.unlink() if not discarded.is_dir() or discarded.is_symlink() else shutil.rmtree(discarded, True)
    try:
        partial.rename(snapshot)
    except OSError:  # another process was faster
        shutil.rmtree(partial)
    return snapshot


def _digest(copy: Path) -> str | None:
    """The name that the content of a copy of the code gives it; `None` where there is none, or it has links.

    What Python compiled there is removed: it would be run, whatever the code beside it says.
    """
    if copy.is_symlink() or not copy.is_dir():
        return None
    for compiled in [*copy.rglob("__pycache__")]:
        shutil.rmtree(compiled, ignore_errors=True)  # what stays counts
    content = sorted(path for path in copy.rglob("*") if path != copy / COMMIT)
    if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in content):
        return None
    files = [path for path in content if path.is_file()]
    return fingerprint(*(part for file in files for part in (str(file.relative_to(copy)), file)))[:12]


def current() -> str | None:
    """The name of the snapshot that this process runs; `None` for none."""
    return Path(os.environ[SNAPSHOT]).name if SNAPSHOT in os.environ else None


def commit(project: Path) -> str | None:
    """The commit of the code in `project`, a checkout or a snapshot, marked when it has uncommitted changes.

    `None` where it is in no repository.
    """
    file = project / COMMIT
    if file.is_file():  # a snapshot may lie in a checkout that has moved on
        return file.read_text().strip() or None
    if not (project / CLONE).is_file():  # an environment may lie in somebody else's repository
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=project, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


DIRTY = "-dirty"


def command() -> str:
    """What was typed."""
    program = Path(sys.argv[0])
    is_script = program.suffix == ".py" and program.name != "__main__.py"
    return shlex.join([*(("python", sys.argv[0]) if is_script else ("sedsep",)), *sys.argv[1:]])


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
