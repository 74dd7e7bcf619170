"""`logger=mlflow`: one run a job, one above them a sweep, in an embedded SQLite store or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sedsep.errors import UserError, printable
from sedsep.runs.tracking.base import Logging, Params, Tags, Tracker
from sedsep.runs.tracking.journal import ADDRESS_LENGTH, FOLDER, NAME_LENGTH, Journal, latest_start
from sedsep.runs.tracking.sending import Courier, Sender

HURRY_S = 10.0  # of a job that was told to stop, and of a sweep whose jobs wait


class Mlflow(Logging):
    """Tracks with MLflow, by way of a journal in the directory of each job: a store that is away keeps nobody waiting.

    Args:
        tracking_uri: absolute `sqlite:///...` or a server's address.
        artifacts: folder for files, with SQLite.
        experiment: its name.
        patience_s: how long a job that has ended keeps trying to reach the store.
        tags: more facts about each job.

    Raises:
        UserError: the store's address or the experiment's name is no text that others could read.
    """

    def __init__(
        self, tracking_uri: str, artifacts: str, experiment: str, patience_s: float,
        tags: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        import sedsep.runs.tracking.store  # noqa: F401 - before there are threads: its imports take seconds

        for option, text, most in (
            ("tracking_uri", tracking_uri, ADDRESS_LENGTH),
            ("experiment", experiment, NAME_LENGTH),
        ):
            if not (0 < len(text) <= most and text.isprintable()):
                raise UserError(f"logger.{option}={printable(text)} is no name: give 1 to {most} printable letters.")
        self.uri, self.artifacts, self._experiment = tracking_uri, artifacts, experiment
        self.patience_s = patience_s
        self._tags = {name: str(value) for name, value in (tags or {}).items()}

    def job(self, run_dir: Path, run_name: str, params: Params, tags: Tags, sweep_dir: Path | None = None) -> Tracker:
        tracker = MlflowTracker(run_dir, self)
        sweep = latest_start(sweep_dir / FOLDER) if sweep_dir else None  # none where it was launched without MLflow
        key = sweep.key if sweep else None
        tracker.begin(run_name, self.uri, self._experiment, params, {**self._tags, **tags}, key)
        tracker.courier = self.courier(run_dir)
        return tracker

    def sweep(self, sweep_dir: Path, name: str, tags: Tags) -> Tracker:
        tracker = MlflowTracker(sweep_dir, self)
        tracker.begin(name, self.uri, self._experiment, {}, tags, tracker.key)
        self.courier(sweep_dir).close(min(HURRY_S, self.patience_s))
        return tracker

    def courier(self, directory: Path) -> Courier:
        """Carries the journal of a directory to this store."""
        return Courier(Sender(directory, self.uri, self.artifacts))


class MlflowTracker(Journal):
    """A journal that a courier carries to the store; where there is none, when it is closed.

    Args:
        directory: of the job or the sweep.
        store: where to.
    """

    courier: Courier | None = None

    def __init__(self, directory: Path, store: Mlflow) -> None:
        super().__init__(directory)
        self._store = store

    def close(self, state: str | None = None) -> None:
        super().close(state)
        courier, patience_s = self.courier or self._store.courier(self.directory), self._store.patience_s
        courier.close(min(HURRY_S, patience_s) if state == "interrupted" else patience_s)
