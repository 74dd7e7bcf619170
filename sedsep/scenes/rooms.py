"""Room impulse responses in SOFA files: read one measurement at a time, and write new ones.

SOFA (AES69) is netCDF-4, which is HDF5; h5py reads a single measurement without touching the rest of the file.

Axes: P source positions, M microphones, N taps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from sedsep.files import whole
from sedsep.scenes.problems import FileError
from sedsep.types import Event, FloatArray

OPEN_FILES = 16
"""Files a process keeps open. Each holds at most `CHUNK_CACHE` bytes, so a worker stays below 128 MiB."""

CHUNK_CACHE = 8 * 2**20
"""Bytes of decompressed chunks kept per file: some writers put the whole room into one chunk, which would otherwise
be decompressed for every measurement read."""

NETCDF_FILL = 9.969209968386869e36
"""What netCDF stores where no number was written, when a file names no fill value of its own."""

SOFA = {
    "Conventions": "SOFA",
    "Version": "2.1",
    "SOFAConventions": "SingleRoomSRIR",
    "SOFAConventionsVersion": "1.0",
    "APIName": "h5py",
    "APIVersion": "",
    "AuthorContact": "none",
    "Organization": "none",
    "License": "No license provided, ask the author for permission",
    "DataType": "FIR",
    "DateCreated": "2025-01-01 00:00:00",
    "DateModified": "2025-01-01 00:00:00",
    "Title": "",
    "RoomType": "reverberant",
    "RoomDescription": "",
    "DatabaseName": "",
    "ListenerShortName": "array",
    "RoomShortName": "",
}
"""Attributes of the files written here, in their order; the date is fixed, for the same responses shall give the same
bytes."""


class Room:
    """The measured responses of one room.

    The object holds no open file, so it may be shared with forked or spawned workers.

    Args:
        path: SOFA file with `Data.IR` [P, M, N] and `SourcePosition` [P, 3].
        sample_rate: the rate the responses must have, Hz.
        channels: M, the number of microphones they must have.

    Attributes:
        positions: source positions as in the file, float64 [P, 3].
        taps: N.

    Raises:
        FileError: the file is missing, is no SOFA file, or has another rate, shape or channel count.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self.path = path

        def require(fits: bool, problem: str) -> None:
            if not fits:
                raise FileError(f"{path} {problem}.", path)

        with _open(path) as file:
            missing = [name for name in ("Data.IR", "Data.SamplingRate", "SourcePosition") if name not in file]
            require(not missing, f"is no SOFA room: it lacks {', '.join(missing)}; use SingleRoomSRIR files")
            rates = np.unique(file["Data.SamplingRate"][()])
            require(
                rates.tolist() == [sample_rate],
                f"is sampled at {', '.join(f'{rate:g}' for rate in rates)} Hz, not at {sample_rate} Hz: resample its "
                "responses",
            )
            stored = file["Data.IR"]
            require(
                len(stored.shape) == 3 and stored.shape[1] == channels and 0 not in stored.shape,
                f"holds responses of shape {list(stored.shape)}, expected [positions, {channels}, taps]: use a room "
                f"measured with {channels} microphones",
            )
            self.positions = np.asarray(file["SourcePosition"][()], np.float64)
            require(
                self.positions.shape == (len(stored), 3) and bool(np.isfinite(self.positions).all()),
                f"has source positions of shape {list(self.positions.shape)}, expected finite numbers of shape "
                f"[{len(stored)}, 3]: store one position for each response",
            )
            self.taps = int(stored.shape[2])
            # What netCDF readers take for no value: the variable's own fill values, or netCDF's when it names none;
            # rounded as the stored values were.
            attributes = ("_FillValue", "missing_value")
            fills = [value for name in attributes for value in np.atleast_1d(stored.attrs.get(name, []))]
            self._fills = np.asarray(fills or [NETCDF_FILL]).astype(stored.dtype).astype(np.float64).tolist()
        suspects = [float(np.finfo(np.float32).max), *self._fills]
        self._suspect = min(abs(value) for value in suspects if not math.isnan(value))

    def __len__(self) -> int:
        return len(self.positions)

    def nearest(self, position: Sequence[float]) -> int:
        """The index of the source position closest to `position` [3]; the lowest one among equals."""
        return int(np.square(self.positions - np.asarray(position, np.float64)).sum(axis=1).argmin())

    def response_of(self, event: Event) -> FloatArray:
        """The response an event is played through, float32 [M, N]: the one it names, else the nearest; raises what
        `response` does."""
        if event.position_index is not None:
            return self.response(event.position_index)
        assert event.position is not None
        return self.response(self.nearest(event.position))

    def response(self, index: int) -> FloatArray:
        """The response from source position `index`, float32 [M, N]; what the file masks is 0.

        Raises:
            FileError: the response cannot be read or holds NaN or infinite values.
        """
        again = f"at position {index}: fetch or prepare it again."
        try:
            response = _responses(self.path, os.getpid())[index]
        except (OSError, KeyError) as error:
            raise FileError(f"{self.path} is damaged {again}", self.path) from error
        # One look at the largest magnitude rules out masked, NaN and infinite values all at once.
        if not np.abs(response).max() < self._suspect:
            for fill in self._fills:
                response[np.isnan(response) if np.isnan(fill) else response == fill] = 0.0
            if not np.isfinite(response).all():
                raise FileError(f"{self.path} holds NaN or infinite values {again}", self.path)
        return response.astype(np.float32, copy=False)


