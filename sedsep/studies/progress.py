"""How far a study has come: runs that its cells have, and jobs that were launched for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from sedsep.errors import UserError
from sedsep.evaluation.reading import has_scores, read_scores
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.registry import SCORE_FILES
from sedsep.runs import slurm
from sedsep.runs.directories import FINISHED, RUNNING
from sedsep.runs.slurm import QUEUED
from sedsep.runs.sweeps import MISSING, Manifest, Outcome, outcomes
from sedsep.runs.tracking.sending import reason
from sedsep.studies.study import Cell, Key

SWEEPS = Path("multirun/studies")
"""Holds a folder a study, in it one a choice of settings, in it the sweeps."""

CHANGES = "tags.sedsep.uncommitted_changes"


class Progress:
    """Looks at the tracking store and at the sweeps of studies.

    Args:
        study: its name.
        cells: all of the study.
        config: of a job, which says where it is tracked.

    Attributes:
        split: that is scored.
        runs: of the cells that have one, rows of `finished_runs`.
        missing: the other cells.
        to_launch: missing cells, but for those that finished without a number that is needed: another training of days
            would most likely lack it, too.
        attempts: jobs that may still give a missing cell its run; not those whose run has come without its numbers.

    Raises:
        UserError: jobs are not tracked by MLflow, or it does not answer.
    """

    def __init__(self, study: str, cells: Sequence[Cell], config: Mapping[str, Any]) -> None:
        if "tracking_uri" not in config["logger"]:
            raise UserError("A study collects its numbers from MLflow: leave logger out, or give logger=mlflow.")
        self.split: str = config["data"]["module"]["test_split"]
        launched = attempts(study)  # first: what it calls finished has told the store
        table = finished_runs(
            config["logger"]["tracking_uri"],
            config["logger"]["experiment"],
            f"{config['scale']['name']}-{config['data']['name']}",
            self.split,
            list(dict.fromkeys(name for cell in cells for name in (*cell.row.columns.values(), *cell.row.also))),
        )
        self._finished = dict(list(table.groupby(["settings", "row", "seed"])))
        self.runs: dict[Cell, pd.Series[Any]] = {}
        for cell in cells:
            if cell.key in self._finished:
                complete = self._finished[cell.key].dropna(subset=list(cell.row.columns.values()))
                if len(complete):
                    self.runs[cell] = complete.iloc[0]
        self.missing = [cell for cell in cells if cell not in self.runs]
        self.to_launch = [cell for cell in self.missing if cell.key not in self._finished]
        self.attempts = {
            key: (sweep, outcome)
            for key, (sweep, outcome) in launched.items()
            if outcome.state != FINISHED or key not in self._finished
        }

    def why(self, cell: Cell) -> str:
        """What became of a missing cell, in one line."""
        if cell.key in self.attempts:
            sweep, outcome = self.attempts[cell.key]
            place = f"{outcome.state} ({sweep / outcome.job.directory})"
            if outcome.state == FINISHED:
                return f"{place}, but MLflow has no such run (python run.py task=sync task.root={sweep} sends it)"
            return f"{place}: {outcome.cause}" if outcome.cause and outcome.state != MISSING else place
        if cell.key in self._finished:
            newest = self._finished[cell.key].iloc[0]
            lacks = ", ".join(metric for metric in cell.row.columns.values() if pd.isna(newest[metric]))
            return f"run {newest['run']} has no {lacks} (delete it in MLflow to have the cell trained anew)"
        return "not launched"


def attempts(study: str) -> dict[Key, tuple[Path, Outcome]]:
    """By a cell's key the latest job and its sweep, of this study, or of another one where the job is at work."""
    latest: dict[Key, tuple[Path, Outcome]] = {}
    for sweep in sorted((file.parent for file in SWEEPS.glob("*/*/*/sweep.json")), key=lambda path: path.name):
        manifest = Manifest.read(sweep)
        for outcome in outcomes(manifest, slurm.ask(manifest.ids)):
            if sweep.parents[1].name == study or outcome.state in (QUEUED, RUNNING):
                values = dict(text.split("=", 1) for text in outcome.job.overrides)
                latest[sweep.parent.name, values["experiment"], values["seed"]] = sweep, outcome
    return latest


def finished_runs(uri: str, experiment: str, settings: str, split: str, metrics: Sequence[str]) -> pd.DataFrame:
    """The finished runs that studies launched, newest first; none where there is no store yet.

    Args:
        uri: `sqlite:///...` or a server's address.
        experiment: in it.
        settings: what those of a cell begin with.
        split: whose metrics are wanted.
        metrics: `<metric>/<label source>`; columns, beside `settings`, `row`, `seed`, `run`, `commit` and `ended`.

    Raises:
        UserError: the store does not answer.
    """
    import mlflow  # brings seconds along

    from sedsep.runs.tracking.store import SQLITE, hush, stored_name

    columns = {
        "tags.settings": "settings",
        "tags.row": "row",
        "tags.seed": "seed",
        "run_id": "run",
        "tags.mlflow.source.git.commit": "commit",
        "end_time": "ended",
        CHANGES: CHANGES,
        **{f"metrics.{stored_name(f'{split}/{metric}')}": metric for metric in metrics},
    }
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return pd.DataFrame(columns=list(columns.values()))
    hush()
    try:
        mlflow.set_tracking_uri(uri)
        table = mlflow.search_runs(
            experiment_names=[experiment],
            filter_string=f"attributes.status = 'FINISHED' and tags.settings LIKE '{settings}%'",
            order_by=["attributes.end_time DESC"],
        )
    except Exception as error:  # of many kinds
        raise UserError(
            f"MLflow at {uri} cannot be read ({reason(error)}): see that it runs and is the one you mean."
        ) from error
    table = table.reindex(columns=list(columns)).rename(columns=columns)
    table["commit"] = table["commit"].fillna("") + table[CHANGES].map({"true": "-dirty"}).fillna("")
    return table


def evaluation_of(uri: str, run: str) -> Evaluation | None:
    """What a run scored, mixture by mixture; `None` where it left no such files.

    Args:
        uri: of the store.
        run: in it.

    Raises:
        UserError: the store does not answer, or a file is damaged.
    """
    import mlflow  # brings seconds along

    client = mlflow.MlflowClient(uri)
    with TemporaryDirectory() as folder:
        try:
            there = {file.path for file in client.list_artifacts(run)}.intersection(SCORE_FILES)
            for name in there:
                client.download_artifacts(run, name, folder)
        except Exception as error:  # of many kinds
            raise UserError(
                f"MLflow at {uri} cannot give what run {run} scored ({reason(error)}): see that its files are there."
            ) from error
        return read_scores(Path(folder))[0] if has_scores(Path(folder)) else None
