"""The command line of a study: go on with earlier sweeps or launch new ones, collect, write."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml  # type: ignore[import-untyped]
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sedsep.errors import UserError
from sedsep.runs.sweeps import TO_RUN
from sedsep.signals import Stopped, children, stoppable
from sedsep.studies.progress import SWEEPS, Progress, evaluation_of
from sedsep.studies.results import Results, write
from sedsep.studies.study import Cell, Study, products, settings_name


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
        Stopped: told to stop; the jobs have been told, too.
    """
    tried = [(cell, *progress.attempts[cell.key]) for cell in progress.to_launch if cell.key in progress.attempts]
    for sweep, cell in {sweep: cell for cell, sweep, outcome in tried if outcome.state in TO_RUN}.items():
        # Where results go is not taken from a sweep's directory: it is said again.
        again = [text for text in cell.overrides if text.startswith(("logger.", "paths."))]
        _run(run_py, ["-m", f"sweep.resume={sweep}", *again, _tags(study, cell.settings), *overrides])
    for number, group in enumerate(products(c for c in progress.to_launch if c.key not in progress.attempts)):
        experiments = ",".join(dict.fromkeys(cell.row.experiment for cell in group))
        seeds = ",".join(dict.fromkeys(str(cell.seed) for cell in group))
        directory = SWEEPS / study / group[0].settings / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{number}"
        cells = [f"experiment={experiments}", f"seed={seeds}", *group[0].overrides, _tags(study, group[0].settings)]
        _run(run_py, ["-m", *cells, *overrides, f"hydra.sweep.dir={directory}"])


def _tags(study: str, settings: str) -> str:
    """The override by which a study knows its runs again."""
    tags = f"study:{study},settings:'{settings}',row:'${{hydra:runtime.choices.experiment}}',seed:'${{seed}}'"
    return f"logger.tags={{{tags}}}"


def _run(run_py: Path, arguments: Sequence[str]) -> None:
    """Run a sweep, whatever becomes of it: its table says so, and the store knows what finished."""
    print("$", shlex.join(["python", "run.py", *arguments]), flush=True)
    # A session of its own: a key pressed here reaches it through us alone, once, and it ends its jobs in its own time.
    process = subprocess.Popen([sys.executable, str(run_py), *arguments], start_new_session=True)
    children.add(process.pid)
    try:
        process.wait()
    except Stopped as told:
        process.send_signal(told.number)
        process.wait()
        raise
    finally:
        children.discard(process.pid)


USAGE = """
  seed=0,1        one run of each row for every seed (default: 0,1,2)
  weights=FOLDER  score FOLDER/<experiment>.sedsep.ckpt instead of training
  out=DIR         for the results (default: results/<scale>-<data>... beside the study)
  --collect       launch nothing, write what there is
Any other argument is an override of run.py: scale=paper data=dcase2025 trainer=gpu hydra/launcher=slurm
The same command again goes on where it stopped. Exit code 1: there are cells without a run, listed below the table.
"""
OWN = ("seed=", "weights=", "out=")
CHOSEN = ("experiment", "task", "ckpt", "refinement.eval_iters", "logger.tags", "sweep.resume", "hydra.sweep.dir")
"""Overrides that are the study's own affair."""


def main(study: Study) -> None:
    """Run a study as the command line says, and end the process."""
    try:
        with stoppable():
            sys.exit(run(study, parse(study, sys.argv[1:])))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped:
        print("Stopped: the same command goes on from here.", file=sys.stderr)
        raise


