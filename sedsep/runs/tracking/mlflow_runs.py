"""`logger=mlflow`: one run a job, one above them a sweep, in an embedded SQLite store or on a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sedsep.runs.tracking.base import Logging, Params, Tags, Tracker
from sedsep.runs.tracking.journal import FOLDER, Journal, latest_start
from sedsep.runs.tracking.sending import Courier

HURRY_S = 10.0  # of a job that was told to stop, and of a sweep whose jobs wait


class Mlflow(Logging):
    """Tracks with MLflow, by way of a journal in the directory of each job: a store that is away keeps nobody waiting.

    Args:
        tracking_uri: absolute `sqlite:///...` or a server's address.
        artifacts: folder for files, with SQLite.
        experiment: its name.
        patience_s: how long a job that has ended keeps trying to reach the store.
        tags: more facts about each job.
    """

    def __init__(
        self, tracking_uri: str, artifacts: str, experiment: str, patience_s: float,
        tags: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        import sedsep.runs.tracking.store  # noqa: F401 - before there are threads: its imports take seconds

        self._to = {"uri": tracking_uri, "artifacts": artifacts, "experiment": experiment}
        self._patience_s = patience_s
        self._tags = {name: str(value) for name, value in (tags or {}).items()}

    def job(self, run_dir: Path, run_name: str, params: Params, tags: Tags, sweep_dir: Path | None = None) -> Tracker:
        tracker = MlflowTracker(run_dir, self._patience_s)
        family: dict[str, str | None] = {"sweep": None, "sweep_dir": None}
        if sweep_dir and (sweep := latest_start(sweep_dir / FOLDER)):  # else it was launched without MLflow
            family = {"sweep": sweep["key"], "sweep_dir": os.path.relpath(sweep_dir, run_dir)}
        tracker.begin({"name": run_name, **self._to, **family}, params, {**self._tags, **tags})
        tracker.courier = Courier(run_dir)
        return tracker

    def sweep(self, sweep_dir: Path, name: str, tags: Tags) -> Tracker:
        tracker = MlflowTracker(sweep_dir, self._patience_s)
        tracker.begin({"name": name, **self._to, "sweep": tracker.key, "sweep_dir": "."}, {}, tags)
        Courier(sweep_dir).close(min(HURRY_S, self._patience_s))
        return tracker


class MlflowTracker(Journal):
    """A journal that a courier carries to the store; where there is none, when it is closed.

    Args:
        directory: of the job or the sweep.
        patience_s: how long to keep trying in the end.
    """

    courier: Courier | None = None

    def __init__(self, directory: Path, patience_s: float) -> None:
        super().__init__(directory)
        self._patience_s = patience_s

    def close(self, state: str | None = None) -> None:
        super().close(state)
        courier = self.courier or Courier(self.directory)
        courier.close(min(HURRY_S, self._patience_s) if state == "interrupted" else self._patience_s)