@cache
def open_room(path: Path, sample_rate: int, channels: int) -> Room:
    """`Room(path, sample_rate, channels)`, indexed once in a process and in those forked from it."""
    return Room(path, sample_rate, channels)


@lru_cache(maxsize=OPEN_FILES)
def _responses(path: Path, _: int) -> h5py.Dataset:
    """The responses of a file that stays open while it is among the most recently used ones.

    A handle inherited through fork belongs to the parent: the process is part of the key. The variable is kept, not the
    file: HDF5 caches chunks with it.
    """
    return _open(path)["Data.IR"]


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileError(f"The room {path} {what}: check the data set's root and the scene's room.", path)
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE)
    except OSError as error:
        raise FileError(f"{path} is not a readable SOFA file: fetch or prepare it again.", path) from error


def write_sofa(
    path: Path,
    responses: NDArray[np.floating],
    positions: NDArray[np.floating],
    sample_rate: int,
    *,
    title: str,
    dtype: DTypeLike = np.float32,
    compressed: bool = True,
) -> None:
    """Write a room as a SOFA file of the convention SingleRoomSRIR 1.0.

    The file appears under its name only when complete, and equal arguments give equal bytes.

    Args:
        path: the file to write; its folder is created.
        responses: [P, M, N].
        positions: Cartesian source positions around the array at the origin, metres [P, 3].
        sample_rate: Hz.
        title: the room's name.
        dtype: the responses are stored with.
        compressed: whether the responses are compressed, each position for itself.
    """
    responses, positions = np.asarray(responses, dtype), np.asarray(positions, np.float64)
    p, m, n = responses.shape
    attributes = SOFA | {"APIVersion": h5py.__version__}
    attributes |= dict.fromkeys(("Title", "RoomDescription", "DatabaseName", "RoomShortName"), title)
    metres = {"Type": "cartesian", "Units": "metre"}
    ahead, up = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    # Name, dimensions, values and attributes, in SOFA's letters: M measurements (P here), R receivers (M here).
    variables: list[tuple[str, str, NDArray[np.floating], dict[str, str]]] = [
        ("ListenerPosition", "MC", np.zeros((p, 3)), metres),
        ("ListenerView", "IC", ahead, metres),
        ("ListenerUp", "IC", up, {}),
        ("ReceiverPosition", "RCI", np.zeros((m, 3, 1)), metres),
        ("SourcePosition", "MC", positions, metres),
        ("SourceView", "IC", ahead, metres),
        ("SourceUp", "IC", up, {}),
        ("EmitterPosition", "ECI", np.zeros((1, 3, 1)), metres),
        ("Data.SamplingRate", "I", np.array([float(sample_rate)]), {"Units": "hertz"}),
        ("Data.Delay", "IR", np.zeros((1, m)), {}),
        ("Data.IR", "MRN", responses, {}),
    ]
    # A chunk for each position: a scene reads single positions.
    storage = {"chunks": (1, m, n), "compression": "gzip", "shuffle": True} if compressed else {}
    with whole(path) as partial, h5py.File(partial, "w", track_order=True) as file:
        for name, value in attributes.items():
            file.attrs[name] = np.bytes_(value)
        for number, (name, size) in enumerate({"M": p, "R": m, "N": n, "E": 1, "I": 1, "C": 3}.items()):
            scale = file.create_dataset(name, (size,), ">f4")
            # The marker netCDF gives a dimension that is not a variable as well.
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
        for name, dimensions, values, own in variables:
            variable = file.create_dataset(name, data=values, **(storage if name == "Data.IR" else {}))
            for axis, letter in enumerate(dimensions):
                variable.dims[axis].attach_scale(file[letter])
            for key, value in own.items():
                variable.attrs[key] = np.bytes_(value)
    for cached in (open_room, _responses):  # this process may hold the file it replaces
        cached.cache_clear()
