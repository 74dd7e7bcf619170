"""Reading archives without ever writing outside a folder."""

from __future__ import annotations

import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
        parts: in order, the `.zip` last.
        folder: where to, made where it is missing.

    Returns:
        Files of the archive.

    Raises:
        UserError: the archive is damaged, or has a path that leads out of the folder.
    """
    count = 0
    with progress(f"Unpacking {parts[-1].name}", sum(part.stat().st_size for part in parts)) as advance:

        def stream() -> Iterator[bytes]:
            for part in parts:
                with part.open("rb") as file:
                    if part == parts[0] and file.read(len(SPLIT_MARK)) != SPLIT_MARK:
                        file.seek(0)
                    while chunk := file.read(CHUNK):
                        yield chunk
                        advance(len(chunk))

        with _readable(parts[-1]):
            for raw, size, chunks in stream_unzip(stream()):
                try:
                    name = raw.decode("utf-8")
                except UnicodeDecodeError:
                    name = raw.decode("cp437")  # the code page of old
                _refuse_outside([name], parts[-1])
                path = folder / name
                if name.endswith("/"):
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    count += 1
                if name.endswith("/") or (path.is_file() and path.stat().st_size == size):
                    for _ in chunks:  # to the end, where the checksum is compared
                        pass
                else:
                    with whole(path) as partial, partial.open("wb") as file:
                        file.writelines(chunks)
    return count


@dataclass(frozen=True)
class Archive:
    """An archive open for reading.

    Attributes:
        sizes: bytes of its files by their paths, in the order they lie.
        read: gives the content of one.
    """

    sizes: Mapping[str, int]
    read: Callable[[str], bytes]


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip archive, or a tar archive, where a link to a file within it stands for that file.

    Errors of reading it, here or in the block, name it; checksums of a zip archive's files are compared.

    Raises:
        UserError: it is damaged, or has a path that leads outside.
    """
    with _readable(path):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as zipped:
                infos = {posixpath.normpath(info.filename): info for info in zipped.infolist() if not info.is_dir()}
                _refuse_outside(infos, path)
                yield Archive(
                    {name: info.file_size for name, info in infos.items()}, lambda name: zipped.read(infos[name])
                )
            return
        with tarfile.open(path, "r:") as tar:
            members = _files(tar)
            _refuse_outside(members, path)

            def read(name: str) -> bytes:
                file = tar.extractfile(members[name])
                content = file.read() if file else b""
                if len(content) < members[name].size:
                    raise tarfile.ReadError("unexpected end of data")
                return content

            yield Archive({name: member.size for name, member in members.items()}, read)


def _files(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """What each path stands for, in the order the contents lie; links are resolved by path, which tarfile does by
    searching its whole list for each."""
    members = {posixpath.normpath(member.name): member for member in tar}
    files = {}
    for name in members:
        place, links = name, 0
        while (member := members.get(place)) and (member.issym() or member.islnk()) and links < MAX_LINKS:
            folder = posixpath.dirname(place) if member.issym() else ""
            place, links = posixpath.normpath(posixpath.join(folder, member.linkname)), links + 1
        if member and member.isreg():
            files[name] = member
    return dict(sorted(files.items(), key=lambda item: item[1].offset_data))


def _refuse_outside(names: Iterable[str], archive: Path) -> None:
    if outside := [name for name in names if leads_outside(name)]:
        raise UserError(f"{archive} would write outside its folder ({outside[0]}): do not use this file.")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnzipError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{path} cannot be unpacked ({str(error) or type(error).__name__}): remove it to download it again."
        ) from error
