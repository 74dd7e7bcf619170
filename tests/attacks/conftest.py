"""What attacks need more than once: a small data set and a trained run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import assert_accepted, command
from tiny import TINY, write_tiny_set


@pytest.fixture(scope="session")
def _small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_tiny_set(folder / "set")
    run = folder / "run"
    done = command(folder, *TINY, f"data.root={folder / 'set'}", f"hydra.run.dir={run}", longest_s=300)
    assert_accepted(done)
    return folder


@pytest.fixture
def tiny_set(_small: Path, tmp_path: Path) -> Path:
    """A whole data set, to be damaged."""
    return Path(shutil.copytree(_small / "set", tmp_path / "set"))


@pytest.fixture
def tiny_run(_small: Path, tmp_path: Path) -> Path:
    """The directory of a finished training, to be damaged: `checkpoints/separator/last.ckpt` and all else."""
    return Path(shutil.copytree(_small / "run", tmp_path / "run"))
