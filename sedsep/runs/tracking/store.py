"""MLflow, asked in such a way that asking twice does no harm."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from sedsep.runs.tracking.journal import PARAM_LENGTH

SQLITE = "sqlite:///"
KEY, SWEEP, PARENT = "sedsep.key", "sedsep.sweep", "mlflow.parentRunId"  # tags
OWN = (KEY, SWEEP, PARENT)
"""Tags that say which run is which: those of a journal do not."""

Point = tuple[str, float, int, int]  # name, value, time in Unix milliseconds, step
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
TAG_LENGTH = 8000
MOST_RUNS = 50_000  # that a store hands out at a time
LOCK_SECONDS = 60


class Store:
    """An experiment in an MLflow store, made where it is missing.

    Args:
        uri: absolute `sqlite:///...` or a server's address.
        artifacts: folder for files, with SQLite.
        experiment: its name.

    Raises:
        Exception: of many kinds, here and from every method: the store is away, busy or refuses. Try again later.
    """

    def __init__(self, uri: str, artifacts: str, experiment: str) -> None:
        hush()
        with _alone(uri):
            self._client = mlflow.MlflowClient(uri)
            location = Path(artifacts).absolute().as_uri() if uri.startswith(SQLITE) else None
            self._experiment = self._experiment_id(experiment, location)

    def _experiment_id(self, name: str, location: str | None) -> str:
        if there := self._client.get_experiment_by_name(name):
            return there.experiment_id
        kind = {"mlflow.experimentKind": "custom_model_development"}  # else its page opens on language models
        try:
            return self._client.create_experiment(name, artifact_location=location, tags=kind)
        except MlflowException:  # another job was first
            if there := self._client.get_experiment_by_name(name):
                return there.experiment_id
            raise

    def has(self, run_id: str, key: str) -> bool:
        """Whether the run with a key of ours has this id, and is not deleted."""
        try:
            run = self._client.get_run(run_id)
            return run.info.lifecycle_stage == "active" and run.data.tags.get(KEY) == key
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return False
            raise

    def run(self, key: str, name: str, began: int, sweep: str | None) -> str:
        """The id of the run with a key of ours, which is made where it is missing.

        Args:
            key: of the run.
            name: shown in lists.
            began: Unix milliseconds.
            sweep: key of the sweep that it belongs to, or is; one that was not sent itself yet will adopt its jobs.
        """
        for run in self._search(KEY, key):
            return run.info.run_id
        parents = self._search(KEY, sweep) if sweep and sweep != key else []
        parent = parents[0].info.run_id if parents else None
        tags = {tag: value for tag, value in ((KEY, key), (SWEEP, sweep), (PARENT, parent)) if value}
        return self._client.create_run(self._experiment, began, tags, name).info.run_id

    def go_on(self, run_id: str) -> None:
        """Mark a run as running."""
        self._client.update_run(run_id, "RUNNING")

    def log(self, run_id: str, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Add points and more to a run; what it has already is not doubled."""
        self._client.log_batch(
            run_id,
            [Metric(stored_name(name), value, time, step) for name, value, time, step in points],
            [Param(stored_name(name), value[:PARAM_LENGTH]) for name, value in params.items()],
            [RunTag(stored_name(name), value[:TAG_LENGTH]) for name, value in tags.items() if name not in OWN],
        )

    def artifact(self, run_id: str, path: Path, folder: str | None) -> None:
        """Copy a file."""
        self._client.log_artifact(run_id, str(path), folder)

    def end(self, run_id: str, state: str, time: int) -> None:
        """Mark a run as `finished`, `failed` or `interrupted`."""
        self._client.set_terminated(run_id, STATUS[state], time)

    def adopt(self, parent_id: str, sweep: str) -> None:
        """Put the runs of a sweep that were made while its parent could not be below it."""
        for run in self._search(SWEEP, sweep):
            if run.info.run_id != parent_id and PARENT not in run.data.tags:
                self._client.set_tag(run.info.run_id, PARENT, parent_id)

    def _search(self, tag: str, value: str) -> Sequence[Run]:
        return self._client.search_runs([self._experiment], f"tags.`{tag}` = '{value}'", max_results=MOST_RUNS)


def hush() -> None:
    """Silence what several libraries say of a retry, and of every table of a new store: we say it in one line."""
    for name in ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)


def stored_name(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))[:250]


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Processes that open a fresh SQLite store at once break it: one after the other, and one makes it."""
    if not uri.startswith(SQLITE):
        yield
        return
    path = Path(uri.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
        if not path.exists():
            partial = path.with_name(f"{path.name}.partial")  # MLflow cannot go on with a half-made one
            partial.unlink(missing_ok=True)
            mlflow.MlflowClient(f"{SQLITE}{partial}").search_experiments(max_results=1)
            partial.replace(path)
        yield
