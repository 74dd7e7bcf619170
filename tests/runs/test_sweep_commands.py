"""Sweeps through the command line: every job gets its turn, a table ends them, and one can go on from there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import write_tiny_set

from sedsep.runs.directories import read_status

ROOT = Path(__file__).parents[2]
RunPy = Callable[..., "subprocess.CompletedProcess[str]"]
JOBS = ("-m", "task=verify", "data=folder", "sample_rate=16000", "logger=none", "hydra.sweep.dir=my sweep")


@pytest.fixture
def run_py(tmp_path: Path) -> RunPy:
    """Runs a copy of the project, which a test may change, in a directory with a data set."""
    for part in ("conf", "sedsep", "hydra_plugins"):
        shutil.copytree(ROOT / part, tmp_path / "code" / part, ignore=shutil.ignore_patterns("__pycache__", "local"))
    shutil.copy2(ROOT / "run.py", tmp_path / "code" / "run.py")
    write_tiny_set(tmp_path / "set")

    def call(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "SEDSEP_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, str(tmp_path / "code" / "run.py"), *arguments]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    return call


def states(sweep: Path) -> dict[str, str]:
    with (sweep / "jobs.csv").open() as file:
        return {row["number"]: row["state"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("launcher", ["basic", pytest.param("local", marks=pytest.mark.slow)])
def test_a_failing_job_stops_no_other_and_resume_runs_it_alone(run_py: RunPy, tmp_path: Path, launcher: str) -> None:
    done = run_py(*JOBS, "data.root=later,set", f"hydra/launcher={launcher}")
    sweep = tmp_path / "my sweep"
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        f"Error: 1 of 2 jobs did not finish: mend what the table names and go on with "
        f"python run.py -m sweep.resume='{sweep}'."
    )
    assert states(sweep) == {"0": "failed", "1": "finished"}
    assert "later" in done.stdout[done.stdout.index("cause") :]
    manifest = json.loads((sweep / "sweep.json").read_text())
    assert "does not exist" in (sweep / manifest["jobs"][0]["log"]).read_text()

    (tmp_path / "later").symlink_to("set")
    (tmp_path / "code" / "sedsep" / "__init__.py").open("a").write("# mended\n")
    before = read_status(sweep / "1")
    (tmp_path / "elsewhere").mkdir()
    again = run_py("sweep.resume=../my sweep", cwd=tmp_path / "elsewhere")  # paths are seen from where it was started
    assert again.returncode == 0, again.stderr
    assert states(sweep) == {"0": "finished", "1": "finished"}
    assert read_status(sweep / "1") == before
    assert "The code has changed" in again.stdout
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    assert jobs[0]["code"] != jobs[1]["code"]
    assert {path.name for path in (sweep / "code").iterdir()} == {job["code"] for job in jobs}


def test_nothing_starts_that_cannot_be_composed(run_py: RunPy, tmp_path: Path) -> None:
    done = run_py(*JOBS, "data.root=set", "seed=1,two")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "Error: seed=two is not right: a whole number from 0 to 4294967295 is expected (the default is 0)."
    )
    assert not (tmp_path / "my sweep").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sweep.resume=nowhere",), "nowhere holds no sweep"),
        (("-m", "sweep.resume=there", "seed=3"), "leave out seed=3"),
        (("-m", "seed=1", "hydra.sweep.dir=there"), "there holds a sweep"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_with_a_sentence(
    run_py: RunPy, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "there").mkdir()
    jobs = [{"number": 0, "overrides": ["seed=1"]}]
    manifest = {"jobs": jobs, "command": "", "cwd": str(tmp_path), "created": 0.0, "hydra": []}
    (tmp_path / "there" / "sweep.json").write_text(json.dumps(manifest))
    done = run_py(*arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in done.stderr.strip().splitlines()[-1]
