"""Jobs in MLflow: nothing lost and nothing double, whatever happens to the job or to the store."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from minis import refused
from mlflow.entities import Run
from mlflow_server import Server, until
from omegaconf import OmegaConf

from sedsep.runs.directories import occupied
from sedsep.runs.tracking import Mlflow
from sedsep.runs.tracking.journal import EVENTS, FOLDER
from sedsep.runs.tracking.sending import SENT, Sender
from sedsep.tasks import sync

Make = Callable[..., Mlflow]
Stored = Callable[[str], dict[str, Run]]
History = Callable[..., list[tuple[int, float]]]
Beside = Callable[..., Any]

STEPS = 150
WHOLE = [(step, step / 2) for step in range(STEPS)]


def work(logging: Mlflow, run_dir: Path, sweep_dir: Path | None = None, first: int = 0, pace: float = 0.0) -> None:
    """A job that logs a loss at each step from `first` on, then a score and a file."""
    run_dir.mkdir(parents=True, exist_ok=True)
    made = {"run_dir": run_dir, "sweep_dir": sweep_dir, "run_name": run_dir.name}
    with (
        occupied(run_dir, "train", str),
        logging.job(**made, params={"seed": 1}, tags={"host": "here"}) as tracker,
    ):
        logger = tracker.logger("net")
        assert logger is not None
        for step in range(first, STEPS):
            logger.log_metrics({"loss": step / 2}, step)
            time.sleep(pace)
        (run_dir / "score.txt").write_text("good")
        tracker.artifact(run_dir / "score.txt")
        tracker.metrics({"score": 12.5})


def events(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / FOLDER / EVENTS).read_text().splitlines()]


def sent(run_dir: Path) -> dict[str, Any]:
    file = run_dir / FOLDER / SENT
    return json.loads(file.read_text()) if file.exists() else {"run_id": None}


def test_a_job_in_the_store(uri: str, tracking: Make, stored: Stored, history: History, tmp_path: Path) -> None:
    params = {f"p{index}": index for index in range(250)}
    with tracking(uri).job(run_dir=tmp_path / "job", run_name="job", params=params, tags={"a": "b" * 9000}) as tracker:
        logger = tracker.logger("net")
        assert logger is not None
        logger.log_metrics({"loss@0.1": 1.0, "odd (name)": math.nan}, 1)
        tracker.metrics({"score": 2.0, "undefined": math.nan})
        (tmp_path / "job" / "figure.svg").write_text("<svg/>")
        tracker.artifact(tmp_path / "job" / "figure.svg", "figures")
    run = stored(uri)["job"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in params.items()}
    assert run.data.tags["a"] == "b" * 8000
    assert run.data.metrics.keys() == {"net/loss_at_0.1", "net/odd _name_", "score"}
    assert history(uri, run, "net/loss_at_0.1") == [(1, 1.0)]
    (figure,) = mlflow.MlflowClient(uri).list_artifacts(run.info.run_id, "figures")
    assert figure.path == "figures/figure.svg"


def test_what_is_sent_twice_is_there_once(
    uri: str, tracking: Make, stored: Stored, history: History, tmp_path: Path
) -> None:
    work(tracking(uri), tmp_path / "job")
    record = tmp_path / "job" / FOLDER / SENT
    before = sent(tmp_path / "job")
    for forgotten in ({"offset": 0}, {"offset": 0, "run_id": None}):  # killed before it could note what had arrived
        record.write_text(json.dumps({**before, **forgotten}))
        Sender(tmp_path / "job", uri, "unused").send()
        run = stored(uri)["job"]
        assert run.info.run_id == before["run_id"]
        assert history(uri, run, "net/loss") == WHOLE
        assert history(uri, run, "score") == [(0, 12.5)]


def test_a_directory_that_is_run_again_goes_on_in_its_run(
    uri: str, tracking: Make, stored: Stored, history: History, tmp_path: Path
) -> None:
    def attempt(first: int, last: int, score: float, **params: object) -> Any:
        job = tracking(uri).job(run_dir=tmp_path / "job", run_name="job", params=params, tags={"host": f"node{first}"})
        with job as tracker:
            logger = tracker.logger("net")
            assert logger is not None
            for step in range(first, last):
                logger.log_metrics({"loss": float(step)}, step)
            tracker.metrics({"score": score})
        return stored(uri)["job"]

    once = attempt(0, 6, 1.0, seed=1, workers=2)
    again = attempt(4, 9, 2.0, seed=1, workers=4, new="x")
    assert again.info.run_id == once.info.run_id
    assert again.info.status == "FINISHED"
    assert again.data.params == {"seed": "1", "workers": "2", "new": "x"}
    assert again.data.tags["sedsep.changed.workers"] == "2 -> 4"
    assert "sedsep.changed.seed" not in again.data.tags
    assert again.data.tags["host"] == "node4"
    assert history(uri, again, "net/loss") == [(step, float(step)) for step in range(9)]
    assert again.data.metrics["score"] == 2.0
    third = attempt(9, 9, 2.0, seed=1, workers=8, new="x")
    assert third.data.tags["sedsep.changed.workers"] == "2 -> 4 -> 8"
    assert third.data.params == again.data.params
    assert history(uri, third, "score") == [(0, 1.0), (0, 2.0)]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(), "KILLED")]
)
def test_how_a_job_ended_is_told(
    sqlite: str, tracking: Make, stored: Stored, tmp_path: Path, error: BaseException, status: str
) -> None:
    job = tracking(sqlite).job(run_dir=tmp_path / "job", run_name="job", params={}, tags={})
    with pytest.raises(type(error)), job:
        raise error
    assert stored(sqlite)["job"].info.status == status


def test_eight_jobs_start_and_log_at_once_in_a_fresh_sqlite_store(
    tracking: Make, stored: Stored, history: History, beside: Beside, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mlflow.db.partial").write_text("of a job that was killed while it made the store")
    jobs = [beside(work, tracking(uri), tmp_path / f"job{number}") for number in range(8)]
    for job in jobs:
        job.join()
    runs = stored(uri)
    assert runs.keys() == {f"job{number}" for number in range(8)}
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert history(uri, run, "net/loss") == WHOLE


def test_a_store_that_somebody_deleted_is_filled_again(
    sqlite: str, tracking: Make, stored: Stored, history: History, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    work(tracking(sqlite), tmp_path / "job")
    client = mlflow.MlflowClient(sqlite)
    client.delete_run(stored(sqlite)["job"].info.run_id)
    work(tracking(sqlite), tmp_path / "job")
    assert history(sqlite, stored(sqlite)["job"], "net/loss") == WHOLE
    work(tracking(other), tmp_path / "job")  # as does another store that is chosen
    assert history(other, stored(other)["job"], "net/loss") == WHOLE


def test_a_torn_line_is_left_out(sqlite: str, tracking: Make, stored: Stored, history: History, tmp_path: Path) -> None:
    work(tracking(sqlite), tmp_path / "job")
    with (tmp_path / "job" / FOLDER / EVENTS).open("a") as file:
        file.write('{"t": 1, "metrics": {"net/lo')
    assert Sender(tmp_path / "job", sqlite, "unused").pending() == 0
    with tracking(sqlite).job(run_dir=tmp_path / "job", run_name="job", params={}, tags={}) as tracker:
        tracker.metrics({"more": 1.0})
    assert stored(sqlite)["job"].data.metrics["more"] == 1.0
    assert events(tmp_path / "job")[-1]["end"] == "finished"


def test_nothing_is_lost_while_a_server_is_away(
    running: Server, tracking: Make, stored: Stored, history: History, beside: Beside, tmp_path: Path
) -> None:
    """Eight jobs of a sweep log; the server is killed meanwhile and started again."""
    sweep = tmp_path / "sweep"
    logging = tracking(running.uri)
    tracker = logging.sweep(sweep, "sweep", {"jobs": "8"})
    jobs = [beside(work, logging, sweep / f"job{number}", sweep, 0, 0.03) for number in range(8)]
    for job in range(8):
        until(lambda job=job: sent(sweep / f"job{job}")["run_id"])
    running.kill()
    time.sleep(1)
    running.start()
    for job in jobs:
        job.join()
    (sweep / "table.md").write_text("|")
    tracker.artifact(sweep / "table.md")
    tracker.metrics({"sweep/finished": 8.0})
    tracker.close("finished")

    runs = stored(running.uri)
    parent = runs.pop("sweep")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"sweep/finished": 8.0}
    assert len(runs) == 8
    client = mlflow.MlflowClient(running.uri)
    for run in (*runs.values(), parent):
        assert len(client.list_artifacts(run.info.run_id)) == 1
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert history(running.uri, run, "net/loss") == WHOLE
        assert run.data.metrics["score"] == 12.5


def test_what_a_server_that_was_never_there_missed_is_sent_by_sync(
    running: Server,
    tracking: Make,
    stored: Stored,
    history: History,
    beside: Beside,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A job that ends, one that is killed, and their sweep."""
    sweep = tmp_path / "multirun" / "sweep"
    whole, killed = sweep / "whole", sweep / "killed"
    store = {"_target_": "sedsep.runs.tracking.Mlflow", "artifacts": "unused", "experiment": "sedsep", "patience_s": 30}
    config = OmegaConf.create({"task": {"root": str(tmp_path)}, "logger": {**store, "tracking_uri": running.uri}})
    running.kill()
    logging = tracking(running.uri, patience_s=0.5)
    tracker = logging.sweep(sweep, "sweep", {})
    caplog.clear()
    started = time.monotonic()
    work(logging, whole, sweep)
    assert time.monotonic() - started < 5
    away, kept = (record.getMessage() for record in caplog.records)
    assert "no answer" in away
    assert f"task.root={whole}" in kept
    process = beside(work, logging, killed, sweep, 0, 0.1)
    until(lambda: (killed / FOLDER / EVENTS).exists() and len(events(killed)) > 10)
    with refused("2 of 3 could not be sent"):
        sync.run(config)
    assert "still running" in capsys.readouterr().out
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    tracker.close("failed")
    running.start()

    sync.run(config)
    runs = stored(running.uri)
    assert {name: run.info.status for name, run in runs.items()} == {
        "whole": "FINISHED",
        "killed": "KILLED",
        "sweep": "FAILED",
    }
    for name in ("whole", "killed"):
        assert runs[name].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    assert history(running.uri, runs["whole"], "net/loss") == WHOLE
    reached = len(history(running.uri, runs["killed"], "net/loss"))
    assert 0 < reached < STEPS
    capsys.readouterr()
    sync.run(config)
    assert "Nothing is left" in capsys.readouterr().out

    work(tracking(running.uri), killed, sweep, first=reached // 2)
    again = stored(running.uri)["killed"]
    assert again.info.run_id == runs["killed"].info.run_id
    assert again.info.status == "FINISHED"
    assert history(running.uri, again, "net/loss") == WHOLE
