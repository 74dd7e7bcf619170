"""Tables of numbers in HDF5 files from anywhere: one sentence on what cannot be read, and no other file is opened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from sedsep.scenes.problems import FileError

CHUNK_CACHE = 8 * 2**20
"""Bytes of decompressed chunks kept per file: some writers put the whole room into one chunk, which would otherwise
be decompressed for every measurement read."""

DEFLATE = 1032
"""Bytes unpacked for one stored, at most."""


def open_file(path: Path) -> h5py.File:
    """A room's file, open for reading.

    Raises:
        FileError: it is missing or damaged.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileError(f"The room {path} {what}: check the data set's root and the scene's room.", path)
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"{path} is not a readable SOFA file: fetch or prepare it again.", path) from error


@contextmanager
def reading(path: Path, entry: str) -> Iterator[None]:
    """Raise a `FileError` that names an entry of a file for whatever goes wrong while it is read."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:  # what is damaged, h5py says in errors of any kind, and numpy of what it then gets
        raise FileError(f"{path} is damaged at {entry}: fetch or prepare it again.", path) from error


def numbers(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """An entry of a file, of which nothing is read yet.

    Args:
        path: of the file.
        file: open.
        name: of the entry.

    Raises:
        FileError: it is missing, is no table of numbers, lies in another file, or is larger than this one can hold.
    """
    with reading(path, name):
        if not file.id.links.exists(name.encode()):
            raise FileError(f"{path} is no SOFA room: it lacks {name}; use SingleRoomSRIR files.", path)
        own = file.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD
        entry = file[name] if own else None
        if not isinstance(entry, h5py.Dataset) or entry.is_virtual or entry.external:
            raise FileError(
                f"{path} does not hold {name} itself, as a table: links, groups and data in other files are not "
                "read; prepare it again.",
                path,
            )
        if entry.shape is None or entry.dtype.kind not in "fiu":
            raise FileError(
                f"{path} holds {name} as {entry.dtype}, expected a table of numbers: prepare it again.", path
            )
        # A chunk is unpacked as a whole, however little of it is wanted.
        size = max(math.prod(entry.shape), math.prod(entry.chunks or entry.shape)) * entry.dtype.itemsize
        if size > DEFLATE * min(entry.id.get_storage_size(), path.stat().st_size):
            raise FileError(
                f"{path} claims {size / 1e6:.1f} MB for {name}, shape {list(entry.shape)}, more than its "
                f"{path.stat().st_size / 1e6:.3f} MB can hold: fetch or prepare it again.",
                path,
            )
        return entry
