"""Jobs as processes of this machine, several at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

PATIENCE_S = 30.0
"""How long a process that was told to stop may take to tidy up, before each plainer way to say it."""


@dataclass(frozen=True)
class Command:
    """A process to run.

    Attributes:
        number: names it.
        arguments: of the program, which comes first.
        log: gets all that it prints, after what is there.
    """

    number: int
    arguments: tuple[str, ...]
    log: Path


def run_all(
    commands: Iterable[Command],
    slots: Sequence[Mapping[str, str]],
    ended: Callable[[int, int], None],
    poll_s: float = 0.2,
) -> None:
    """Run every command, as many at a time as there are slots, whatever becomes of the others.

    SIGINT (Ctrl-C) and SIGTERM are passed on to the processes, and a KeyboardInterrupt is raised when they have ended.

    Args:
        commands: in the order in which they start.
        slots: variables added to the environment of the processes that run there.
        ended: called with a command's number and its exit code, which is negative for a signal.
        poll_s: between two looks at the processes.
    """
    waiting = list(reversed(list(commands)))
    running: dict[int, tuple[Command, subprocess.Popen[bytes]]] = {}
    with _stoppable():
        try:
            while waiting or running:
                for slot, (command, process) in list(running.items()):
                    if (code := process.poll()) is not None:
                        del running[slot]
                        ended(command.number, code)
                for slot, variables in enumerate(slots):
                    if waiting and slot not in running:
                        command = waiting.pop()
                        running[slot] = command, _start(command, variables)
                time.sleep(poll_s)
        finally:
            _stop([process for _, process in running.values()])


@contextmanager
def _stoppable() -> Iterator[None]:
    """Take SIGINT and SIGTERM, which a process left alone may ignore: the jobs would stay behind otherwise."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Command, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        # A session of its own: a key pressed here reaches the job through us alone, once.
        return subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
        )


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    # The last one to its loaders as well.
                    os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
        limit = time.monotonic() + PATIENCE_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, limit - time.monotonic()))
