"""What a sweep's directory says about it, what became of its jobs, and the table that says so."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest
from minis import refused

from sedsep.runs import job_table
from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING, occupied
from sedsep.runs.slurm import QUEUED, Queue
from sedsep.runs.sweeps import MISSING, Job, Manifest, Outcome, counts, differing, outcome, outcomes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    jobs = [Job(number, (f"seed={number}",), str(number)) for number in range(2)]
    manifest = Manifest(tmp_path, jobs, "python run.py -m seed=0,1", "/here", 1.0, ["hydra/launcher=slurm"])
    manifest.record(1, id="7_1", log="slurm/7_1/log", code="abc")
    manifest.write()
    assert Manifest.read(tmp_path) == manifest
    assert manifest.ids == ["7_1"]


def test_a_directory_without_a_sweep_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with refused(f"{root.name} holds no sweep"):
            Manifest.read(root)


@pytest.mark.parametrize(
    "change",
    [{"directory": "../x"}, {"directory": "/x"}, {"directory": "code/ab"}, {"log": "../x"}, {"id": "1;x"}, {"new": 1}],
)
def test_a_sweep_whose_jobs_would_run_elsewhere_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    Manifest(tmp_path, [Job(0, ("seed=1",))], "python run.py", str(tmp_path), 1.0).write()
    content = json.loads((tmp_path / "sweep.json").read_text())
    content["jobs"][0] |= change
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with refused(rf"sweep\.json is damaged or holds something else \(jobs\.0\.{next(iter(change))}"):
        Manifest.read(tmp_path)


def test_only_what_differs_is_told() -> None:
    jobs = [Job(number, ("model=tagger", f"seed={number}")) for number in range(2)]
    assert differing(jobs) == {0: ("seed=0",), 1: ("seed=1",)}
    assert differing(jobs[:1]) == {0: ("model=tagger", "seed=0")}


def run(where: Path, error: BaseException | None = None, metrics: dict[str, float | None] | None = None) -> None:
    """Leave behind what a job leaves."""
    try:
        with occupied(where, "train", lambda cause: f"because {cause}"):
            if metrics is not None:
                (where / "metrics.json").write_text(json.dumps(metrics))
            if error:
                raise error
    except BaseException as raised:
        if raised is not error:
            raise


def state(run_dir: Path, queue: Queue | None = None, **about: str) -> str:
    return outcome(Job(0, (), "0", **about), run_dir, queue).state


def test_a_job_is_what_its_directory_says(tmp_path: Path) -> None:
    assert state(tmp_path / "absent") == MISSING
    run(tmp_path / "a", metrics={"test/ca_sdri/tagger": None, "test/ca_sdri/oracle": 3.5})
    done = outcome(Job(0, (), "a"), tmp_path / "a", None)
    assert (done.state, done.metric, done.score, done.cause) == (FINISHED, "test/ca_sdri/oracle", 3.5, None)
    run(
        tmp_path / "a", metrics={"test/capi_sdri/oracle": 2.0, "test/ca_sdri/tagger": 1.0, "test/capi_sdri/tagger": 1.5}
    )
    assert outcome(Job(0, ()), tmp_path / "a", None).metric == "test/capi_sdri/tagger"  # that of its own edition
    assert done.seconds is not None and done.seconds < 5
    run(tmp_path / "b", ValueError("x"))
    failed = outcome(Job(0, (), "b", note="Ended with exit code 1"), tmp_path / "b", None)
    assert (failed.state, failed.cause) == (FAILED, "because x")
    run(tmp_path / "c", KeyboardInterrupt())
    stopped = outcome(Job(0, (), "c", note="Killed by SIGKILL"), tmp_path / "c", None)
    assert (stopped.state, stopped.cause) == (INTERRUPTED, "Killed by SIGKILL")


def test_what_slurm_says_of_an_unfinished_job_counts(tmp_path: Path) -> None:
    run(tmp_path, ValueError("of an earlier attempt"))
    assert state(tmp_path, {"7_0": "PENDING"}, id="7_0") == QUEUED
    assert state(tmp_path, {"7_0": "RUNNING"}, id="7_0") == RUNNING
    assert state(tmp_path, {"7_0": "COMPLETING"}, id="7_0") == RUNNING
    assert state(tmp_path, {"7_0": "FAILED"}, id="7_0") == FAILED
    assert state(tmp_path, {}, id="7_0") == FAILED, "SLURM forgets"
    assert state(tmp_path / "absent", {"7_0": "PENDING"}, id="7_0") == QUEUED
    assert state(tmp_path / "absent", {"7_0": "NODE_FAIL"}, id="7_0") == MISSING


def test_a_finished_job_is_finished_whatever_slurm_says(tmp_path: Path) -> None:
    run(tmp_path)
    assert state(tmp_path, {"7_0": "PENDING"}, id="7_0") == FINISHED


def test_a_lock_that_another_node_cannot_see_through_does_not_keep_a_dead_job_running(tmp_path: Path) -> None:
    with occupied(tmp_path, "train", str):
        assert state(tmp_path, {"7_0": "NODE_FAIL"}, id="7_0") == INTERRUPTED
        assert state(tmp_path, {}, id="7_0") == INTERRUPTED
        assert state(tmp_path, None, id="7_0") == RUNNING, "no answer is no news"
        assert state(tmp_path, {}) == RUNNING


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    jobs = [Job(n, ("model=x", f"seed={n}"), str(n), log=f"{n}/job.log") for n in range(4)]
    run(tmp_path / "0", metrics={"test/ca_sdri/tagger": 3.456, "test/ca_sdri/oracle": 9.0})
    run(tmp_path / "1", metrics={"test/label_accuracy/tagger": 50.0, "test/label_accuracy/oracle": 100.0})
    run(tmp_path / "2", ValueError("a|b"))
    return Manifest(tmp_path, jobs, "python run.py", str(tmp_path), time.time())


def test_the_table_lists_failures_first_with_their_cause(
    manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcomes(manifest, None)
    assert counts(found) == "2 finished, 1 not started, 1 failed"
    job_table.write(manifest, found)
    job_table.show(manifest, found)
    lines = (manifest.root / "jobs.md").read_text().splitlines()[2:]
    assert lines[0] == "| job | overrides | state | cause | CA-SDRi, dB (tagger labels) | time | log |"
    assert lines[2] == "| 2 | seed=2 | failed | because a\\|b |  | 0:00:00 | 2/job.log |"
    assert lines[3].startswith("| 3 | seed=3 | not started |")
    assert lines[4] == "| 0 | seed=0 | finished |  | 3.46 | 0:00:00 | 0/job.log |"
    assert "50.0 (Label accuracy, % (tagger labels))" in lines[5]
    with (manifest.root / "jobs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["2", "3", "0", "1"]
    assert rows[0]["cause"] == "because a|b"
    assert rows[2]["overrides"] == "model=x seed=0"
    assert (rows[2]["metric"], rows[2]["score"]) == ("test/ca_sdri/tagger", "3.456")
    assert rows[2]["log"] == str(manifest.root / "0/job.log")
    printed = capsys.readouterr().out
    assert printed.index("because a|b") < printed.index("3.46")


def test_a_table_without_trouble_has_no_causes(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, [Job(0, ("seed=1",), "0")], "python run.py", "/", 0.0)
    job_table.write(manifest, [Outcome(manifest.jobs[0], FINISHED, seconds=3725.0)])
    assert "| 0 | seed=1 | finished |  | 1:02:05 |  |" in (tmp_path / "jobs.md").read_text()
