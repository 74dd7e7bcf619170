"""Files that are whole at any moment, whoever is killed while writing them, and locks across processes."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sedsep.errors import UserError

log = logging.getLogger(__name__)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside `path`, whose folder is made, for what then replaces it; after an error nothing of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Replace a text file as a whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file as a whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Replace a CSV file as a whole or not at all; of no rows there is no file.

    Args:
        path: of the file.
        rows: by column; the first one's columns are the header.
    """
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same `path` waiting; its folder must exist.

    The lock is the hidden file `.<name>.lock` beside it, which stays.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Waiting for another process that is writing %s.", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def sole_user(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file, which stays.

    Raises:
        UserError: another process holds it; `refusal` is what it says.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=1)  # who asks whether it is held holds it for a moment
    except Timeout as error:
        raise UserError(refusal) from error
    try:
        yield
    finally:
        held.release()


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock file; where that cannot be found out, it may."""
    tried = FileLock(lock)
    try:
        tried.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    tried.release()
    return False


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their `a.b.c` names."""
    if not isinstance(node, dict):
        return {prefix: node}
    names = {f"{prefix}.{key}" if prefix else str(key): value for key, value in node.items()}
    return {name: leaf for key, value in names.items() for name, leaf in flat(value, key).items()}
