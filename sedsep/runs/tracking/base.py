"""What tracking promises, whatever it writes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from lightning.pytorch.loggers import Logger


class Tracker(Protocol):
    """Where one job's results go. None of its methods waits for, or fails because of, a store that is away."""

    def __enter__(self) -> Tracker: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the job: `finished`, `failed` by an error, `interrupted` by a key or a scheduler."""

    def logger(self, prefix: str) -> Logger | None:
        """A Lightning logger whose metrics are named `<prefix>/...`; steps that it was told before are passed over."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Final numbers; those of an earlier attempt are replaced, undefined ones are left out."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts about the job; a later value replaces an earlier one."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a copy of a file, which must stay where it is until the job has ended."""


class Logging(Protocol):
    """What `logger=` makes: the tracking of this process's job, and of a sweep that it launches."""

    def job(
        self,
        *,
        run_dir: Path,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        sweep_dir: Path | None = None,
    ) -> Tracker:
        """Track the job of a directory; one that was tracked there before goes on.

        Args:
            run_dir: of the job. run_name: shown in lists. params: what it is made with. tags: facts about it.
            sweep_dir: of the sweep it belongs to.
        """

    def open_sweep(self, sweep_dir: Path, name: str, tags: Mapping[str, str]) -> None:
        """Start the entry that the jobs of a sweep gather below, before they start; one started before goes on."""

    def close_sweep(
        self, sweep_dir: Path, state: str, artifacts: Sequence[Path] = (), metrics: Mapping[str, float] | None = None
    ) -> None:
        """End a sweep's entry.

        Args:
            sweep_dir: given to `open_sweep`. state: `finished`, `failed` or `interrupted`.
            artifacts: files to keep a copy of. metrics: numbers about the sweep.
        """


class NoTracking:
    """`logger=none`: tracks nothing."""

    def job(self, **ignored: Any) -> NoTracker:
        return NoTracker()

    def open_sweep(self, sweep_dir: Path, name: str, tags: Mapping[str, str]) -> None:
        pass

    def close_sweep(
        self, sweep_dir: Path, state: str, artifacts: Sequence[Path] = (), metrics: Mapping[str, float] | None = None
    ) -> None:
        pass


class NoTracker:
    """A job's tracker that keeps nothing."""

    def __enter__(self) -> NoTracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def logger(self, prefix: str) -> Logger | None:
        return None

    def metrics(self, values: Mapping[str, float]) -> None:
        pass

    def tags(self, values: Mapping[str, str]) -> None:
        pass

    def artifact(self, path: Path, folder: str | None = None) -> None:
        pass
