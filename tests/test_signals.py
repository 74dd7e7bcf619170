"""Signals in processes of their own, which print what becomes of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from sedsep.signals import STOP

BEGIN = """
import os, signal, time
from multiprocessing import Process
from sedsep.signals import STOP, Postponed, Stopped, leave_to_parent, stoppable, whole_stop
def tell(number=signal.SIGTERM, seconds=0.0):
    time.sleep(seconds)
    os.kill(os.getpid(), number)
"""


def run(script: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("number", STOP)
def test_what_is_under_way_tidies_up_and_a_shell_sees_the_signal(number: int) -> None:
    script = f"""
with stoppable():
    try:
        tell({int(number)})
    except Exception:
        print("taken for an error")
    finally:
        print("tidied")
"""
    assert run(script) == (128 + number, "tidied\n")


def test_told_once_more_it_ends_at_once_and_its_children_with_it() -> None:
    script = """
with stoppable():
    child = Process(target=time.sleep, args=(60,))
    child.start()
    try:
        tell()
    finally:
        tell()  # the same one, sent to a process and to its group
        print("tidies", flush=True)
        tell(signal.SIGINT, 1.1)
        print("goes on")
"""
    assert run(script) == (-signal.SIGINT, "tidies\n")  # in time: the child had the pipe open


def test_nohup_keeps_the_terminal_s_end_away() -> None:
    script = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with stoppable():
    tell(signal.SIGHUP)
    print("goes on")
"""
    assert run(script) == (0, "goes on\n")


def test_what_an_object_s_end_swallows_is_told_once_more() -> None:
    script = """
class Importer:
    def __del__(self):
        tell()
        time.sleep(0.1)
with stoppable():
    importer = Importer()
    del importer
    time.sleep(5)
"""
    assert run(script) == (128 + signal.SIGTERM, "")


def test_an_error_on_the_way_out_hides_nothing() -> None:
    script = """
with stoppable(), whole_stop():
    try:
        tell()
    finally:
        raise RuntimeError("torch.save: unexpected pos")
"""
    assert run(script) == (128 + signal.SIGTERM, "")


def test_a_step_is_ended_first() -> None:
    script = """
with stoppable():
    signals = Postponed()
    signals.begin()
    tell()
    print("the step ends", signals.told_to_stop, flush=True)
    signals.answer()
    print("goes on")
"""
    code, told = run(script)
    assert code == 128 + signal.SIGTERM
    assert "the step ends True" in told
    assert "goes on" not in told


def test_submitit_is_asked_first_and_need_not_stop_where_sigterm_passes_it() -> None:
    script = """
signal.signal(signal.SIGUSR2, lambda *_: print("queued again", flush=True))
signal.signal(signal.SIGTERM, lambda *_: print("passes", flush=True))
signals = Postponed()
signals.begin()
tell(signal.SIGUSR2)
print(signals.told_to_stop, flush=True)
signals.answer()
tell()
tell(signal.SIGUSR2)
signals.answer()
"""
    code, told = run(script)
    assert code == 128 + signal.SIGTERM
    assert [line for line in told.splitlines() if "Told" not in line] == ["False", "queued again", "queued again"]


def test_a_worker_leaves_all_but_its_parent_to_its_parent() -> None:
    script = """
def work():
    leave_to_parent()
    for number in (*STOP, signal.SIGUSR2):
        tell(number)
    print("works", flush=True)
    time.sleep(60)
worker = Process(target=work)
worker.start()
time.sleep(1)
worker.terminate()
worker.join()
print(worker.exitcode)
"""
    begin = time.monotonic()
    assert run(script) == (0, "works\n0\n")
    assert time.monotonic() - begin < 10
