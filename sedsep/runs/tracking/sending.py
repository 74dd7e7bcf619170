"""From the journal to the store: in the background of a job, or afterwards."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from filelock import FileLock
from pydantic import StringConstraints

from sedsep.errors import PROGRAM, UserError, printable
from sedsep.files import read_json, write_json
from sedsep.runs.tracking.journal import AT_ONCE, EVENTS, FOLDER, Count, Event, events, latest_start

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
FOLDER_NAME = re.compile(r"[\w-][\w. -]{0,99}")  # of a copy, in the store
NO_ANSWER = "no answer"  # for a reason
MOST = {"metrics": 800, "params": AT_ONCE, "tags": AT_ONCE}  # that a request takes: 1000 entries together
SECONDS_BETWEEN = 3.0
LONGEST_PAUSE = 30.0
LOCK_SECONDS = 30


@dataclass
class Sent:
    """How far a journal was sent.

    Attributes:
        uri: of the store.
        experiment: in the store.
        run_id: `None` before the run was made.
        offset: bytes of the journal.
        files: still to be copied, with the folder of each.
    """

    uri: str
    experiment: str
    run_id: Annotated[str, StringConstraints(pattern=r"^\w{1,64}$")] | None = None
    offset: Count = 0
    files: list[tuple[str, str | None]] = field(default_factory=list)


class Sender:
    """Sends what a journal holds; after an error, or in another process, it goes on from where it was.

    A journal says what is sent, not where to: that its reader says, who may have got it from somebody else.

    Args:
        directory: of the job or the sweep; its journal has begun.
        uri: of the store.
        artifacts: folder for files, with SQLite.

    Attributes:
        arrived: when the store took something last, by the monotonic clock.
        directory: as given.
        start: how the latest attempt began.
        uri: of the store.
    """

    def __init__(self, directory: Path, uri: str, artifacts: str) -> None:
        self.arrived = 0.0
        self.directory, self.uri, self._artifacts = directory, uri, artifacts
        self._folder = directory / FOLDER
        self._store: Store | None = None
        self._checked = False
        start = latest_start(self._folder)
        assert start, f"{self._folder} has not begun"
        self.start = start

    def pending(self) -> int:
        """Events and files that were not sent."""
        sent = self._sent()
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
            if self._store is None:
                from sedsep.runs.tracking.store import Store  # brings MLflow along: seconds

                self._store = Store(self.uri, self._artifacts, self.start.experiment)
            sent, store = self._sent(), self._store
            if sent.run_id and not self._checked and not store.has(sent.run_id, self.start.key):
                sent = Sent(sent.uri, sent.experiment)  # somebody deleted it, or the store: all is sent again
            self._checked = True
            for offset, batch in _batches(self._folder, sent.offset):
                self._send(batch, sent, store)
                sent.offset = offset
                sent.files += [event.file for event in batch if event.file]
                self._save(sent)
            while sent.files:
                self._send_file(sent, store)

    def _send(self, batch: list[Event], sent: Sent, store: Store) -> None:
        first, last, key, sweep = batch[0], batch[-1], self.start.key, self.start.sweep
        if sent.run_id is None:
            began = first.t if first.start else int(time.time() * 1000)
            sent.run_id = store.run(key, self.start.name, began, sweep)
            self._save(sent)
        if first.start:
            store.go_on(sent.run_id)
        points = [(name, value, event.t, event.step) for event in batch for name, value in event.metrics.items()]
        params = {name: value for event in batch for name, value in event.params.items()}
        tags = {name: value for event in batch for name, value in event.tags.items()}
        store.log(sent.run_id, points, params, tags)
        if last.end:
            if sweep == key:
                store.adopt(sent.run_id, sweep)
            store.end(sent.run_id, last.end, last.t)

    def _send_file(self, sent: Sent, store: Store) -> None:
        name, folder = sent.files[0]
        if path := self._own_file(name, folder):
            assert sent.run_id
            store.artifact(sent.run_id, path, folder)
        else:
            log.warning("%s is no file of %s, or gone: it was not copied to MLflow.", printable(name), self.directory)
        del sent.files[0]
        self._save(sent)

    def _own_file(self, name: str, folder: str | None) -> Path | None:
        """A file of the directory that is to be copied to a folder of the run; `None` for any other."""
        try:
            path, root = (self.directory / name).resolve(), self.directory.resolve()
            within = path.is_relative_to(root) and path.is_file()
        except (OSError, RuntimeError, ValueError):  # too long, links in a circle, no name
            return None
        named = folder is None or all(FOLDER_NAME.fullmatch(part) for part in folder.split("/"))
        return path if within and named else None

    def _sent(self) -> Sent:
        """How far the journal was sent to this store."""
        here, path = Sent(self.uri, self.start.experiment), self._folder / SENT
        if path.exists():
            try:
                sent = read_json(path, Sent, "all is sent once more")
            except UserError as error:
                log.warning("%s", error)
                return here
            if (sent.uri, sent.experiment) == (here.uri, here.experiment):
                return sent
        return here

    def _save(self, sent: Sent) -> None:
        write_json(self._folder / SENT, asdict(sent))
        self.arrived = time.monotonic()


def _batches(folder: Path, offset: int) -> Iterator[tuple[int, list[Event]]]:
    """Events that go together, with the byte of the journal after them: nothing before a start or after an end."""
    batch: list[Event] = []
    sizes: Counter[str] = Counter()
    for after, event in events(folder, offset):
        size = Counter({kind: len(getattr(event, kind)) for kind in MOST})
        full = any(sizes[kind] + size[kind] > most for kind, most in MOST.items())
        if batch and (full or event.start or batch[-1].end):
            yield offset, batch
            batch, sizes = [], Counter()
        batch.append(event)
        sizes += size
        offset = after
    if batch:
        yield offset, batch


class Courier:
    """Sends a journal while it grows, in a thread that nobody waits for.

    Args:
        sender: of the journal.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._closing, self._stopped = threading.Event(), threading.Event()
        self._delivered = False
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def close(self, patience_s: float) -> None:
        """Send the rest; say where it is kept when the store took nothing of it for so many seconds."""
        self._closing.set()
        closed = time.monotonic()
        while self._thread.is_alive() and time.monotonic() < max(closed, self._sender.arrived) + patience_s:
            self._thread.join(0.05)
        self._stopped.set()
        if not self._delivered:
            log.warning(
                "MLflow at %s did not take all that was logged: %s task=sync task.root=%s sends the rest.",
                self._sender.uri, PROGRAM, self._sender.directory,
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
    if isinstance(error.__context__, OSError):  # of the network, which MLflow wraps in its own
        return NO_ANSWER
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
