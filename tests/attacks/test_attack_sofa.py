"""Rooms that mean no good: each is refused in one sentence that names file and entry, or read exactly as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from harness import assert_refuses, assert_sentence

from sedsep.errors import UserError
from sedsep.scenes.rooms import Room, write_sofa

pytestmark = pytest.mark.slow

RATE, SHAPE = 16000, (3, 4, 100)
IR, RATES, POSITIONS = ENTRIES = ("Data.IR", "Data.SamplingRate", "SourcePosition")
RESPONSES = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
PLACES = np.random.default_rng(1).standard_normal((3, 3))

Damage = Callable[[h5py.File], object]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    write_sofa(tmp_path / "room.sofa", RESPONSES, PLACES, RATE, title="room")
    write_sofa(tmp_path / "other.sofa", RESPONSES, PLACES, RATE, title="other")
    return tmp_path / "room.sofa"


def everything(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All that is read of a room."""
    room = Room(path, RATE, 4)
    return np.stack([room.response(index) for index in range(len(room))]), room.positions


def put(name: str, value: object, **options: object) -> Damage:
    """Another value for an entry."""

    def damage(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=value, **options)

    return damage


def shape(name: str, of: tuple[int, ...], **options: object) -> Damage:
    """An entry that claims a shape and holds nothing."""

    def damage(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, of, "f8", **options)

    return damage


def link(name: str, to: object) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[name]
        file[name] = to

    return damage


def group(name: str) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)["value"] = 1.0

    return damage


def a_type(name: str) -> Damage:
    def damage(file: h5py.File) -> None:
        del file[name]
        file[name] = np.dtype("f8")

    return damage


def virtual(name: str, source: str) -> Damage:
    def damage(file: h5py.File) -> None:
        of = file[name].shape
        del file[name]
        layout = h5py.VirtualLayout(of, "f4")
        layout[...] = h5py.VirtualSource(source, name, of)
        file.create_virtual_dataset(name, layout)

    return damage


def external(name: str, source: str) -> Damage:
    def damage(file: h5py.File) -> None:
        of = file[name].shape
        del file[name]
        file.create_dataset(name, of, "f4", external=[(source, 0, h5py.h5f.UNLIMITED)])

    return damage


def value(number: float, dtype: str = "f4", position: int = 1) -> Damage:
    """One number among the responses."""
    responses = RESPONSES.astype(dtype)
    responses[position, 2, 7] = number
    return put(IR, responses)


def attribute(name: str, key: str, content: object) -> Damage:
    return lambda file: file[name].attrs.__setitem__(key, content)


def zeros(file: h5py.File) -> None:
    file[IR][1] = 0.0


def lost_chunk(file: h5py.File) -> None:
    del file[IR]
    file.create_dataset(IR, SHAPE, "f4", chunks=(1, 4, 100))[0] = RESPONSES[0]


def filled(file: h5py.File) -> None:
    file[IR].attrs["_FillValue"] = np.float32(-9)
    file[IR][2] = -9


