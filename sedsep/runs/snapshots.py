"""The code that a sweep's jobs run: a copy taken when they are submitted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import sedsep
from sedsep.fingerprint import fingerprint

SNAPSHOT = "SEDSEP_SNAPSHOT"
"""The environment variable that names the snapshot which a sweep and its jobs run from."""

PROJECT = Path(sedsep.__file__).parents[1]
"""Holds the code that this process runs: a checkout, or a snapshot."""

PARTS = ("run.py", "conf", "sedsep", "hydra_plugins")
COMMIT = "COMMIT"


def take(project: Path, folder: Path) -> Path:
    """Copy the code, changes and all, to a directory named after its content: the same again is the same directory.

    Args:
        project: holds run.py; it need not be in a repository.
        folder: of snapshots, made where it is missing.
    """
    partial = folder / f".partial.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS[1:]:
        if (project / part).is_dir():
            shutil.copytree(project / part, partial / part, ignore=ignore)
    shutil.copy2(project / PARTS[0], partial)
    # The name is the copy's: the original may change meanwhile.
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    snapshot = folder / fingerprint(*(part for file in files for part in (str(file.relative_to(partial)), file)))[:12]
    (partial / COMMIT).write_text(commit(project) or "")
    try:
        partial.rename(snapshot)
    except OSError:  # it is there already
        shutil.rmtree(partial)
    return snapshot


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
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=project, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
