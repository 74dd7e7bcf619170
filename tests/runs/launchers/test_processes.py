"""Processes side by side."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from sedsep.runs.launchers import local
from sedsep.runs.launchers.local import Command, run_all


def commands(folder: Path, *scripts: str) -> dict[int, Command]:
    return {n: ((sys.executable, "-c", script), folder / f"{n}.log") for n, script in enumerate(scripts)}


def test_all_run_whatever_becomes_of_one(tmp_path: Path) -> None:
    ends: dict[int, int] = {}
    scripts = [
        "print('fine')",
        "import os; os.kill(os.getpid(), 9)",
        "raise SystemExit(3)",
        "import os; print(os.environ['SLOT'])",
    ]
    run_all(commands(tmp_path, *scripts), [{"SLOT": "first"}, {"SLOT": "second"}], ends.__setitem__, poll_s=0.01)
    assert ends == {0: 0, 1: -signal.SIGKILL, 2: 3, 3: 0}
    assert (tmp_path / "0.log").read_text() == "fine\n"
    assert (tmp_path / "3.log").read_text() in ("first\n", "second\n")


def test_no_more_at_a_time_than_slots_and_logs_go_on(tmp_path: Path) -> None:
    script = "import time; print(time.time(), flush=True); time.sleep(0.3); print(time.time())"
    for _ in range(2):
        run_all(commands(tmp_path, *[script] * 3), [{}], lambda *_: None, poll_s=0.01)
    spans = [[float(word) for word in (tmp_path / f"{n}.log").read_text().split()] for n in range(3)]
    assert [len(span) for span in spans] == [4, 4, 4]
    assert spans[0][1] < spans[1][0] and spans[1][1] < spans[2][0]


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_key_stops_the_processes_gently_then_firmly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setattr(local, "PATIENCE_S", 0.5)
    ignore = "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)" if stubborn else ""
    script = f"""
import signal, time
{ignore}
print("up", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("tidied")
"""

    def press() -> None:
        log = tmp_path / "0.log"
        while not (log.is_file() and "up" in log.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    listener = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has us ignore it
    try:
        threading.Thread(target=press).start()
        with pytest.raises(KeyboardInterrupt):
            run_all(commands(tmp_path, script), [{}], lambda *_: None, poll_s=0.01)
    finally:
        signal.signal(signal.SIGINT, listener)
    assert (tmp_path / "0.log").read_text() == ("up\n" if stubborn else "up\ntidied\n")
