"""One writer at a time, across processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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
