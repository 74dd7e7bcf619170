"""The command line of a study: launch what is missing, collect, write."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sedsep.errors import UserError
from sedsep.studies import launching, writing
from sedsep.studies.cells import is_several, make_cells
from sedsep.studies.progress import Progress
from sedsep.studies.results import Results
from sedsep.studies.study import Study

SEEDS = "0,1,2"
USAGE = """
  seed=0,1        one run of each row for every seed (default: 0,1,2)
  weights=FOLDER  score FOLDER/<experiment>.sedsep.ckpt instead of training
  out=DIR         for the results (default: results/<scale>-<data>... beside the study)
  --collect       launch nothing, write what there is
Any other argument is an override of run.py: scale=paper data=dcase2025 trainer=gpu hydra/launcher=slurm
The same command again goes on where it stopped. Exit code 1: there are cells without a run, listed below the table.
"""
OWN = ("seed=", "weights=", "out=")
CHOSEN = ("experiment", "task", "ckpt", "refinement.eval_iters", "sweep.resume", "hydra.sweep.dir")
"""Overrides that are the study's own affair."""


@dataclass(frozen=True)
class Request:
    """A study's command line.

    Attributes:
        overrides: of all jobs. hydra: those that say how jobs are launched. weights: folder of checkpoints to score.
    """

    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    hydra: tuple[str, ...]
    weights: Path | None
    out: Path | None
    collect: bool


def main(study: Study) -> None:
    """Run a study as the command line says, and end the process."""
    try:
        sys.exit(run(study, parse(study, sys.argv[1:])))
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped: the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


def parse(study: Study, arguments: Sequence[str]) -> Request:
    """Read a command line.

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
    others = tuple(text for text in line.overrides if not text.startswith(OWN))
    for text in others:
        if text.split("=", 1)[0] in CHOSEN:
            raise UserError(f"A study sees to {text.split('=', 1)[0]} itself: leave out {text}.")
        if is_several(text):
            raise UserError(
                f"A study varies its rows and seeds alone: give {text} one value, and start a study for each."
            )
    if "weights" in own and "seed" in own:
        raise UserError("Given weights are scored once: leave out seed or weights.")
    seeds = own.get("seed", SEEDS if "weights" not in own else "0")
    if not re.fullmatch(r"\d+(,\d+)*", seeds):
        raise UserError(f"seed={seeds} is no list of whole numbers: write it as seed=0,1,2.")
    return Request(
        seeds=tuple(dict.fromkeys(map(int, seeds.split(",")))),
        overrides=tuple(text for text in others if not text.startswith(("hydra.", "hydra/"))),
        hydra=tuple(text for text in others if text.startswith(("hydra.", "hydra/"))),
        weights=Path(own["weights"]) if "weights" in own else None,
        out=Path(own["out"]) if "out" in own else None,
        collect=line.collect,
    )


def run(study: Study, request: Request) -> int:
    """Launch what is missing, collect what there is and write it; the exit code.

    Raises:
        UserError: the command cannot be carried out, or the store does not answer. KeyboardInterrupt: told to stop.
    """
    overrides = _overrides(study, request)
    first = study.rows[0].experiment
    config = launching.composed(study.run_py, [*overrides[first], f"experiment={first}"])
    choices = {"scale": config["scale"]["name"], "data": config["data"]["name"]}
    cells = make_cells(study.rows, request.seeds, overrides, choices)
    progress = Progress(study.name, cells, config, choices)
    print(f"{study.name}: {len(progress.runs)} of {len(cells)} cells have a run", flush=True)
    if progress.to_launch and not request.collect:
        launching.launch(study.run_py, study.name, progress.to_launch, progress.tried(), request.hydra)
        progress.look()
    results = Results(
        study=study,
        seeds=request.seeds,
        runs={(cell.row.experiment, cell.seed): run for cell, run in progress.runs.items()},
        missing={str(cell): progress.why(cell) for cell in progress.missing},
        split=progress.split,
        comparable=(*choices.values(), progress.split) == ("paper", "dcase2025", "test"),
    )
    out = request.out or study.folder / "results" / writing.folder_name(choices, request.overrides, request.weights)
    writing.write(results, out, sys.argv)
    return 1 if results.missing else 0


def _overrides(study: Study, request: Request) -> dict[str, tuple[str, ...]]:
    """What each experiment is run with, beside itself and its seed."""
    if request.weights is None:
        return {row.experiment: (*row.overrides, *request.overrides) for row in study.rows}
    files = {row.experiment: request.weights / f"{row.experiment}.sedsep.ckpt" for row in study.rows}
    if absent := [path.name for path in files.values() if not path.is_file()]:
        raise UserError(
            f"{request.weights} has no {', '.join(absent)}: convert the published weights of every row of the study "
            "into it (python run.py task=convert)."
        )
    return {
        row.experiment: ("task=evaluate", f"ckpt={files[row.experiment]}", *row.overrides, *request.overrides)
        for row in study.rows
    }
