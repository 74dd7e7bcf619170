"""`logger=mlflow`: one run a job, one above them a sweep, in an embedded SQLite store or on a server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch.loggers import Logger

from sedsep.runs.tracking.journal import FOLDER, Journal, begun
from sedsep.runs.tracking.lightning_logger import StepLogger
from sedsep.runs.tracking.sending import Courier

HURRY_S = 10.0  # of a job that was told to stop, and of a sweep whose jobs wait


class Mlflow:
    """Tracks with MLflow, by way of a journal in the directory of each job: a store that is away keeps nobody waiting.

    Args:
        tracking_uri: absolute `sqlite:///...` or a server's address. artifacts: folder for files, with SQLite.
        experiment: its name. patience_s: how long a job that has ended keeps trying to reach the store.
    """

    def __init__(self, tracking_uri: str, artifacts: str, experiment: str, patience_s: float) -> None:
        import sedsep.runs.tracking.store  # noqa: F401 - before there are threads: its imports take seconds

        self._to = {"uri": tracking_uri, "artifacts": artifacts, "experiment": experiment}
        self._patience_s = patience_s

    def job(
        self,
        *,
        run_dir: Path,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        sweep_dir: Path | None = None,
    ) -> MlflowTracker:
        journal = Journal(run_dir)
        family: dict[str, str | None] = {"sweep": None, "sweep_dir": None}
        if sweep_dir and (sweep := begun(sweep_dir / FOLDER)):  # else it was launched without MLflow
            family = {"sweep": sweep["key"], "sweep_dir": os.path.relpath(sweep_dir, run_dir)}
        journal.begin({"name": run_name, **self._to, **family}, params, tags)
        return MlflowTracker(journal, Courier(run_dir), self._patience_s)

    def open_sweep(self, sweep_dir: Path, name: str, tags: Mapping[str, str]) -> None:
        journal = Journal(sweep_dir)
        journal.begin({"name": name, **self._to, "sweep": journal.key, "sweep_dir": "."}, {}, tags)
        journal.close()
        Courier(sweep_dir).close(min(HURRY_S, self._patience_s))

    def close_sweep(
        self, sweep_dir: Path, state: str, artifacts: Sequence[Path] = (), metrics: Mapping[str, float] | None = None
    ) -> None:
        journal = Journal(sweep_dir)
        journal.results(metrics or {})
        for path in artifacts:
            journal.file(path, None)
        journal.end(state)
        journal.close()
        Courier(sweep_dir).close(self._patience_s)


class MlflowTracker:
    """A job's tracker that writes a journal, which a courier carries to the store."""

    def __init__(self, journal: Journal, courier: Courier, patience_s: float) -> None:
        self._journal, self._courier, self._patience_s = journal, courier, patience_s

    def __enter__(self) -> MlflowTracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        stopped = error is not None and not isinstance(error, Exception)
        self._journal.end("interrupted" if stopped else "finished" if error is None else "failed")
        self._journal.close()
        self._courier.close(min(HURRY_S, self._patience_s) if stopped else self._patience_s)

    def logger(self, prefix: str) -> Logger | None:
        return StepLogger(self._journal.steps, prefix, self._journal.directory)

    def metrics(self, values: Mapping[str, float]) -> None:
        self._journal.results(values)

    def tags(self, values: Mapping[str, str]) -> None:
        self._journal.tags(values)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self._journal.file(path, folder)
