"""What a job or a sweep has for its store, in a file of its own: written at once, sent when the store takes it.

`events.jsonl` only grows, by one event a line: `t` is its time in Unix milliseconds; `start`, `params`, `changed` ones,
`tags`, `metrics` with their `step`, `file` or `end` say what happened. Run directories are handed around: a journal is
read as somebody else's.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Predicate
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from sedsep.errors import UserError, printable
from sedsep.files import named
from sedsep.runs.tracking.base import Params, StepLogger, Steps, Tags, Tracker, whole_lines

log = logging.getLogger(__name__)

FOLDER = "tracking"
EVENTS = "events.jsonl"
CHANGED = "sedsep.changed."  # begins a tag
AT_ONCE = 100  # entries of an event: a store takes so many parameters or tags in one request
PARAM_LENGTH = 6000
NAME_LENGTH, ADDRESS_LENGTH = 500, 4096

Value = TypeVar("Value")
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH), Predicate(str.isprintable)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=ADDRESS_LENGTH), Predicate(str.isprintable)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Several = Field(max_length=AT_ONCE)


@dataclass(frozen=True)
class Start:
    """How an attempt begins.

    Attributes:
        key: of the job or the sweep.
        name: shown in lists.
        uri: of the store that it was begun for.
        experiment: in the store.
        sweep: key of the sweep that it belongs to, or is.
    """

    key: Key
    name: Name
    uri: Address
    experiment: Name
    sweep: Key | None = None


@dataclass(frozen=True)
class Event:
    """What happened, as a line of the journal says it.

    Attributes:
        t: when, Unix milliseconds.
        start: an attempt began.
        params: new ones.
        changed: those that another attempt had otherwise.
        tags: facts.
        metrics: numbers.
        step: theirs.
        file: a file of the directory, and the folder that its copy goes to.
        end: how an attempt ended.
    """

    t: Count
    start: Start | None = None
    params: Annotated[dict[str, str], Several] = field(default_factory=dict)
    changed: Annotated[dict[str, str], Several] = field(default_factory=dict)
    tags: Annotated[dict[str, str], Several] = field(default_factory=dict)
    metrics: Annotated[dict[str, float], Several] = field(default_factory=dict)
    step: Count = 0
    file: tuple[str, str | None] | None = None
    end: Literal["finished", "failed", "interrupted"] | None = None


_EVENT = TypeAdapter(Event)


class Journal(Tracker):
    """The journal of a directory, one that is there already is gone on with. A single process writes it.

    Args:
        directory: of the job or the sweep; the journal is a folder in it.

    Attributes:
        directory: absolute.
        folder: of the journal.
        key: its name for life.
        is_open: whether an attempt has begun and not ended.

    Raises:
        UserError: there is a link in place of the journal.
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
        self._file = (self.folder / EVENTS).open("ab")

    def begin(self, name: str, uri: str, experiment: str, params: Params, tags: Tags, sweep: str | None = None) -> None:
        """Begin an attempt.

        Args:
            name: shown in lists.
            uri: of the store.
            experiment: in the store.
            params: what the attempt is made with; one that another attempt had otherwise becomes a tag, for stores do
                not let it change.
            tags: facts about the attempt.
            sweep: key of the sweep that it belongs to, or is.
        """
        self._write(start=Start(self.key, printable(name, NAME_LENGTH), uri, experiment, sweep))
        now = {name: str(value)[:PARAM_LENGTH] for name, value in params.items()}
        for part in _parts({name: value for name, value in now.items() if name not in self._params}):
            self._write(params=part)
        for part in _parts({name: value for name, value in now.items() if self._params[name] != value}):
            past = {name: self._tags.get(CHANGED + name, self._params[name]) for name in part}
            story = {CHANGED + name: f"{past[name]} -> {value}" for name, value in part.items()}
            self._write(changed=part, tags=story)
        self.tags(tags)

    def tags(self, values: Tags) -> None:
        for part in _parts({name: value for name, value in values.items() if self._tags.get(name) != value}):
            self._write(tags=part)

    def steps(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a training step; an attempt that repeats a step repeats its numbers, which are passed over."""
        for part in _parts(self._steps.new(values, step)):
            self._write(metrics=part, step=step)

    def logger(self, prefix: str) -> StepLogger:
        return StepLogger(self.steps, f"{prefix}/", self.directory)

    def metrics(self, values: Mapping[str, float]) -> None:
        for part in _parts(self._steps.changed(values)):
            self._write(metrics=part)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self._write(file=(str(path.absolute().relative_to(self.directory)), folder))  # which may move as a whole

    def close(self, state: str | None = None) -> None:
        """Write no more; with a state, the attempt has ended."""
        if state:
            self._write(end=state)
        self._file.close()

    def _write(self, **what: Any) -> None:
        with self._lock, named(self.folder / EVENTS):
            event = {"t": int(time.time() * 1000), **what}
            self._take(Event(**event))
            line = json.dumps(event, default=asdict, ensure_ascii=False)
            self._file.write(line.encode("utf-8", "replace") + b"\n")  # not every path is text
            self._file.flush()

    def _take(self, event: Event) -> None:
        """What an event changes for those to come."""
        if event.start:
            self.key, self.is_open = event.start.key, True
        self._params |= event.params | event.changed
        self._tags |= event.tags
        self._steps.take(event.metrics, event.step)
        if event.end:
            self.is_open = False


def latest_start(folder: Path) -> Start | None:
    """The latest `start` in a journal's folder; `None` where there is none."""
    starts = [event.start for _, event in events(folder) if event.start]
    return starts[-1] if starts else None


def events(folder: Path, offset: int = 0, *, mend: bool = False) -> Iterator[tuple[int, Event]]:
    """Events of a journal's folder, each with the byte where the next begins.

    A line that is no event, as after the loss of a file server, is left out.

    Args:
        folder: of the journal.
        offset: byte where to begin.
        mend: as of `whole_lines`.

    Raises:
        UserError: there is a link in place of the journal: it would be read, and mended, elsewhere.
    """
    path = folder / EVENTS
    for part in (folder, path):
        if part.is_symlink():
            raise UserError(f"{part} is a link, and a run keeps its journal in its own directory: remove the link.")
    for line in whole_lines(path, offset, mend=mend):
        offset += len(line)
        try:
            event = _EVENT.validate_json(line, strict=True)
        except ValidationError:
            _warn_of_damage(path)
            continue
        yield offset, event


@cache
def _warn_of_damage(path: Path) -> None:
    log.warning("%s has lines that are damaged or of another kind: they are left out.", path)


def _parts(values: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """As many entries at a time as an event holds."""
    names = list(values)
    for first in range(0, len(names), AT_ONCE):
        yield {name: values[name] for name in names[first : first + AT_ONCE]}
