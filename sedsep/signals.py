"""Told to stop: by a key (SIGINT), a scheduler (SIGTERM) or the terminal's end (SIGHUP).

The first signal raises `Stopped` where the main thread is, so that all that is under way tidies up after itself; a
training answers it after the step instead. The second one ends the process and its children at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from sedsep.errors import causes

STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REQUEUE = signal.SIGUSR2
"""With which SLURM has submitit queue a job again."""

TOGETHER_S = 1.0
"""Signals so close are one: `timeout`, torchrun and SLURM tell a process by itself, and with all of its group."""

children: set[int] = set()
"""Processes that were started, and are told when this one is told twice."""

_told: list[float] = []  # when


class Stopped(SystemExit):
    """Told to stop; where nobody catches it the process ends with 128 and the signal's number, as shells have it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Take the signals, in the main thread. SIGINT even where a shell's `&` has us ignore it: whoever sends it to a job
    in the background means it. SIGHUP not where `nohup` does.

    Raises:
        Stopped: told to stop.
    """
    taken = [number for number in STOP if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)]
    for number in taken:
        signal.signal(number, _stop)
    ignored, sys.unraisablehook = sys.unraisablehook, _repeated
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, _end)
        sys.unraisablehook = ignored


@contextmanager
def whole_stop() -> Iterator[None]:
    """An error on the way out, as of a library that closes a file half written, does not hide that we were stopped.

    Raises:
        Stopped: told to stop.
    """
    try:
        yield
    except Exception as error:
        for link in causes(error):
            if isinstance(link, Stopped):
                raise link from error
        raise


class Postponed:
    """Signals that are noted while something is under way, and answered after it."""

    def __init__(self) -> None:
        self._listeners: dict[int, Any] = {}
        self._noted: dict[int, FrameType | None] = {}

    def begin(self) -> None:
        """Note signals from here on, those that somebody listens to."""
        listeners = {number: signal.getsignal(number) for number in (REQUEUE, *STOP)}
        self._listeners = {number: listener for number, listener in listeners.items() if callable(listener)}
        for number in self._listeners:
            signal.signal(number, self._note)

    def end(self) -> None:
        """Note no more."""
        for number, listener in self._listeners.items():
            signal.signal(number, listener)
        self._listeners = {}

    @property
    def noted(self) -> bool:
        """Whether there was a signal."""
        return bool(self._noted)

    @property
    def told_to_stop(self) -> bool:
        """Whether one of them was to stop."""
        return any(number in self._noted for number in STOP)

    def answer(self, others_told: bool = False) -> None:
        """Pass on what was noted: first to submitit, which puts the job back into the queue and exits.

        Args:
            others_told: whether another process of the job was told to stop.

        Raises:
            Stopped: told to stop, whoever listened: submitit lets SIGTERM pass.
        """
        noted, self._noted = self._noted, {}
        if REQUEUE in noted:
            self._listeners[REQUEUE](REQUEUE, noted.pop(REQUEUE))
        if noted or others_told:
            self.end()
            _stop(next(iter(noted), signal.SIGTERM), None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in STOP and self.told_to_stop:
            _end(number, frame)
            return
        _told.append(time.monotonic())
        self._noted[number] = frame
        # Not by way of a log: the signal may have come in the middle of its writing.
        with suppress(OSError):
            os.write(2, b"Told to stop: a checkpoint is written after this step. Told again, it ends at once.\n")


def leave_to_parent() -> None:
    """In a process that another one looks after: what a terminal or a scheduler tells all of them, it answers alone.

    SIGTERM ends this one when it is the parent's.
    """
    for number in (signal.SIGINT, signal.SIGHUP, REQUEUE):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _stop(number: int, _: FrameType | None) -> NoReturn:
    _told.append(time.monotonic())
    _exchange(_stop, _end)
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:  # the terminal is gone: what is still to be said need not end in other errors
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    raise Stopped(number)


def _end(number: int, _: FrameType | None) -> None:
    if _told and time.monotonic() - _told[0] < TOGETHER_S:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's would complain of its workers' end
    for child in multiprocessing.active_children():
        child.kill()
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _exchange(handler: Any, other: Any) -> None:
    for number in STOP:
        if signal.getsignal(number) == handler:
            signal.signal(number, other)


def _repeated(lost: Any) -> None:
    """Tell once more what came while Python was tidying up an object, where exceptions are lost."""
    stopped = lost.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(lost)
        return
    _exchange(_end, _stop)
    threading.Timer(0.01, os.kill, (os.getpid(), stopped.number)).start()  # here it would be lost as well
