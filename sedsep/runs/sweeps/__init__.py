"""Sweeps: which jobs they have, which code those run, what became of them."""

from __future__ import annotations

import os
from pathlib import Path

from sedsep.runs.sweeps.manifest import Job, Manifest, differing
from sedsep.runs.sweeps.snapshot import commit

__all__ = ["SWEEP", "Job", "Manifest", "commit", "differing", "sweep_dir"]

SWEEP = "SEDSEP_SWEEP"
"""The environment variable by which a job knows the directory of the sweep that it belongs to."""


def sweep_dir() -> Path | None:
    """The directory of the sweep that this process's job belongs to; `None` for a job of its own."""
    value = os.environ.get(SWEEP)
    return Path(value) if value else None
