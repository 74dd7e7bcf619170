"""How far a study has come: runs that its cells have, and jobs that were launched for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sedsep.errors import UserError
from sedsep.runs.directories import FINISHED
from sedsep.runs.tracking.sending import reason
from sedsep.studies.cells import Cell
from sedsep.studies.launching import attempts

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
        uri, experiment = config["logger"]["tracking_uri"], config["logger"]["experiment"]
        metrics = dict.fromkeys(name for cell in cells for name in (*cell.row.columns.values(), *cell.row.also))
        table = pd.concat(
            finished_runs(uri, experiment, settings, self.split, list(metrics))
            for settings in dict.fromkeys(cell.settings for cell in cells)
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
            key: one for key, one in launched.items() if one.outcome.state != FINISHED or key not in self._finished
        }

    def why(self, cell: Cell) -> str:
        """What became of a missing cell, in one line."""
        if attempt := self.attempts.get(cell.key):
            sync = f", but MLflow has no such run (python run.py task=sync task.root={attempt.sweep} sends it)"
            return f"{attempt}{sync if attempt.outcome.state == FINISHED else ''}"
        if cell.key in self._finished:
            newest = self._finished[cell.key].iloc[0]
            lacks = ", ".join(metric for metric in cell.row.columns.values() if pd.isna(newest[metric]))
            return f"run {newest['run']} has no {lacks} (delete it in MLflow to have the cell trained anew)"
        return "not launched"


def finished_runs(uri: str, experiment: str, settings: str, split: str, metrics: Sequence[str]) -> pd.DataFrame:
    """The finished runs with certain settings that studies launched, newest first; none where there is no store yet.

    Args:
        uri: `sqlite:///...` or a server's address.
        experiment: in it.
        settings: as of a cell.
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
            filter_string=f"attributes.status = 'FINISHED' and tags.settings = '{settings}'",
            order_by=["attributes.end_time DESC"],
        )
    except Exception as error:  # of many kinds
        raise UserError(
            f"MLflow at {uri} cannot be read ({reason(error)}): see that it runs and is the one you mean."
        ) from error
    table = table.reindex(columns=list(columns)).rename(columns=columns)
    table["commit"] = table["commit"].fillna("") + table[CHANGES].map({"true": "-dirty"}).fillna("")
    return table
