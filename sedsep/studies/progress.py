"""How far a study has come: runs that its cells have, and jobs that were launched for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sedsep.errors import UserError
from sedsep.runs.directories import FINISHED
from sedsep.runs.tracking.finished import Run, finished_runs
from sedsep.studies.cells import Cell, Identity, by_identity
from sedsep.studies.launching import Attempt, attempts


class Progress:
    """Looks at the tracking store and at the study's sweeps.

    Args:
        config: of a job, which says where it is tracked. choices: as in `identity`.

    Attributes:
        split: that is scored. runs: of the cells that have one. missing: the other cells.

    Raises:
        UserError: jobs are not tracked by MLflow, or it does not answer.
    """

    def __init__(
        self, study: str, cells: Sequence[Cell], config: Mapping[str, Any], choices: Mapping[str, str]
    ) -> None:
        if "tracking_uri" not in config["logger"]:
            raise UserError("A study collects its numbers from MLflow: leave logger out, or give logger=mlflow.")
        self._study, self._cells, self._logger, self._choices = study, cells, config["logger"], choices
        self.split: str = config["data"]["module"]["test_split"]
        self.look()

    def look(self) -> None:
        """Find out about all cells."""
        self._tried = attempts(self._study, self._choices)  # first: what it calls finished has told the store
        self._like = by_identity(finished_runs(self._logger["tracking_uri"], self._logger["experiment"]))
        serving = {
            cell: [run for run in self._like.get(cell.identity, ()) if not self._lacks(cell, run)]
            for cell in self._cells
        }
        self.runs: dict[Cell, Run] = {cell: found[0] for cell, found in serving.items() if found}
        self.missing = [cell for cell in self._cells if cell not in self.runs]

    @property
    def to_launch(self) -> list[Cell]:
        """Missing cells, but for those that finished without a number that is needed: another training of days would
        most likely lack it, too."""
        return [cell for cell in self.missing if cell.identity not in self._like]

    def tried(self) -> dict[Identity, Attempt]:
        """Jobs that may still give a missing cell its run; not those whose run has come without its numbers."""
        return {
            name: one for name, one in self._tried.items() if one.outcome.state != FINISHED or name not in self._like
        }

    def why(self, cell: Cell) -> str:
        """What became of a missing cell, in one line."""
        if attempt := self.tried().get(cell.identity):
            sync = f", but MLflow has no such run (python run.py task=sync task.root={attempt.sweep} sends it)"
            return f"{attempt}{sync if attempt.outcome.state == FINISHED else ''}"
        if like := self._like.get(cell.identity):
            lacks = ", ".join(self._lacks(cell, like[0]))
            return f"run {like[0].id} has no {lacks} (delete it in MLflow to have the cell trained anew)"
        return "not launched"

    def _lacks(self, cell: Cell, run: Run) -> list[str]:
        return [metric for metric in cell.row.columns.values() if run.metric(self.split, metric) is None]
