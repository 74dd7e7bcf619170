from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from minis import refused

from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING, is_main_process, occupied, read_status


def state(run_dir: Path) -> tuple[str, str | None]:
    status = read_status(run_dir)
    assert status is not None
    return status.state, status.cause


def work(run_dir: Path, error: BaseException | None = None) -> None:
    with occupied(run_dir, "train", lambda cause: f"because {cause}"):
        assert state(run_dir) == (RUNNING, None)
        if error:
            raise error


def test_a_directory_says_what_became_of_its_job(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    work(tmp_path)
    assert state(tmp_path) == (FINISHED, None)
    with pytest.raises(ValueError, match="why"):
        work(tmp_path, ValueError("why"))
    assert state(tmp_path) == (FAILED, "because why")
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path, KeyboardInterrupt())
    assert state(tmp_path) == (INTERRUPTED, None)
    work(tmp_path)  # run again
    assert state(tmp_path) == (FINISHED, None)


def test_one_process_works_in_a_directory_and_a_killed_one_leaves_it_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from sedsep.runs.directories import occupied\n"
        "with occupied(Path(sys.argv[1]), 'train', str):\n    print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert state(tmp_path) == (RUNNING, None)
        with refused("Another process is working in .*give this one a directory of its own"):
            work(tmp_path)
        os.kill(other.pid, signal.SIGKILL)
    assert state(tmp_path) == (INTERRUPTED, None)
    work(tmp_path)


@pytest.mark.parametrize("variable", ["RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_the_first_of_several_processes_leads(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert is_main_process()
    monkeypatch.setenv(variable, "0")
    assert is_main_process()
    monkeypatch.setenv(variable, "1")
    assert not is_main_process()
