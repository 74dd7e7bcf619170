"""What Lightning's trainer hands its numbers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class StepLogger(Logger):
    """Passes a training's numbers on, from the first of its processes.

    Args:
        write: takes numbers by name, and their step. prefix: of the names, followed by a slash; may be empty.
        directory: where the training keeps things.
    """

    def __init__(self, write: Callable[[Mapping[str, float], int], None], prefix: str, directory: Path) -> None:
        super().__init__()
        self._write, self._directory = write, directory
        self._prefix = f"{prefix}/" if prefix else ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._write({f"{self._prefix}{name}": float(value) for name, value in metrics.items()}, step or 0)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The job's parameters are those of its config."""

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self._directory)
