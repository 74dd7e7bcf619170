"""Archives that mean no good: refused in one sentence that names them, with nothing written outside of the folder, or
unpacked to exactly what they held."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import assert_refuses, assert_sentence

from sedsep.datasets.challenge.archives import open_archive, unpack_split
from sedsep.errors import UserError

pytestmark = pytest.mark.slow

FILES = {"set/a.wav": np.random.default_rng(0).bytes(20_000), "set/b/c.wav": bytes(3000), "set/empty": b""}
ZERO = zipfile.ZipInfo().date_time


def zipped(entries: list[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name, ZERO), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def tarred(*more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in FILES.items():
            archive.addfile(member(name, len(data)), io.BytesIO(data))
        for info, data in more:
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


WHOLE = list(FILES.items())
ZIP = zipped(WHOLE)


def flagged(content: bytes, flag: int = 0, method: int | None = None) -> bytes:
    """A zip archive with another flag or method in all its headers."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            old = struct.unpack_from("<H", content, place + offset)[0]
            struct.pack_into("<H", changed, place + offset, old | flag)
            if method is not None:
                struct.pack_into("<H", changed, place + offset + 2, method)
            place = content.find(signature, place + 4)
    return bytes(changed)


def claimed(content: bytes, size: int) -> bytes:
    """A zip archive whose first file claims another size."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, content.find(b"PK\x03\x04") + 22, size)
    struct.pack_into("<I", changed, content.find(b"PK\x01\x02") + 24, size)
    return bytes(changed)


def changed(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


OUTSIDE = ("../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil", "C:evil", "\\\\server\\evil")
ZIPS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    **{f"outside: {name}": (zipped([*WHOLE, (name, b"evil")]), ("outside its folder",)) for name in OUTSIDE},
    "a terminal's command": (zipped([("../\x1b[2Jevil", b"")]), ("outside its folder",)),
    "the same file twice": (zipped([*WHOLE, ("set/a.wav", b"other")]), ("twice",)),
    "the same file by another path": (zipped([*WHOLE, ("set/./a.wav", b"other")]), ("twice",)),
    "bomb": (zipped([("set/bomb.wav", bytes(50_000_000))]), ("unpacks to more than 100 times",)),
    "bomb of many": (zipped([(f"set/{n}.wav", bytes(1_000_000)) for n in range(30)]), ("more than 100 times",)),
    "encrypted": (flagged(ZIP, 1), ("cannot be unpacked",)),
    "unknown method": (flagged(ZIP, 0, 77), ("cannot be unpacked",)),
    "claims more": (claimed(ZIP, 21_000), ("cannot be unpacked",)),
    "damaged data": (changed(ZIP, 5000), ("cannot be unpacked",)),
    "damaged header": (changed(ZIP, 0), ("cannot be unpacked",)),
    "text": (b"no archive", ("cannot be unpacked",)),
    "empty": (b"", ("cannot be unpacked",)),
    **{
        f"cut off at {part}/8": (ZIP[: len(ZIP) * part // 8], ("cannot be unpacked",)) for part in range(1, 8)
    },
    "a name too long": (zipped([("set/" + "x" * 5000, b"")]), ()),
}  # fmt: skip


def everything(path: Path) -> dict[str, bytes]:
    with open_archive(path) as archive:
        return {name: archive.read(name) for name in archive.sizes}


def outside(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"x.zip", "x.tar", "out"}


@pytest.mark.parametrize(("content", "words"), ZIPS.values(), ids=ZIPS.keys())
def test_a_zip_archive_that_means_no_good_is_not_unpacked(
    tmp_path: Path, content: bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    if words:
        assert_refuses(lambda: unpack_split([path], tmp_path / "out"), str(path), *words)
    else:  # of the system
        with pytest.raises(OSError, match="File name too long"):
            unpack_split([path], tmp_path / "out")
    assert not outside(tmp_path)
    assert not list(tmp_path.rglob("*partial*"))
    for left in (tmp_path / "out").rglob("*.wav"):
        name = left.relative_to(tmp_path / "out").as_posix()
        assert name.startswith("set/") and left.stat().st_size <= 10_000_000
    if words != ("cannot be unpacked",):
        if words:
            assert_refuses(lambda: everything(path), str(path), *words)
        return
    try:
        found = everything(path)
    except UserError as error:
        assert_sentence(str(error), [str(path)])
    else:  # what only the other way of reading looks at
        assert found == FILES


TARS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    **{f"outside: {name}": (tarred((member(name, 4), b"evil")), ("outside its folder",)) for name in OUTSIDE},
    **{f"cut off at {part}/8": (tarred()[: 26_000 * part // 8], ("cannot be unpacked",)) for part in range(1, 8)},
    "text": (b"no archive", ("cannot be unpacked",)),
    "empty": (b"", ("cannot be unpacked",)),
    "a negative size": (
        tarred()[:25_088] + member("set/n", -512).tobuf(tarfile.GNU_FORMAT) + bytes(10_240),
        ("negative size",),
    ),
    "beyond the archive": (
        tarred()[:25_088] + member("set/huge", 2**40).tobuf(tarfile.GNU_FORMAT),
        ("cannot be unpacked",),
    ),
}


@pytest.mark.parametrize(("content", "words"), TARS.values(), ids=TARS.keys())
def test_a_tar_archive_that_means_no_good_is_not_read(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    try:
        found = everything(path)
    except UserError as error:
        assert_sentence(str(error), [str(path)])
        return
    # What is cut off between two files is whole to tarfile; what is read of it is right.
    assert words == ("cannot be unpacked",) and len(content) < len(tarred())
    assert all(FILES[name] == data for name, data in found.items())


NO_FILES: dict[str, tarfile.TarInfo] = {
    "device": member("set/null", kind=tarfile.CHRTYPE),
    "block device": member("set/disk", kind=tarfile.BLKTYPE),
    "pipe": member("set/pipe", kind=tarfile.FIFOTYPE),
    "link out": member("set/link", kind=tarfile.SYMTYPE, link="../../etc/passwd"),
    "absolute link": member("set/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link out": member("set/link", kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "link to itself": member("set/link", kind=tarfile.SYMTYPE, link="link"),
    "folder": member("set/more", kind=tarfile.DIRTYPE),
}


@pytest.mark.parametrize("entry", NO_FILES.values(), ids=NO_FILES.keys())
def test_what_is_no_file_in_a_tar_archive_is_not_there(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    (tmp_path / "x.tar").write_bytes(tarred((entry, b"")))
    assert everything(tmp_path / "x.tar") == FILES
    assert not outside(tmp_path)


@pytest.mark.parametrize("name", ["set/größe.wav", "./set/a b.wav", "set/a..b", "..set/a.wav", "x" * 200])
def test_unusual_names_are_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.zip").write_bytes(zipped([(name, b"here")]))
    assert unpack_split([tmp_path / "x.zip"], tmp_path / "out") == 1
    assert (tmp_path / "out" / name).read_bytes() == b"here"
    assert everything(tmp_path / "x.zip") == {os.path.normpath(name): b"here"}


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_are_noticed_or_do_not_matter(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    content = bytearray(ZIP)
    content[draw.integers(len(ZIP))] ^= 1 << draw.integers(8)
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    reads: tuple[Callable[[], object], ...] = (
        lambda: everything(path), lambda: unpack_split([path], tmp_path / "out"),
    )  # fmt: skip
    for read in reads:
        try:
            found = read()
        except UserError as error:
            assert_sentence(str(error), [str(path)])
        else:
            assert not isinstance(found, dict) or sorted(found.values()) == sorted(FILES.values())
    assert not outside(tmp_path)