def parse(study: Study, arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line: `seeds`, `overrides` of all jobs, `hydra` ones, `weights`, `out` and `collect`.

    Raises:
        UserError: an argument is not meant for a study.
    """
    parser = argparse.ArgumentParser(
        usage=f"python experiments/{study.name}/study.py [--collect] [seed=0,1] [weights=FOLDER] [out=DIR] [KEY=VALUE]",
        description=f"{study.title}\n{USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--collect", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help=argparse.SUPPRESS)
    line = parser.parse_intermixed_args(arguments)
    own = dict(text.split("=", 1) for text in line.overrides if text.startswith(OWN))
    others = [text for text in line.overrides if not text.startswith(OWN)]
    for text in others:
        if text.split("=", 1)[0] in CHOSEN:
            raise UserError(f"A study sees to {text.split('=', 1)[0]} itself: leave out {text}.")
        try:
            several = OverridesParser.create().parse_override(text).is_sweep_override()
        except HydraException:  # `run.py` says what is wrong with it
            several = False
        if several:
            raise UserError(
                f"A study varies its rows and seeds alone: give {text} one value, and start a study for each."
            )
    if "weights" in own and "seed" in own:
        raise UserError("Given weights are scored once: leave out seed or weights.")
    seeds = own.get("seed", "0" if "weights" in own else "0,1,2")
    if not all(seed.isdecimal() for seed in seeds.split(",")):
        raise UserError(f"seed={seeds} is no list of whole numbers: write it as seed=0,1,2.")
    line.seeds = list(dict.fromkeys(map(int, seeds.split(","))))
    line.overrides = tuple(text for text in others if not text.startswith(("hydra.", "hydra/")))
    line.hydra = [text for text in others if text.startswith(("hydra.", "hydra/"))]
    line.weights, line.out = (Path(own[name]) if name in own else None for name in ("weights", "out"))
    return line


def run(study: Study, line: argparse.Namespace) -> int:
    """Launch what is missing, collect what there is and write it; the exit code.

    Raises:
        UserError: the command cannot be carried out, or the store does not answer.
        Stopped: told to stop.
    """
    scored: dict[str, tuple[str, ...]] = {}
    if line.weights:
        files = {row.name: line.weights / f"{row.name}.sedsep.ckpt" for row in study.rows}
        if absent := [path.name for path in files.values() if not path.is_file()]:
            raise UserError(
                f"{line.weights} has no {', '.join(absent)}: convert the published weights of every row of the study "
                "into it (python run.py task=convert)."
            )
        scored = {name: ("task=evaluate", f"ckpt={file}") for name, file in files.items()}
    settings = {row.name: (*row.overrides, *line.overrides) for row in study.rows}
    overrides = {name: (*scored.get(name, ()), *own) for name, own in settings.items()}
    first = study.rows[0]
    config = composed(study.run_py, [*overrides[first.name], f"experiment={first.experiment}"])
    choices = {"scale": config["scale"]["name"], "data": config["data"]["name"]}
    names = {name: settings_name(choices, own, line.weights) for name, own in settings.items()}
    cells = [Cell(row, seed, overrides[row.name], names[row.name]) for row in study.rows for seed in line.seeds]
    progress = Progress(study.name, cells, config)
    print(f"{study.name}: {len(progress.runs)} of {len(cells)} cells have a run", flush=True)
    if progress.to_launch and not line.collect:
        launch(study.run_py, study.name, progress, line.hydra)
        progress = Progress(study.name, cells, config)
    table = [{"experiment": cell.row.name, "seed": cell.seed, **progress.runs.get(cell, {})} for cell in cells]
    results = Results(
        study=study,
        cells=pd.DataFrame(table, columns=["experiment", "seed", *study.metrics, "run", "commit", "ended"]),
        missing={str(cell): progress.why(cell) for cell in progress.missing},
        split=progress.split,
        comparable=(*choices.values(), progress.split) == ("paper", study.data, "test"),
        evaluations={
            (cell.row.name, cell.seed): evaluation
            for cell, found in progress.runs.items()
            if (evaluation := evaluation_of(config["logger"]["tracking_uri"], found["run"]))
        },
    )
    folder = settings_name(choices, line.overrides, line.weights)
    write(results, line.out or study.folder / "results" / folder, sys.argv)
    return 1 if results.missing else 0
