"""Numbers in a CSV file: `logger=csv`, and the history that a training leaves beside its checkpoints.

Lightning's `CSVLogger` does not serve: it deletes the file of a training that goes on, keeps rows in memory, where a
kill finds them, and rewrites the file in place whenever a new metric appears, while others may be reading it.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from sedsep.errors import UserError
from sedsep.files import named, read_json, write_json
from sedsep.runs.tracking.base import Logging, Params, StepLogger, Steps, Tags, Tracker, whole_lines

log = logging.getLogger(__name__)

COLUMNS = ("time", "step", "name", "value")
NUMBERS = "tracking.csv"


class CsvFile(Tracker):
    """Numbers, one a row: `time` in Unix seconds, `step`, `name`, `value`. One that is there already is gone on with.

    Parameters (config.yaml) and files lie beside it anyway; facts go to a JSON file of the same name.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def steps(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a training step; those that have come this far already are passed over."""
        self._write(self._steps.new(values, step), step)

    def logger(self, prefix: str) -> StepLogger:
        return StepLogger(self.steps, f"{prefix}/", self.path.parent)

    def metrics(self, values: Mapping[str, float]) -> None:
        self._write(self._steps.changed(values), 0)

    def tags(self, values: Tags) -> None:
        file = self.path.with_suffix(".json")
        earlier = read_json(file, dict[str, str], "remove it") if file.exists() else {}
        write_json(file, {**earlier, **values})

    @cached_property
    def _steps(self) -> Steps:
        """What the file holds: looked up when there is something to write, for of several processes only one does."""
        steps = Steps()
        if self.path.is_symlink():
            raise UserError(f"{self.path} is a link, and numbers are kept in the job's own directory: remove it.")
        for step, name, value in _rows(self.path, mend=True):
            steps.take({name: value}, step)
        return steps

    def _write(self, values: Mapping[str, float], step: int) -> None:
        if not values:
            return
        self._steps.take(values, step)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        now = f"{time.time():.3f}"
        with named(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(COLUMNS)
            writer.writerows((now, step, name, repr(value)) for name, value in values.items())


def _rows(path: Path, mend: bool = False) -> Iterator[tuple[int, str, float]]:
    """Step, name and value of each row; one that is damaged costs itself, and all of them together a warning."""
    damaged = 0
    for number, line in enumerate(whole_lines(path, mend=mend)):
        try:
            ((_, step, name, value),) = csv.reader([line.decode()])
            if not 0 <= int(step) < 2**53:
                raise ValueError(f"no step is {step}")
            yield int(step), name, float(value)
        except (ValueError, csv.Error):
            damaged += number > 0  # the first is the header
    if damaged:
        log.warning("%s has %d damaged rows, which are left out.", path, damaged)


class HistoryLogger(StepLogger):
    """A training's numbers in `metrics.csv`, which a training that goes on adds to.

    Args:
        directory: of the training.
    """

    NAME = "metrics.csv"

    def __init__(self, directory: Path) -> None:
        super().__init__(CsvFile(directory / self.NAME).steps, "", directory)


def read_history(path: Path) -> list[dict[str, str]]:
    """The rows of a history, each with its `step` and the number under its name."""
    return [{"step": str(step), name: repr(value)} for step, name, value in _rows(path)]


class Csv(Logging):
    """`logger=csv`: what is logged goes to tracking.csv in the directory, facts about it to tracking.json."""

    def job(self, run_dir: Path, run_name: str, params: Params, tags: Tags, sweep_dir: Path | None = None) -> Tracker:
        return self.sweep(run_dir, run_name, tags)

    def sweep(self, sweep_dir: Path, name: str, tags: Tags) -> Tracker:
        tracker = CsvFile(sweep_dir / NUMBERS)
        tracker.tags({"name": name, **tags})
        return tracker
