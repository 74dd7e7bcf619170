"""Numbers in CSV files: each step once, however often a job is killed and run again."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from sedsep.runs.tracking import Csv, HistoryLogger, read_history


def rows(path: Path) -> list[tuple[str, str, str]]:
    with path.open(newline="") as file:
        return [(row["step"], row["name"], row["value"]) for row in csv.DictReader(file)]


def test_a_training_that_goes_on_adds_to_its_history(tmp_path: Path) -> None:
    first = HistoryLogger(tmp_path / "net")
    for step in range(4):
        first.log_metrics({"loss": 0.1 * step, "epoch": 0}, step)
    first.log_metrics({"valid/loss": math.nan, "epoch": 0}, 3)
    again = HistoryLogger(tmp_path / "net")
    for step in range(2, 6):
        again.log_metrics({"loss": 0.1 * step}, step)
    history = read_history(tmp_path / "net" / HistoryLogger.NAME)
    assert [(int(row["step"]), float(row["loss"])) for row in history if "loss" in row] == [
        (step, 0.1 * step) for step in range(6)
    ]
    assert [row for row in history if "valid/loss" in row] == [{"step": "3", "valid/loss": "nan"}]
    assert len([row for row in history if "epoch" in row]) == 4


def test_a_torn_row_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / HistoryLogger.NAME
    for torn in ("", "time,st", "time,step,name,value\n", "time,step,name,value\n1.0,0,loss,0.2"):
        file.write_text(torn)
        logger = HistoryLogger(tmp_path)
        logger.log_metrics({"loss": 0.25}, 0)
        assert rows(file) == [("0", "loss", "0.25")]


def test_a_process_that_has_nothing_to_write_leaves_the_file_alone(tmp_path: Path) -> None:
    """Of several processes, one a device, the first alone writes."""
    (tmp_path / HistoryLogger.NAME).write_text("being writ")
    HistoryLogger(tmp_path)
    assert (tmp_path / HistoryLogger.NAME).read_text() == "being writ"


def test_a_job_with_logger_csv(tmp_path: Path) -> None:
    for score in (1.0, 1.0, 2.0):
        with Csv().job(run_dir=tmp_path, run_name="job", params={}, tags={"host": "here"}) as tracker:
            logger = tracker.logger("net")
            assert logger is not None
            logger.log_metrics({"loss@0.1": 0.5}, 3)
            tracker.metrics({"score": score, "undefined": math.nan})
            tracker.tags({"checkpoint": "best.ckpt"})
    assert rows(tmp_path / "tracking.csv") == [
        ("3", "net/loss@0.1", "0.5"),
        ("0", "score", "1.0"),
        ("0", "score", "2.0"),
    ]
    known = json.loads((tmp_path / "tracking.json").read_text())
    assert known == {"name": "job", "host": "here", "checkpoint": "best.ckpt"}


def test_a_sweep_with_logger_csv(tmp_path: Path) -> None:
    tracker = Csv().sweep(tmp_path, "sweep", {})
    tracker.metrics({"sweep/finished": 2.0})
    tracker.close("finished")
    assert rows(tmp_path / "tracking.csv") == [("0", "sweep/finished", "2.0")]
