"""Composing configs as `run.py` does, and running `run.py` itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import sedsep.tasks  # noqa: F401 - registers the resolvers
from sedsep.composition.common import complete

ROOT = Path(__file__).parents[2]


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Callable[..., DictConfig]]:
    """`compose` with directories that exist outside a Hydra job."""

    def make(*overrides: str) -> DictConfig:
        paths = [f"paths.work={tmp_path}", f"paths.run={tmp_path}", f"paths.cache={tmp_path}"]
        config = compose("config", overrides=[*paths, *overrides])
        complete(config)
        return config

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield make


RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run_py_in() -> Callable[[Path], RunPy]:
    """Makes what runs `python run.py` with arguments in a directory, with a cache there."""

    def at(folder: Path) -> RunPy:
        def call(*arguments: str) -> subprocess.CompletedProcess[str]:
            env = {**os.environ, "SEDSEP_CACHE": str(folder / "cache")}
            command = [sys.executable, str(ROOT / "run.py"), *arguments]
            return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)

        return call

    return at


@pytest.fixture
def run_py(run_py_in: Callable[[Path], RunPy], tmp_path: Path) -> RunPy:
    """Runs `python run.py` with arguments in a directory of its own."""
    return run_py_in(tmp_path)
