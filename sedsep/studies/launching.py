"""Sweeps of a study: what became of earlier ones, going on with them, and launching new ones."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped]

from sedsep.errors import UserError
from sedsep.runs import slurm
from sedsep.runs.directories import RUNNING
from sedsep.runs.slurm import QUEUED
from sedsep.runs.sweeps import MISSING, TO_RUN, Manifest, Outcome, outcomes
from sedsep.studies.cells import Cell, Key, products

SWEEPS = Path("multirun/studies")
"""Holds a folder a study, in it one a choice of settings, in it the sweeps."""


@dataclass(frozen=True)
class Attempt:
    """A job of a sweep that was launched for a cell."""

    sweep: Path
    outcome: Outcome

    def __str__(self) -> str:
        cause = self.outcome.cause if self.outcome.state != MISSING else None
        return f"{self.outcome.state} ({self.sweep / self.outcome.job.directory}){f': {cause}' if cause else ''}"


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


def attempts(study: str) -> dict[Key, Attempt]:
    """By a cell's key the latest job in sweeps of this study, and jobs of other studies that are at work."""
    latest: dict[Key, Attempt] = {}
    for sweep in sorted((file.parent for file in SWEEPS.glob("*/*/*/sweep.json")), key=lambda path: path.name):
        manifest = Manifest.read(sweep)
        for outcome in outcomes(manifest, slurm.ask(manifest.ids)):
            if sweep.parents[1].name == study or outcome.state in (QUEUED, RUNNING):
                values = dict(text.split("=", 1) for text in outcome.job.overrides)
                latest[sweep.parent.name, values["experiment"], values["seed"]] = Attempt(sweep, outcome)
    return latest


def launch(
    run_py: Path, study: str, missing: Sequence[Cell], tried: Mapping[Key, Attempt], overrides: Sequence[str]
) -> None:
    """Run the sweeps that have unfinished jobs of missing cells, then new ones for cells that have never been tried.

    What is at work is left alone, and so is what finished: its numbers have not arrived, and it took its time.

    Args:
        run_py: the entry of the project.
        study: its name.
        missing: cells to be launched.
        tried: jobs by the key of their cells.
        overrides: of Hydra itself: how jobs are launched.

    Raises:
        KeyboardInterrupt: told to stop; the jobs have been told, too.
    """
    latest = {cell: tried.get(cell.key) for cell in missing}
    for sweep in dict.fromkeys(one.sweep for one in latest.values() if one and one.outcome.state in TO_RUN):
        _run(run_py, ["-m", f"sweep.resume={sweep}", *overrides])
    for number, group in enumerate(products(cell for cell, one in latest.items() if one is None)):
        experiments = ",".join(dict.fromkeys(cell.row.experiment for cell in group))
        seeds = ",".join(dict.fromkeys(str(cell.seed) for cell in group))
        settings = group[0].settings
        own = f"study:{study},settings:'{settings}',row:'${{hydra:runtime.choices.experiment}}',seed:'${{seed}}'"
        directory = SWEEPS / study / settings / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{number}"
        cells = [f"experiment={experiments}", f"seed={seeds}", *group[0].overrides, f"logger.tags={{{own}}}"]
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
