"""What tracking promises, whatever it writes to. What stands here keeps nothing: it is `logger=none`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

Params = Mapping[str, Any]
Tags = Mapping[str, str]


class Tracker:
    """Where results of a job or a sweep go. No method waits for, or fails because of, a store that is away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close: `finished`, `failed` by an error, `interrupted` by a key or a scheduler."""
        self.close("finished" if error is None else "failed" if isinstance(error, Exception) else "interrupted")

    def close(self, state: str) -> None:
        """End what is tracked as `finished`, `failed` or `interrupted`."""

    def logger(self, prefix: str) -> Logger | None:
        """A Lightning logger whose metrics are named `<prefix>/...`; steps that it had before are passed over."""
        return None

    def metrics(self, values: Mapping[str, float]) -> None:
        """Final numbers; those of an earlier attempt are replaced, undefined ones are left out."""

    def tags(self, values: Tags) -> None:
        """Facts; a later value replaces an earlier one."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a copy of a file of the directory, which must stay where it is until this is closed."""


class Logging:
    """What `logger=` makes: the tracking of this process's job, and of a sweep that it launches; here none."""

    def job(self, run_dir: Path, run_name: str, params: Params, tags: Tags, sweep_dir: Path | None = None) -> Tracker:
        """Track the job of a directory; one that was tracked there before goes on.

        Args:
            run_dir: of the job.
            run_name: shown in lists.
            params: what the job is made with.
            tags: facts about it.
            sweep_dir: of the sweep that it belongs to.
        """
        return Tracker()

    def sweep(self, sweep_dir: Path, name: str, tags: Tags) -> Tracker:
        """Track a sweep, whose jobs gather below it, before they start; one that was tracked there before goes on."""
        return Tracker()


class StepLogger(Logger):
    """Takes the numbers of Lightning's trainer, in the first of its processes.

    Args:
        write: takes numbers by name, and their step.
        prefix: of the names, with its slash.
        directory: where the training keeps things.
    """

    name = version = ""

    def __init__(self, write: Callable[[Mapping[str, float], int], None], prefix: str, directory: Path) -> None:
        super().__init__()
        self._write, self._prefix, self._directory = write, prefix, directory

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._write({f"{self._prefix}{name}": float(value) for name, value in metrics.items()}, step or 0)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The job's parameters are those of its config."""

    @property
    def save_dir(self) -> str:
        return str(self._directory)


class Steps:
    """How far each metric has come: a training that goes on repeats the steps after its last checkpoint."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def new(self, values: Mapping[str, float], step: int) -> dict[str, float]:
        """Those that have not come this far."""
        return {name: value for name, value in values.items() if name not in self._last or self._last[name][0] < step}

    def changed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Those that are defined and differ from their last value."""
        last = {name: value for name, (_, value) in self._last.items()}
        return {name: value for name, value in values.items() if math.isfinite(value) and last.get(name) != value}

    def take(self, values: Mapping[str, float], step: int) -> None:
        """Remember what a file holds."""
        self._last.update({name: (step, value) for name, value in values.items()})


LONGEST_LINE = 2**24
"""Bytes that are read at a time: no line of ours has as many."""


def whole_lines(path: Path, offset: int = 0, *, mend: bool = False) -> Iterator[bytes]:
    """The lines of a file, which may be absent; a last one that a kill has torn is left out. Longer ones come in parts.

    Args:
        path: of the file.
        offset: byte where a line begins, the first to be read.
        mend: also cut off a torn line, for the file's only writer.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(offset)
        while line := file.readline(LONGEST_LINE):
            if line.endswith(b"\n") or len(line) == LONGEST_LINE:
                yield line
            elif mend:
                os.truncate(path, path.stat().st_size - len(line))