COMPOUND = np.zeros(3, [("x", "f8"), ("y", "f8")])
DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    **{f"{name} missing": (lambda file, name=name: file.__delitem__(name), (f"lacks {name}",)) for name in ENTRIES},
    **{f"{name} a group": (group(name), (f"hold {name} itself",)) for name in ENTRIES},
    **{f"{name} a type": (a_type(name), (f"hold {name} itself",)) for name in ENTRIES},
    **{f"{name} text": (put(name, "text"), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} texts": (put(name, [b"a", b"b", b"c"]), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} records": (put(name, COMPOUND), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} complex": (put(name, np.ones(3, complex)), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} truths": (put(name, np.ones(3, bool)), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} empty": (put(name, h5py.Empty("f8")), (f"holds {name} as", "numbers")) for name in ENTRIES},
    **{f"{name} a loop": (link(name, h5py.SoftLink(f"/{name}")), (f"hold {name} itself",)) for name in ENTRIES},
    **{f"{name} a lost link": (link(name, h5py.SoftLink("/no")), (f"hold {name} itself",)) for name in ENTRIES},
    **{
        f"{name} in another file": (link(name, h5py.ExternalLink("other.sofa", name)), (f"hold {name} itself",))
        for name in ENTRIES
    },
    **{
        f"{name} in a lost file": (link(name, h5py.ExternalLink("/no.sofa", name)), (f"hold {name} itself",))
        for name in ENTRIES
    },
    **{f"{name} virtual": (virtual(name, "other.sofa"), (f"hold {name} itself",)) for name in ENTRIES},
    **{f"{name} raw elsewhere": (external(name, "/etc/passwd"), (f"hold {name} itself",)) for name in ENTRIES},
    "rates beyond the file": (shape(RATES, (10**12,), chunks=(10**4,)), ("claims", RATES)),
    "responses beyond the file": (shape(IR, (10**9, 4, 10**5), chunks=(1, 4, 100)), ("claims", IR)),
    "responses never written": (shape(IR, (3, 4, 100)), ("claims", IR)),
    "a chunk beyond the file": (shape(IR, (1, 4, 100), chunks=(1, 4, 10**8), maxshape=(1, 4, None)), ("claims", IR)),
    "positions beyond the file": (shape(POSITIONS, (3, 10**11)), ("claims", POSITIONS)),
    "more axes": (put(IR, RESPONSES[None]), ("responses of shape", "[1, 3, 4, 100]")),
    "axes swapped": (put(IR, RESPONSES.transpose(0, 2, 1)), ("responses of shape", "[3, 100, 4]")),
    "a number for responses": (put(IR, 1.0), ("responses of shape", "[]")),
    "no positions": (put(IR, RESPONSES[:0]), ("responses of shape", "[0, 4, 100]")),
    "no taps": (put(IR, RESPONSES[:, :, :0]), ("responses of shape", "[3, 4, 0]")),
    "whole numbers": (put(IR, np.ones(SHAPE, "i4")), ("whole numbers", "int32")),
    "largest negative number": (put(IR, np.full(SHAPE, -(2**63))), ("whole numbers", "int64")),
    "fewer positions": (put(POSITIONS, PLACES[:2]), ("source positions of shape", "[2, 3]")),
    "flat positions": (put(POSITIONS, PLACES[:, :2]), ("source positions of shape", "[3, 2]")),
    "infinite position": (put(POSITIONS, np.full((3, 3), np.inf)), ("source positions", "no places")),
    "NaN position": (put(POSITIONS, np.full((3, 3), np.nan)), ("source positions", "no places")),
    "position beyond squares": (put(POSITIONS, np.full((3, 3), 1e300)), ("source positions", "no places")),
    "two rates": (put(RATES, [16000.0, 32000.0]), ("is sampled at 16000, 32000 Hz",)),
    "no rate": (put(RATES, np.zeros(0)), ("is sampled at no Hz",)),
    "NaN rate": (put(RATES, np.nan), ("is sampled at nan Hz",)),
    "negative rate": (put(RATES, -16000.0), ("is sampled at -16000 Hz",)),
    "a thousand rates": (put(RATES, np.arange(1000.0)), ("is sampled at 0, 1, 2 Hz",)),
    "other unit": (attribute(RATES, "Units", np.bytes_("kilohertz")), ("in kilohertz", "expected hertz")),
    "number for a unit": (attribute(RATES, "Units", 7), ("in 7", "expected hertz")),
    "long unit": (attribute(RATES, "Units", "x\n" * 999), ("expected hertz",)),
    "units": (attribute(RATES, "Units", np.arange(500.0)), ("expected hertz",)),
    "text for a fill value": (attribute(IR, "_FillValue", "nothing"), ("the fill values of Data.IR",)),
    "records for a fill value": (attribute(IR, "missing_value", COMPOUND), ("the fill values of Data.IR",)),
    "NaN": (value(np.nan), ("magnitude of nan in Data.IR, position 1",)),
    "infinite": (value(np.inf, position=2), ("magnitude of inf in Data.IR, position 2",)),
    "negative infinite": (value(-np.inf), ("magnitude of inf in Data.IR, position 1",)),
    "beyond float32": (value(1e300, "f8"), ("magnitude of 1e+300 in Data.IR, position 1",)),
    "negative beyond float32": (value(-1e39, "f8"), ("magnitude of 1e+39 in Data.IR, position 1",)),
    "beyond squares": (value(1e30), ("magnitude of 1e+30 in Data.IR, position 1",)),
    "silent": (zeros, ("nothing but zeros in Data.IR, position 1",)),
    "lost chunk": (lost_chunk, ("nothing but zeros in Data.IR, position 1",)),
    "nothing but masked": (filled, ("nothing but zeros in Data.IR, position 2",)),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_room_that_is_none_is_refused(room: Path, damage: Damage, words: tuple[str, ...]) -> None:
    with h5py.File(room, "r+") as file:
        damage(file)
    assert_refuses(lambda: everything(room), str(room), *words)


BYTES: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut off at {part}/16": lambda content, part=part: content[: len(content) * part // 16] for part in range(16)},
    "last byte lost": lambda content: content[:-1],
    "text": lambda _: b"a room\n",
    "signature alone": lambda content: content[:8],
    "other superblock": lambda content: content[:8] + b"\xff" + content[9:],
    "shifted": lambda content: b"\0" + content,
}


