"""Reading archives without ever writing outside a folder."""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from stream_unzip import UnzipError, stream_unzip

from sedsep.downloads import leads_outside, progress
from sedsep.errors import UserError
from sedsep.files import whole

CHUNK = 1 << 20
"""Bytes read at once."""
MAX_LINKS = 8
"""Links followed from one to the next."""
SPLIT_MARK = b"PK\x07\x08"
"""What a split zip archive starts with, before its first member."""


def unpack_split(parts: Sequence[Path], folder: Path) -> int:
    """Unpack a split zip archive, reading its parts as they are: no joined copy is made.

    Files that lie in the folder with the right size are left alone; a new one appears when it is whole and its
    checksum is right.

    Args:
        parts: in order, the `.zip` last. folder: where to, made where it is missing.

    Returns:
        Files of the archive.

    Raises:
        UserError: the archive is damaged, or has a path that leads out of the folder.
    """
    count = 0
    total = sum(part.stat().st_size for part in parts)
    with progress(f"Unpacking {parts[-1].name}", total) as advance, _readable(parts[-1]):
        for name, size, chunks in stream_unzip(_bytes(parts, advance)):
            path = _inside(_decoded(name), folder, parts[-1])
            if name.endswith(b"/"):
                path.mkdir(parents=True, exist_ok=True)
                _exhaust(chunks)
            elif path.is_file() and path.stat().st_size == size:
                count += 1
                _exhaust(chunks)
            else:
                count += 1
                write_whole(path, chunks)
    return count


def write_whole(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file that appears under its name when it is whole."""
    with whole(path) as partial, partial.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


class Archive(Protocol):
    """An archive open for reading: the paths of its files in the order they lie, their sizes and contents."""

    def names(self) -> list[str]: ...

    def size(self, name: str) -> int: ...

    def read(self, name: str) -> bytes: ...


class ZipArchive:
    """A zip archive; checks each file's checksum."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped
        self._infos = {posixpath.normpath(info.filename): info for info in zipped.infolist() if not info.is_dir()}

    def names(self) -> list[str]:
        return list(self._infos)

    def size(self, name: str) -> int:
        return self._infos[name].file_size

    def read(self, name: str) -> bytes:
        return self._zipped.read(self._infos[name])


class TarArchive:
    """A tar archive; a link within it stands for the file that it leads to, any other link for nothing.

    Links are resolved here, by path: tarfile searches the whole list for each.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        members = {posixpath.normpath(member.name): member for member in tar}
        self._infos = {name: info for name in members if (info := _followed(name, members))}

    def names(self) -> list[str]:
        return sorted(self._infos, key=lambda name: self._infos[name].offset_data)

    def size(self, name: str) -> int:
        return self._infos[name].size

    def read(self, name: str) -> bytes:
        file = self._tar.extractfile(self._infos[name])
        assert file is not None
        content = file.read()
        if len(content) < self._infos[name].size:
            raise tarfile.ReadError("unexpected end of data")
        return content


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip or tar archive; errors of reading it, here or in the block, name it.

    Raises:
        UserError: it is damaged, or has a path that leads outside.
    """
    with _readable(path):
        archive: Archive
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as zipped:
                archive = ZipArchive(zipped)
                _refuse_outside(archive.names(), path)
                yield archive
        else:
            with tarfile.open(path, "r:") as tar:
                archive = TarArchive(tar)
                _refuse_outside(archive.names(), path)
                yield archive


def _bytes(parts: Sequence[Path], advance: Callable[[int], None]) -> Iterator[bytes]:
    """The archive as one stream, without the mark that says that it is split."""
    for part in parts:
        with part.open("rb") as file:
            if part == parts[0] and file.read(len(SPLIT_MARK)) != SPLIT_MARK:
                file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk
                advance(len(chunk))


def _decoded(name: bytes) -> str:
    """A path as zip archives write it: UTF-8, or the code page of old."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _inside(name: str, folder: Path, archive: Path) -> Path:
    _refuse_outside([name], archive)
    return folder / name


def _refuse_outside(names: Iterable[str], archive: Path) -> None:
    if outside := [name for name in names if leads_outside(name)]:
        raise UserError(f"{archive} would write outside its folder ({outside[0]}): do not use this file.")


def _exhaust(chunks: Iterable[bytes]) -> None:
    """Read to the end, where the checksum is compared."""
    for _ in chunks:
        pass


def _followed(name: str, members: Mapping[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    for _ in range(MAX_LINKS):
        member = members.get(name)
        if member is None or member.isreg():
            return member
        if not (member.issym() or member.islnk()):
            return None
        folder = posixpath.dirname(name) if member.issym() else ""
        name = posixpath.normpath(posixpath.join(folder, member.linkname))
    return None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnzipError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{path} cannot be unpacked ({str(error) or type(error).__name__}): remove it to download it again."
        ) from error
