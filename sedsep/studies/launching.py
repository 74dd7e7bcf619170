"""Sweeps of a study: going on with earlier ones, and launching new ones."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped]

from sedsep.errors import UserError
from sedsep.runs.sweeps import TO_RUN
from sedsep.studies.cells import products
from sedsep.studies.progress import SWEEPS, Progress


def composed(run_py: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The config of a job, as `run.py` composes it here.

    Raises:
        UserError: it cannot be composed.
    """
    command = [sys.executable, str(run_py), *overrides, "--cfg", "job", "--resolve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError((done.stderr.strip() or "run.py failed.").splitlines()[-1].removeprefix("Error: "))
    return yaml.safe_load(done.stdout)


def launch(run_py: Path, study: str, progress: Progress, overrides: Sequence[str]) -> None:
    """Run the sweeps that have unfinished jobs of missing cells, then new ones for cells that have never been tried.

    What is at work is left alone, and so is what finished: its numbers have not arrived, and it took its time.

    Args:
        run_py: the entry of the project.
        study: its name.
        progress: how far it has come.
        overrides: of Hydra itself: how jobs are launched.

    Raises:
        KeyboardInterrupt: told to stop; the jobs have been told, too.
    """
    tried = [progress.attempts[cell.key] for cell in progress.to_launch if cell.key in progress.attempts]
    for sweep in dict.fromkeys(sweep for sweep, outcome in tried if outcome.state in TO_RUN):
        _run(run_py, ["-m", f"sweep.resume={sweep}", *overrides])
    for number, group in enumerate(products(c for c in progress.to_launch if c.key not in progress.attempts)):
        experiments = ",".join(dict.fromkeys(cell.row.experiment for cell in group))
        seeds = ",".join(dict.fromkeys(str(cell.seed) for cell in group))
        settings = group[0].settings
        tags = f"study:{study},settings:'{settings}',row:'${{hydra:runtime.choices.experiment}}',seed:'${{seed}}'"
        directory = SWEEPS / study / settings / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{number}"
        cells = [f"experiment={experiments}", f"seed={seeds}", *group[0].overrides, f"logger.tags={{{tags}}}"]
        _run(run_py, ["-m", *cells, *overrides, f"hydra.sweep.dir={directory}"])


def _run(run_py: Path, arguments: Sequence[str]) -> None:
    """Run a sweep, whatever becomes of it: its table says so, and the store knows what finished."""

    def stop(number: int, _: Any) -> NoReturn:
        raise KeyboardInterrupt(number)

    print("$", shlex.join(["python", "run.py", *arguments]), flush=True)
    # A session of its own: a key pressed here reaches it through us alone, once, and it ends its jobs in its own time.
    process = subprocess.Popen([sys.executable, str(run_py), *arguments], start_new_session=True)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.wait()
    except KeyboardInterrupt as told:
        process.send_signal(told.args[0])
        process.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