@pytest.mark.parametrize("change", BYTES.values(), ids=BYTES.keys())
def test_a_file_that_is_no_hdf5_is_refused(room: Path, change: Callable[[bytes], bytes]) -> None:
    room.write_bytes(change(room.read_bytes()))
    assert_refuses(lambda: everything(room), str(room), "is not a readable SOFA file")


def flipped(content: bytes, seed: int, spared: range) -> bytes:
    """One bit, eight bytes or a run of ones, but not in the stored positions, which have no checksum."""
    draw, changed = random.Random(seed), bytearray(content)
    for _ in range(8 if seed % 3 == 1 else 1):
        place = draw.choice([index for index in range(len(content) - 8) if index not in spared])
        changed[place] ^= 1 << draw.randrange(8)
        if seed % 3 == 2:
            changed[place : place + 8] = b"\xff" * 8
    return bytes(changed)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_are_noticed_or_do_not_matter(room: Path, seed: int) -> None:
    with h5py.File(room) as file:
        start = file[POSITIONS].id.get_offset()
    room.write_bytes(flipped(room.read_bytes(), seed, range(start - 8, start + PLACES.nbytes)))
    try:
        responses, places = everything(room)
    except UserError as error:
        assert_sentence(str(error), [str(room)])
    else:
        np.testing.assert_array_equal(responses, RESPONSES)
        np.testing.assert_array_equal(places, PLACES)


GOOD: dict[str, Damage] = {
    "extended": lambda file: None,
    "whole numbers for a rate": put(RATES, np.array([RATE])),
    "a single rate": put(RATES, float(RATE)),
    "a rate for each position": put(RATES, np.full(3, RATE, "f4")),
    "short unit": attribute(RATES, "Units", "Hz"),
    "no unit": lambda file: file[RATES].attrs.__delitem__("Units"),
    "doubles": put(IR, RESPONSES.astype("f8")),
    "other byte order": put(IR, RESPONSES.astype(">f4")),
    "one chunk": put(IR, RESPONSES, chunks=SHAPE, compression="gzip", compression_opts=9),
    "chunks of taps": put(IR, RESPONSES, chunks=(2, 1, 7), compression="lzf", fletcher32=True),
    "more entries": lambda file: file.create_group("GLOBAL").create_dataset("loop", data=b"text"),
    "a loop beside": lambda file: file.__setitem__("self", h5py.SoftLink("/self")),
    "a lost file beside": lambda file: file.__setitem__("gone", h5py.ExternalLink("/no.sofa", "/")),
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD.keys())
def test_a_room_stored_in_another_way_is_read_exactly(room: Path, change: Damage) -> None:
    with h5py.File(room, "r+") as file:
        change(file)
    with room.open("ab") as file:
        file.write(b"\0" * 100)
    responses, places = everything(room)
    np.testing.assert_array_equal(responses, RESPONSES)
    np.testing.assert_array_equal(places, PLACES)
