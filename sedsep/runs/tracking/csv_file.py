"""Numbers in a CSV file: `logger=csv`, and the history that a training leaves beside its checkpoints."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning.pytorch.loggers import Logger

from sedsep.files import write_json
from sedsep.runs.tracking.files import Steps, whole_lines
from sedsep.runs.tracking.lightning_logger import StepLogger

COLUMNS = ("time", "step", "name", "value")
NUMBERS, FACTS = "tracking.csv", "tracking.json"


class CsvFile:
    """Numbers, one a row: `time` in Unix seconds, `step`, `name`, `value`. One that is there already is gone on with.

    Args:
        path: read and written first when there is something to write, for of several processes only one does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._steps: Steps | None = None

    def steps(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a training step; those that have come this far already are passed over."""
        self._write(self._known().new(values, step), step)

    def results(self, values: Mapping[str, float]) -> None:
        """Final numbers, where they are defined; those that did not change are passed over."""
        self._write(self._known().changed({name: v for name, v in values.items() if math.isfinite(v)}), 0)

    def _known(self) -> Steps:
        if self._steps is None:
            self._steps = Steps()
            lines = [line.decode() for line in whole_lines(self.path, mend=True)]
            for row in csv.DictReader(lines):
                self._steps.take({row["name"]: float(row["value"])}, int(row["step"]))
        return self._steps

    def _write(self, values: Mapping[str, float], step: int) -> None:
        if not values:
            return
        self._known().take(values, step)
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists() or not self.path.stat().st_size:
            writer.writerow(COLUMNS)
        now = f"{time.time():.3f}"
        writer.writerows((now, step, name, repr(value)) for name, value in values.items())
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(rows.getvalue())


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
    lines = [line.decode() for line in whole_lines(path)]
    return [{"step": row["step"], row["name"]: row["value"]} for row in csv.DictReader(lines)]


class Csv:
    """`logger=csv`: what a job logs goes to tracking.csv in its directory, facts about it to tracking.json."""

    def job(
        self,
        *,
        run_dir: Path,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        sweep_dir: Path | None = None,
    ) -> CsvTracker:
        tracker = CsvTracker(run_dir)
        tracker.tags({"name": run_name, **tags})
        return tracker

    def open_sweep(self, sweep_dir: Path, name: str, tags: Mapping[str, str]) -> None:
        CsvTracker(sweep_dir).tags({"name": name, **tags})

    def close_sweep(
        self, sweep_dir: Path, state: str, artifacts: Sequence[Path] = (), metrics: Mapping[str, float] | None = None
    ) -> None:
        CsvTracker(sweep_dir).metrics(metrics or {})


class CsvTracker:
    """A job's tracker that writes into a directory, where parameters (config.yaml) and files lie anyway."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = CsvFile(directory / NUMBERS)

    def __enter__(self) -> CsvTracker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def logger(self, prefix: str) -> Logger | None:
        return StepLogger(self._file.steps, prefix, self._directory)

    def metrics(self, values: Mapping[str, float]) -> None:
        self._file.results(values)

    def tags(self, values: Mapping[str, str]) -> None:
        file = self._directory / FACTS
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        write_json(file, {**known, **values})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        pass
