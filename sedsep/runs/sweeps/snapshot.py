"""The code that a sweep's jobs run: a copy taken when they are submitted."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PARTS = ("run.py", "conf", "sedsep", "hydra_plugins")
COMMIT = "COMMIT"


def take(project: Path, folder: Path) -> Path:
    """Copy the code to a directory named after its content; the same content again is the same directory.

    Args:
        project: holds run.py. folder: of snapshots, made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".partial.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    for part in PARTS:
        if (project / part).is_dir():
            shutil.copytree(project / part, partial / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif (project / part).is_file():
            partial.mkdir(exist_ok=True)
            shutil.copy2(project / part, partial / part)
    snapshot = folder / _digest(partial)  # of the copy: the original may change meanwhile
    (partial / COMMIT).write_text(commit(project) or "")
    try:
        partial.rename(snapshot)
    except OSError:  # it is there already
        shutil.rmtree(partial)
    return snapshot


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


def _digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:12]
