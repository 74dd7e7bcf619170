"""MLflow: one run a job, in an embedded SQLite store or on a server."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from filelock import FileLock
from lightning.pytorch.loggers import Logger, MLFlowLogger
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

PARAMS_A_CALL = 100  # MLflow's limit
PARAM_LENGTH = 6000
SQLITE = "sqlite:///"


class Tracker(Protocol):
    """Where a job's results go."""

    def __enter__(self) -> Tracker: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the job; an error marks it as failed."""

    def logger(self, prefix: str) -> Logger | None:
        """A Lightning logger whose metrics are named `<prefix>/...`."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Final numbers."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts about the job."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a copy of a file."""


class Tracking:
    """Tracks a job as an MLflow run.

    Args:
        tracking_uri: absolute `sqlite:///...` or a server's address. artifacts: folder for files, with SQLite.
        experiment: its name. run_name, params, tags: of the run.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifacts: str,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        self.uri, self.experiment = tracking_uri, experiment
        with _store_lock(tracking_uri):
            _quiet_migrations()
            self.client = mlflow.MlflowClient(tracking_uri)
            experiment_id = self._experiment_id(Path(artifacts) if tracking_uri.startswith(SQLITE) else None)
        run = self.client.create_run(experiment_id, run_name=run_name, tags=dict(tags))
        self.run_id = run.info.run_id
        self._params(params)

    def _experiment_id(self, artifacts: Path | None) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return found.experiment_id
        location = artifacts.absolute().as_uri() if artifacts else None
        try:
            return self.client.create_experiment(self.experiment, artifact_location=location)
        except MlflowException:  # another job was first
            again = self.client.get_experiment_by_name(self.experiment)
            if again is None:
                raise
            return again.experiment_id

    def _params(self, params: Mapping[str, Any]) -> None:
        entries = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in params.items()]
        for start in range(0, len(entries), PARAMS_A_CALL):
            self.client.log_batch(self.run_id, params=entries[start : start + PARAMS_A_CALL])

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        status = RunStatus.FINISHED if error is None else RunStatus.FAILED
        if isinstance(error, KeyboardInterrupt):
            status = RunStatus.KILLED
        self.client.set_terminated(self.run_id, RunStatus.to_string(status))

    def logger(self, prefix: str) -> Logger | None:
        return _SlashLogger(self.experiment, tracking_uri=self.uri, run_id=self.run_id, prefix=prefix)

    def metrics(self, values: Mapping[str, float]) -> None:
        now = get_current_time_millis()
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.client.log_batch(
            self.run_id, metrics=[Metric(n.replace("@", "_at_"), v, now, 0) for n, v in finite.items()]
        )

    def tags(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self.client.set_tag(self.run_id, name, value)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.run_id, str(path), folder)


class NoTracking:
    """Tracks nothing."""

    def __init__(self, **ignored: Any) -> None:
        pass

    def __enter__(self) -> NoTracking:
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


class _SlashLogger(MLFlowLogger):
    """Groups metrics by stage in MLflow's page, which groups by slashes."""

    LOGGER_JOIN_CHAR = "/"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({name.replace("@", "_at_"): value for name, value in metrics.items()}, step)

    def finalize(self, status: str = "success") -> None:
        """The job, not one of its trainings, ends the run."""


def _store_lock(uri: str) -> contextlib.AbstractContextManager[Any]:
    """Processes that open a fresh SQLite store at once break it: one after the other."""
    if not uri.startswith(SQLITE):
        return contextlib.nullcontext()
    path = Path(uri.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock")


def _quiet_migrations() -> None:
    """A new store reports every table it creates; nobody wants to know."""
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
