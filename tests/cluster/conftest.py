"""A SLURM of its own for the tests, where the machine has what it takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from slurm_cluster import cluster, missing


@pytest.fixture(scope="session")
def slurm() -> Iterator[Mapping[str, str]]:
    """The environment variables that lead SLURM's commands to the cluster."""
    if why := missing():
        pytest.skip(f"no SLURM here: {why}")
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))  # the path of a socket must be short
    folder.chmod(0o755)
    try:
        with cluster(folder / "c") as variables:
            yield variables
    finally:
        shutil.rmtree(folder, ignore_errors=True)
