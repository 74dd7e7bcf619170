"""What a job or a sweep has for its store, in a file of its own: written at once, sent when the store takes it.

`events.jsonl` only grows, by one event a line: `t` is its time in Unix milliseconds; `start`, `params`, `changed` ones,
`tags`, `metrics` with their `step`, `file` or `end` say what happened.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sedsep.files import named
from sedsep.runs.tracking.base import Params, StepLogger, Steps, Tags, Tracker, whole_lines

FOLDER = "tracking"
EVENTS = "events.jsonl"
CHANGED = "sedsep.changed."  # begins a tag
AT_ONCE = 100  # entries of an event: a store takes so many parameters or tags in one request
PARAM_LENGTH = 6000

Event = dict[str, Any]
Value = TypeVar("Value")


class Journal(Tracker):
    """The journal of a directory, one that is there already is gone on with. A single process writes it.

    Args:
        directory: of the job or the sweep; the journal is a folder in it.

    Attributes:
        directory: absolute.
        folder: of the journal.
        key: its name for life.
        is_open: whether an attempt has begun and not ended.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.folder = self.directory / FOLDER
        self.key = uuid.uuid4().hex
        self.is_open = False
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._steps = Steps()
        self._lock = threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)
        for _, event in events(self.folder, mend=True):
            self._take(event)
        self._file = (self.folder / EVENTS).open("a", encoding="utf-8")

    def begin(self, settings: Mapping[str, Any], params: Params, tags: Tags) -> None:
        """Begin an attempt.

        Args:
            settings: of the run.
            params: what the attempt is made with; one that another attempt had otherwise becomes a tag, for stores do
                not let it change.
            tags: facts about the attempt.
        """
        self._write({"start": {"key": self.key, **settings}})
        now = {name: str(value)[:PARAM_LENGTH] for name, value in params.items()}
        for part in _parts({name: value for name, value in now.items() if name not in self._params}):
            self._write({"params": part})
        for part in _parts({name: value for name, value in now.items() if self._params[name] != value}):
            past = {name: self._tags.get(CHANGED + name, self._params[name]) for name in part}
            story = {CHANGED + name: f"{past[name]} -> {value}" for name, value in part.items()}
            self._write({"changed": part, "tags": story})
        self.tags(tags)

    def tags(self, values: Tags) -> None:
        for part in _parts({name: value for name, value in values.items() if self._tags.get(name) != value}):
            self._write({"tags": part})

    def steps(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a training step; an attempt that repeats a step repeats its numbers, which are passed over."""
        for part in _parts(self._steps.new(values, step)):
            self._write({"metrics": part, "step": step})

    def logger(self, prefix: str) -> StepLogger:
        return StepLogger(self.steps, f"{prefix}/", self.directory)

    def metrics(self, values: Mapping[str, float]) -> None:
        for part in _parts(self._steps.changed(values)):
            self._write({"metrics": part, "step": 0})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        path = path.absolute()
        if path.is_relative_to(self.directory):  # which may move as a whole
            path = path.relative_to(self.directory)
        self._write({"file": [str(path), folder]})

    def close(self, state: str | None = None) -> None:
        """Write no more; with a state, the attempt has ended."""
        if state:
            self._write({"end": state})
        self._file.close()

    def _write(self, event: Event) -> None:
        with self._lock, named(self.folder / EVENTS):
            self._take(event)
            self._file.write(json.dumps({"t": int(time.time() * 1000), **event}) + "\n")
            self._file.flush()

    def _take(self, event: Event) -> None:
        """What an event changes for those to come."""
        if start := event.get("start"):
            self.key, self.is_open = start["key"], True
        self._params |= event.get("params", {}) | event.get("changed", {})
        self._tags |= event.get("tags", {})
        self._steps.take(event.get("metrics", {}), event.get("step", 0))
        if "end" in event:
            self.is_open = False


def latest_start(folder: Path) -> Event | None:
    """The latest `start` in a journal's folder; `None` where there is none."""
    starts = [event["start"] for _, event in events(folder) if "start" in event]
    return starts[-1] if starts else None


def events(folder: Path, offset: int = 0, *, mend: bool = False) -> Iterator[tuple[int, Event]]:
    """Events of a journal's folder, each with the byte where the next begins.

    A line that is no longer an event, as after the loss of a file server, is left out.

    Args:
        folder: of the journal.
        offset: byte where to begin.
        mend: as of `whole_lines`.
    """
    for line in whole_lines(folder / EVENTS, offset, mend=mend):
        offset += len(line)
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "t" in event:
            yield offset, event


def _parts(values: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """As many entries at a time as an event holds."""
    names = list(values)
    for first in range(0, len(names), AT_ONCE):
        yield {name: values[name] for name in names[first : first + AT_ONCE]}
