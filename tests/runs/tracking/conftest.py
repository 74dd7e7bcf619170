"""Stores to track in: SQLite, and a real MLflow server that can be stopped and started again."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from mlflow_server import Server

from sedsep.runs.tracking import Mlflow, sending
from sedsep.runs.tracking.store import Store

forked = multiprocessing.get_context("fork")  # what pytest has imported need not be imported again


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store: making one takes MLflow a second."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    Store(f"sqlite:///{file}", str(file.parent), "other")
    return file


@pytest.fixture(scope="session")
def running(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server; a test that stops it starts it again."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder / "db")
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def sqlite(database: Path, tmp_path: Path) -> str:
    """An embedded store."""
    shutil.copy(database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(params=["sqlite", "running"])
def uri(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    store = request.getfixturevalue(request.param)
    return store if isinstance(store, str) else store.uri


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send often, for the sake of more that may go wrong at once."""
    monkeypatch.setattr(sending, "SECONDS_BETWEEN", 0.1)
    monkeypatch.setattr(sending, "LONGEST_PAUSE", 1.0)
    logging.getLogger("sedsep").setLevel(logging.INFO)


@pytest.fixture
def tracking(tmp_path: Path) -> Callable[..., Mlflow]:
    """`logger=mlflow`, in an experiment of the test's own."""

    def make(uri: str, patience_s: float = 60.0) -> Mlflow:
        return Mlflow(uri, str(tmp_path / "artifacts"), tmp_path.name, patience_s)

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[str], dict[str, Run]]:
    """The runs of the test's experiment in a store, by name."""

    def read(uri: str) -> dict[str, Run]:
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(tmp_path.name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        named = {str(run.info.run_name): run for run in runs}
        assert len(named) == len(runs), "a run is there twice"
        return named

    return read


@pytest.fixture
def history() -> Callable[..., list[tuple[int, float]]]:
    """The points of a metric."""

    def read(uri: str, run: Run, name: str) -> list[tuple[int, float]]:
        points = mlflow.MlflowClient(uri).get_metric_history(run.info.run_id, name)
        return sorted((point.step, point.value) for point in points)

    return read


@pytest.fixture
def beside() -> Iterator[Callable[..., Any]]:
    """Runs a function in a process of its own; returns the process."""
    started = []

    def run(function: Callable[..., None], *arguments: Any) -> Any:
        process = forked.Process(target=function, args=arguments)
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
