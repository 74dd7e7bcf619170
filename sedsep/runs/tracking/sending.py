"""From the journal to the store: in the background of a job, or afterwards."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from sedsep.files import write_json
from sedsep.runs.tracking.journal import AT_ONCE, EVENTS, FOLDER, PARENT, SWEEP, Event, begun, events

if TYPE_CHECKING:
    from sedsep.runs.tracking.store import Store

log = logging.getLogger(__name__)

# Read by MLflow when it is asked; what the user has set wins. Its patience with a server that is away is minutes.
for _name, _value in (
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10"),
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
    ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
    ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
):
    os.environ.setdefault(_name, _value)

SENT = "sent.json"
POINTS_AT_ONCE = 800  # a request takes 1000 entries, of which params and tags may be 100 each
SECONDS_BETWEEN = 3.0
LONGEST_PAUSE = 30.0
LOCK_SECONDS = 30


@dataclass
class Sent:
    """How far a journal was sent.

    Attributes:
        uri, experiment: where to. run_id: `None` before the run was made. offset: bytes of the journal.
        files: still to be copied, with the folder of each.
    """

    uri: str
    experiment: str
    run_id: str | None = None
    offset: int = 0
    files: list[tuple[str, str | None]] = field(default_factory=list)


@dataclass
class Batch:
    """Events that go together: nothing comes before a start or after an end.

    Attributes:
        offset: byte of the journal after them. began, ended: times in Unix milliseconds. state: at the end.
        points: `(name, value, time, step)`.
    """

    offset: int = 0
    began: int | None = None
    points: list[tuple[str, float, int, int]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, str | None]] = field(default_factory=list)
    state: str | None = None
    ended: int = 0

    def takes(self, event: Event) -> bool:
        """Whether an event may join."""
        return self.offset == 0 or (
            "start" not in event
            and self.state is None
            and len(self.points) + len(event.get("metrics", ())) <= POINTS_AT_ONCE
            and len(self.params) + len(event.get("params", ())) <= AT_ONCE
            and len(self.tags) + len(event.get("tags", ())) <= AT_ONCE
        )

    def add(self, event: Event, offset: int) -> None:
        """Let an event join."""
        self.offset = offset
        if "start" in event:
            self.began = event["t"]
        self.points += [(name, value, event["t"], event["step"]) for name, value in event.get("metrics", {}).items()]
        self.params.update(event.get("params", {}))
        self.tags.update(event.get("tags", {}))
        if "file" in event:
            self.files.append(tuple(event["file"]))
        if "end" in event:
            self.state, self.ended = event["end"], event["t"]


class Sender:
    """Sends what a journal holds; after an error, or in another process, it goes on from where it was.

    Args:
        directory: of the job or the sweep; its journal has begun.

    Attributes:
        progress: grows with all that arrives. uri: of the store.
    """

    def __init__(self, directory: Path) -> None:
        self.progress = 0
        self._directory, self._folder = directory, directory / FOLDER
        self._store: Store | None = None
        self._checked = False
        start = begun(self._folder)
        assert start, f"{self._folder} has not begun"
        self._start = start
        self.uri: str = self._start["uri"]

    def pending(self) -> int:
        """Events and files that were not sent."""
        sent = self._load()
        return len(sent.files) + sum(1 for _ in events(self._folder, sent.offset))

    def send(self) -> None:
        """Send all that there is.

        Raises:
            Exception: of many kinds: the store is away, busy or refuses. Try again later.
        """
        with FileLock(self._folder / ".lock", timeout=LOCK_SECONDS):
            if not self.pending():
                return
            with (self._folder / EVENTS).open("rb") as file:
                os.fsync(file)  # a node that dies now must not leave a journal that knows less than the store
            sent, store = self._load(), self.open()
            if sent.run_id and not self._checked and not store.has(sent.run_id):
                sent = self._fresh()  # somebody deleted it, or the store: all is sent again
            self._checked = True
            for batch in _batches(self._folder, sent.offset):
                self._send(batch, sent, store)
            while sent.files:
                self._send_file(sent, store)

    def open(self) -> Store:
        """The store.

        Raises:
            Exception: as `send`.
        """
        if self._store is None:
            from sedsep.runs.tracking.store import Store  # brings MLflow along: seconds

            self._store = Store(self.uri, self._start["artifacts"], self._start["experiment"])
        return self._store

    def _send(self, batch: Batch, sent: Sent, store: Store) -> None:
        if sent.run_id is None:
            began = batch.began or int(time.time() * 1000)
            sent.run_id = store.run(self._start["key"], self._start["name"], began, self._family())
            self._save(sent)
        if batch.began:
            store.go_on(sent.run_id)
        store.log(sent.run_id, batch.points, batch.params, batch.tags)
        if batch.state:
            if self._start["sweep"] == self._start["key"]:
                store.adopt(sent.run_id, self._start["sweep"])
            store.end(sent.run_id, batch.state, batch.ended)
        sent.offset = batch.offset
        sent.files += batch.files
        self._save(sent)

    def _family(self) -> dict[str, str]:
        """The tags that say which sweep a run belongs to."""
        if self._start["sweep"] is None:
            return {}
        tags = {SWEEP: self._start["sweep"]}
        if self._start["sweep"] != self._start["key"]:
            parent = self._directory / self._start["sweep_dir"] / FOLDER / SENT
            with contextlib.suppress(OSError):  # not sent itself yet: it will adopt its jobs
                known = Sent(**json.loads(parent.read_text(encoding="utf-8")))
                if known.run_id and (known.uri, known.experiment) == (self.uri, self._start["experiment"]):
                    tags[PARENT] = known.run_id
        return tags

    def _send_file(self, sent: Sent, store: Store) -> None:
        name, folder = sent.files[0]
        path = self._directory / name
        if path.is_file():
            assert sent.run_id
            store.artifact(sent.run_id, path, folder)
        else:
            log.warning("%s is gone and was not copied to MLflow.", path)
        del sent.files[0]
        self._save(sent)

    def _fresh(self) -> Sent:
        return Sent(self.uri, self._start["experiment"])

    def _load(self) -> Sent:
        fresh = self._fresh()
        try:
            sent = Sent(**json.loads((self._folder / SENT).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return fresh
        return sent if (sent.uri, sent.experiment) == (fresh.uri, fresh.experiment) else fresh

    def _save(self, sent: Sent) -> None:
        write_json(self._folder / SENT, asdict(sent))
        self.progress += 1


class Courier:
    """Sends a journal while it grows, in a thread that nobody waits for.

    Args:
        directory: of the job or the sweep; its journal has begun.
    """

    def __init__(self, directory: Path) -> None:
        self._sender, self._directory = Sender(directory), directory
        self._closing, self._stopped = threading.Event(), threading.Event()
        self._delivered = False
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def close(self, patience_s: float) -> None:
        """Send the rest; say where it is kept when the store took nothing of it for so many seconds."""
        self._closing.set()
        progress, deadline = -1, 0.0
        while self._thread.is_alive():
            if self._sender.progress != progress:
                progress, deadline = self._sender.progress, time.monotonic() + patience_s
            if time.monotonic() > deadline:
                break
            self._thread.join(0.05)
        self._stopped.set()
        if not self._delivered:
            log.warning(
                "MLflow at %s did not take all that was logged: python run.py task=sync task.root=%s sends the rest.",
                self._sender.uri, self._directory,
            )  # fmt: skip

    def _work(self) -> None:
        away, pause = False, 0.0
        while not self._stopped.is_set():
            closing = self._closing.is_set()
            try:
                self._sender.send()
            except Exception as error:
                if not away:
                    log.warning(
                        "MLflow at %s takes nothing (%s): the job goes on, what it logs is kept and sent later.",
                        self._sender.uri, reason(error),
                    )  # fmt: skip
                away, pause = True, min(max(1.0, 2 * pause), LONGEST_PAUSE)
            else:
                if away:
                    log.info("MLflow at %s takes what is logged again.", self._sender.uri)
                away, pause = False, SECONDS_BETWEEN
                if closing:
                    self._delivered = True
                    return
            if closing:
                self._stopped.wait(1.0)
            else:
                self._closing.wait(pause)


def reason(error: BaseException) -> str:
    """A store's error in a few words."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "no answer" if text.startswith("API request to") else text[:200]


def _batches(folder: Path, offset: int) -> Iterator[Batch]:
    batch = Batch()
    for end, event in events(folder, offset):
        if not batch.takes(event):
            yield batch
            batch = Batch()
        batch.add(event, end)
    if batch.offset:
        yield batch
