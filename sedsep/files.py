"""Files that are whole at any moment, whoever is killed while writing them, JSON that is read, and locks of files."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from sedsep.errors import UserError, causes, printable, reason

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_START = 120
"""Bytes of a name that what is not finished keeps: with the rest of it, it must not be too long for a file's."""
LARGEST_JSON = 2**28
"""Bytes that a JSON file may have: the index of a million scenes has fewer."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """The system's errors name the file: of what cannot be written to an open one, they say no name."""
    try:
        yield
    except Exception as error:
        for link in causes(error):
            if (
                isinstance(link, OSError)
                and link.errno
                and (link.filename is None or str(link.filename).endswith(".partial"))
            ):
                link.filename = str(path)
        raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside `path`, whose folder is made, for what then replaces it; after an error nothing of it is left.

    It lies on the disk before it gets its name: a machine that loses its power has the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        with named(path):
            yield partial
            _sync(partial)
            partial.replace(path)
        with suppress(OSError):  # not every file system knows it of folders
            _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Where this process makes what will be at `path`."""
    name = os.fsdecode(os.fsencode(path.name)[:LONGEST_START])
    return path.with_name(f".{name}.{platform.node()}.{os.getpid()}.partial")


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more left half-written in a folder."""
    for path in folder.glob(".*.partial"):
        owner = re.search(rf"\.{re.escape(platform.node())}\.(\d{{1,9}})\.partial$", path.name)
        if owner is None or _lives(int(owner[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Replace a text file as a whole or not at all."""
    with whole(path) as partial:
        # In JSON, the escape of what no UTF-8 can say stands for the same.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file as a whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, kind: type[T], advice: str) -> T:
    """What a JSON file holds: the one door for JSON that lies on a disk, whoever wrote it.

    Args:
        path: of the file.
        kind: what it must hold, `dict[str, float]` or a dataclass for instance; fields that a dataclass does not know
            are left out; `object` is anything.
        advice: ends the sentence of an error: what to do.

    Raises:
        UserError: the file is missing, no file, too large, cut off, no JSON, or holds something else.
    """
    try:
        if not path.is_file():
            problem = "is no file" if path.exists() else "does not exist"
        elif path.stat().st_size > LARGEST_JSON:
            problem = f"has {path.stat().st_size} bytes, which no file of its kind has"
        else:
            return parsed_json(path.read_bytes(), kind)
    except OSError as error:
        problem = f"cannot be read ({reason(error)})"
    except ValueError as error:
        problem = f"is damaged or holds something else ({error})"
    raise UserError(f"{path} {problem}: {advice}.")


def parsed_json(text: bytes | str, kind: type[T]) -> T:
    """What a JSON text holds: its numbers are finite and have 64 bits, its nesting has an end.

    Args:
        text: in UTF-8.
        kind: as for `read_json`.

    Raises:
        ValueError: it is no such JSON; says in a few words what is wrong.
    """
    try:
        content = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type] # types have a hash
        # What pydantic lets pass.
        json.loads(text, object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite, parse_int=_integer)
        return content
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place, value = ".".join(str(part) for part in first["loc"]), first["input"]
        found = f", not {printable(repr(value), 50)}" if place and isinstance(value, str | int | float | None) else ""
        raise ValueError(printable(": ".join(filter(None, (place, first["msg"] + found))))) from None
    except UnicodeDecodeError:
        raise ValueError("not in UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(printable(str(error))) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError(f"{printable(repr([key for key, _ in pairs]), 100)} names a key twice")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{printable(text, 30)} is no finite number")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{printable(text, 30)} is too large a number")
    return int(text)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


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
        UserError: another process holds it; `refusal` is what it says. Or it is no lock.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=1)  # who asks whether it is held holds it for a moment
    except Timeout as error:
        raise UserError(refusal) from error
    except OSError as error:  # a link, for one
        raise UserError(
            f"{lock} cannot be locked ({reason(error)}): remove it, or choose another directory."
        ) from error
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


def leads_outside(name: str) -> bool:
    """Whether the path `name` of an archive leads out of the folder it is unpacked to, on any system."""
    return any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))
