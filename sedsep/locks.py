"""One writer at a time, across processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sedsep.errors import UserError

log = logging.getLogger(__name__)


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
