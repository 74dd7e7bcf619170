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
from sedsep.scenes import audio, hdf5
from sedsep.scenes.problems import FileError
from sedsep.types import Event, FloatArray

OPEN_FILES = 16
"""Files a process keeps open. Each holds at most `hdf5.CHUNK_CACHE` bytes, so a worker stays below 128 MiB."""

NETCDF_FILL = 9.969209968386869e36
"""What netCDF stores where no number was written, when a file names no fill value of its own."""

LOUDEST = 1e6
"""Values of responses lie below: they are about 1, and squares of such sums still have room in float32."""

FARTHEST = 1e6
"""Coordinates of positions, in metres or degrees, go no further."""

HERTZ = ("hertz", "hz")
COORDINATES = ("cartesian", "spherical")
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000
"""Of stored responses, Hz."""

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
        sample_rate: Hz; responses of another rate are resampled.
        channels: M, the number of microphones they must have.

    Attributes:
        positions: Cartesian source positions in the file's unit, float64 [P, 3].
        is_spherical: whether the file gives them as angles and distance.
        stored_rate: of the file's responses, Hz.
        taps: N, once resampled.

    Raises:
        FileError: the file is missing, is no SOFA file, or has another shape or channel count.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int) -> None:
        self.path = path

        def require(fits: bool, problem: str) -> None:
            if not fits:
                raise FileError(f"{path} {problem}.", path)

        with hdf5.open_file(path) as file:
            rates, unit = _rates(path, hdf5.numbers(path, file, "Data.SamplingRate"))
            require(
                len(rates) == 1 and LOWEST_RATE <= rates[0] <= HIGHEST_RATE and float(rates[0]).is_integer(),
                f"is sampled at {', '.join(f'{rate:g}' for rate in rates[:3]) or 'no'} Hz, expected one whole number "
                f"from {LOWEST_RATE} to {HIGHEST_RATE}: prepare it again",
            )
            self.sample_rate, self.stored_rate = sample_rate, int(rates[0])
            require(unit in HERTZ, f"gives Data.SamplingRate in {unit}, expected hertz: prepare it again")
            stored = hdf5.numbers(path, file, "Data.IR")
            require(
                len(stored.shape) == 3 and stored.shape[1] == channels and 0 not in stored.shape,
                f"holds responses of shape {list(stored.shape)}, expected [positions, {channels}, taps]: use a room "
                f"measured with {channels} microphones",
            )
            require(
                stored.dtype.kind == "f",
                f"holds responses as whole numbers ({stored.dtype}), expected floating-point ones: prepare it again",
            )
            positions = hdf5.numbers(path, file, "SourcePosition")
            require(
                positions.shape == (len(stored), 3),
                f"has source positions of shape {list(positions.shape)}, expected finite numbers of shape "
                f"[{len(stored)}, 3]: store one position for each response",
            )
            with hdf5.reading(path, "SourcePosition"):
                self.positions = np.asarray(positions[()], np.float64)
                kind = _words(positions.attrs.get("Type", COORDINATES[0]))
            require(
                kind in COORDINATES,
                f"gives SourcePosition as {kind}, expected {' or '.join(COORDINATES)}: prepare it again",
            )
            require(
                bool((np.abs(self.positions) <= FARTHEST).all()),
                f"has source positions that are no places, expected finite numbers up to {FARTHEST:g}: prepare it "
                "again",
            )
            self.is_spherical = kind == COORDINATES[1]
            if self.is_spherical:
                self.positions = _cartesian(self.positions)
            self.taps = math.ceil(stored.shape[2] * sample_rate / self.stored_rate)
            with hdf5.reading(path, "the fill values of Data.IR"), np.errstate(over="ignore"):
                # What netCDF readers take for no value: the variable's own fill values, or netCDF's when it names none;
                # rounded as the stored values were.
                own = [stored.attrs[name] for name in ("_FillValue", "missing_value") if name in stored.attrs]
                fills = np.concatenate([np.ravel(value) for value in own or [NETCDF_FILL]])
                self._fills = fills.astype(stored.dtype).astype(np.float64).tolist()
        self._suspect = min([LOUDEST, *(abs(value) for value in self._fills if not math.isnan(value))])

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
            FileError: the response cannot be read, or holds NaN, infinite or absurdly large values,
                or nothing but zeros.
        """
        with hdf5.reading(self.path, f"Data.IR, position {index}"):
            stored = _responses(self.path, os.getpid())[index]
        with np.errstate(over="ignore"):
            response: FloatArray = stored.astype(np.float32, copy=False)
        # One look at the largest magnitude rules out masked, NaN, infinite, huge and missing values all at once.
        if not 0 < max(response.max(), -response.min()) < self._suspect:
            for fill in self._fills:
                stored[np.isnan(stored) if np.isnan(fill) else stored == fill] = 0.0
            largest = np.abs(stored).max()
            if not 0 < largest < LOUDEST:
                what = f"a magnitude of {largest:g}" if largest else "nothing but zeros"
                raise FileError(
                    f"{self.path} holds {what} in Data.IR, position {index}, expected finite numbers below "
                    f"{LOUDEST:g}: fetch or prepare it again.",
                    self.path,
                )
            response = stored.astype(np.float32, copy=False)
        return audio.resample(response.T, self.stored_rate, self.sample_rate).T


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
    return hdf5.numbers(path, hdf5.open_file(path), "Data.IR")


def _rates(path: Path, entry: h5py.Dataset) -> tuple[list[float], str]:
    """The different rates that a file gives, and their unit."""
    with hdf5.reading(path, "Data.SamplingRate"):
        return np.unique(entry[()]).tolist(), _words(entry.attrs.get("Units", HERTZ[0]))


def _words(attribute: object) -> str:
    """A text attribute, for comparing and for people."""
    text = attribute.decode(errors="replace") if isinstance(attribute, bytes) else str(attribute)
    return " ".join(text.strip("\0").lower().split())[:40]


def _cartesian(spherical: NDArray[np.float64]) -> NDArray[np.float64]:
    """Azimuth and elevation in degrees and distance [P, 3], as x, y, z."""
    azimuth, elevation, distance = *np.radians(spherical[:, :2].T), spherical[:, 2]
    level = distance * np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), distance * np.sin(elevation)], axis=1)


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
