"""Commands of the suite against input that means no good: each in a process of its own, all judged alike."""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sedsep.errors import UserError

RUN_PY = Path(__file__).parents[2] / "run.py"
LONGEST_S = 60.0
"""No answer may take longer."""

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` has us ignore it, and the suite with us

# Processes fork from one that has imported everything and computed nothing: seconds less for each of hundreds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "sedsep.tasks.entry",
        *(f"sedsep.tasks.{path.stem}" for path in sorted((RUN_PY.parent / "sedsep/tasks").glob("[a-z]*.py"))),
    ]
)


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        code: its exit code, as a shell sees it.
        out: what it printed.
        err: what it said on stderr.
        seconds: that it took.
        folder: where it ran.
    """

    code: int
    out: str
    err: str
    seconds: float
    folder: Path

    @property
    def half_written(self) -> list[Path]:
        """What a command that was stopped or failed left unfinished; trainings in the cache are gone on with."""
        found = [path for path in self.folder.rglob("*") if "partial" in path.name or path.name.startswith(".next")]
        return [path for path in found if path.parent.name != "models"]

    @property
    def run_dirs(self) -> list[Path]:
        """Run directories made below the working directory."""
        return sorted(path for path in self.folder.glob("outputs/*/*") if path.is_dir())


class Started:
    """A command at work, in a session of its own.

    Args:
        folder: its working directory.
        arguments: of the command line.
        pause: a function of the suite, `module:name`, that the command stops at, and the how-manieth call.
        setup: called in the process before the command is.
        environment: variables set for it.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        pause: tuple[str, int] | None = None,
        setup: Callable[[], object] | None = None,
        **environment: str,
    ) -> None:
        self.folder, self._arguments = folder, arguments
        self._out, self._err, self._mark = (folder / f".{name}.txt" for name in ("out", "err", "mark"))
        self._mark.unlink(missing_ok=True)
        environment = {"SEDSEP_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", **environment}
        every = (folder, arguments, environment, self._out, self._err, self._mark, pause, setup)
        self.process = _CONTEXT.Process(target=_run, args=every)
        self._start = time.monotonic()
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def until(self, value: Callable[[], object] | None = None) -> None:
        """Wait for something, or for the moment to pause at."""
        while not (value or self._mark.is_file)():
            if self.process.exitcode is not None or time.monotonic() > self._start + LONGEST_S:
                self.kill()
                pytest.fail(f"{self._arguments} did not come so far: {self._err.read_text()[-2000:]}{self.out[-2000:]}")
            time.sleep(0.02)

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self._out.read_text(errors="replace") if self._out.is_file() else ""

    def go_on(self) -> None:
        """Let it go on where it pauses."""
        self._mark.write_text("go on")

    def kill(self) -> None:
        """End it, and all of its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.join()

    def end(self, longest_s: float = LONGEST_S) -> Outcome:
        """Wait for its end; after so many seconds it is killed, and the test fails."""
        self.process.join(longest_s)
        seconds = time.monotonic() - self._start
        if self.process.exitcode is None:
            self.kill()
            pytest.fail(
                f"{' '.join(self._arguments)} took longer than {longest_s:g} s: {self._err.read_text()[-2000:]}"
            )
        code = self.process.exitcode if self.process.exitcode >= 0 else 128 - self.process.exitcode
        return Outcome(code, self.out, self._err.read_text(errors="replace"), seconds, self.folder)


def command(folder: Path, *arguments: str, longest_s: float = LONGEST_S, **environment: str) -> Outcome:
    """Run `python run.py` with arguments in a folder, with a cache there.

    Args:
        folder: the working directory.
        arguments: of the command line.
        longest_s: after so many seconds it is killed, and the test fails.
        environment: variables set for it.
    """
    return Started(folder, *arguments, **environment).end(longest_s)


def _run(
    folder: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    out: Path,
    err: Path,
    mark: Path,
    pause: tuple[str, int] | None,
    setup: Callable[[], object] | None,
) -> None:
    # As in a command of its own; else its workers came from a server that a signal to the group ends.
    multiprocessing.set_start_method("fork", force=True)
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    if setup:
        setup()
    if pause:
        _pause(*pause, mark)
    sys.argv = [str(RUN_PY), *arguments]
    runpy.run_path(str(RUN_PY), run_name="__main__")


def _pause(place: str, number: int, mark: Path) -> None:
    module, name = place.split(":")
    owner: Any = importlib.import_module(module)
    *outer, name = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)

    def paused(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            mark.touch()
            while not mark.stat().st_size:
                time.sleep(0.01)
        return original(*arguments, **options)

    setattr(owner, name, paused)


def assert_refused(outcome: Outcome, *words: str) -> None:
    """The command ended with one sentence that has these words, exit code 1, and nothing half-written."""
    assert "Traceback" not in outcome.err + outcome.out, outcome.err[-3000:]
    sentences = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert outcome.code == 1, (outcome.code, outcome.out[-1000:], outcome.err[-2000:])
    assert len(sentences) == 1, outcome.err[-3000:]
    assert_sentence(sentences[0], words)
    assert not outcome.half_written


def assert_accepted(outcome: Outcome) -> None:
    """The command did what it was asked to, with no traceback on the way, and nothing half-written."""
    assert "Traceback" not in outcome.err + outcome.out, outcome.err[-3000:]
    assert outcome.code == 0, (outcome.code, outcome.err[-3000:])
    assert not outcome.half_written


def assert_refuses(call: Callable[[], Any], *words: str) -> None:
    """A call ends in one sentence that has these words, in time."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer within {LONGEST_S:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(LONGEST_S))
    try:
        with pytest.raises(UserError) as caught:
            call()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert_sentence(str(caught.value), words)


def assert_sentence(text: str, words: Iterable[str]) -> None:
    """It is what a person can read in one go, and has these words."""
    assert "\n" not in text.strip(), text
    assert text.rstrip().endswith((".", "?", ")", "!")), text
    assert len(text) < 1200, text
    for word in words:
        assert word in text, (word, text)
