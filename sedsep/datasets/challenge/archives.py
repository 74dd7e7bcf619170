"""Reading archives without ever writing outside a folder."""

from __future__ import annotations

import errno
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream_unzip import stream_unzip

from sedsep.downloads import progress
from sedsep.errors import UserError, printable
from sedsep.files import leads_outside, whole

CHUNK = 1 << 20
"""Bytes read at once."""
MOST_GROWTH = 100
"""Bytes unpacked for one of the archive; sounds make about two."""
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
        UserError: the archive is damaged or encrypted, unpacks to absurdly much, or has a path twice or one that leads
            out of the folder.
    """
    names: set[str] = set()
    packed = sum(part.stat().st_size for part in parts)
    unpacked = 0
    with progress(f"Unpacking {parts[-1].name}", packed) as advance:

        def stream() -> Iterator[bytes]:
            for part in parts:
                with part.open("rb") as file:
                    if part == parts[0] and file.read(len(SPLIT_MARK)) != SPLIT_MARK:
                        file.seek(0)
                    while chunk := file.read(CHUNK):
                        yield chunk
                        advance(len(chunk))

        def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
            nonlocal unpacked
            for chunk in chunks:
                unpacked += len(chunk)
                _refuse_bomb(unpacked, packed, parts[-1])
                yield chunk

        with _readable(parts[-1]):
            for raw, size, chunks in stream_unzip(stream()):
                try:
                    name = raw.decode("utf-8")
                except UnicodeDecodeError:
                    name = raw.decode("cp437")  # the code page of old
                _refuse_outside([name], parts[-1])
                path, known = folder / name, posixpath.normpath(name)
                if name.endswith("/"):
                    path.mkdir(parents=True, exist_ok=True)
                elif known in names:
                    raise UserError(f"{parts[-1]} holds {printable(name)} twice: do not use this file.")
                else:
                    names.add(known)
                if name.endswith("/") or (path.is_file() and path.stat().st_size == size):
                    for _ in counted(chunks):  # to the end, where the checksum is compared
                        pass
                else:
                    with whole(path) as partial, partial.open("wb") as file:
                        file.writelines(counted(chunks))
    return len(names)


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
        UserError: it is damaged or encrypted, unpacks to absurdly much, or has a path that leads outside, or one twice
            (but in a tar archive, where the last one counts).
    """
    with ExitStack() as stack:
        with _readable(path):
            archive = (_zip if path.suffix == ".zip" else _tar)(path, stack)
        _refuse_outside(archive.sizes, path)
        _refuse_bomb(sum(archive.sizes.values()), path.stat().st_size, path)
        yield archive


def _zip(path: Path, stack: ExitStack) -> Archive:
    zipped = stack.enter_context(zipfile.ZipFile(path))
    files = [info for info in zipped.infolist() if not info.is_dir()]
    infos = {posixpath.normpath(info.filename): info for info in files}
    if len(infos) < len(files):
        raise UserError(f"{path} holds {len(files) - len(infos)} of its files twice: do not use it.")

    @_readable(path)
    def read(name: str) -> bytes:
        return zipped.read(infos[name])

    return Archive({name: info.file_size for name, info in infos.items()}, read)


def _tar(path: Path, stack: ExitStack) -> Archive:
    tar = stack.enter_context(tarfile.open(path, "r:"))  # noqa: SIM115
    members = _files(tar)

    @_readable(path)
    def read(name: str) -> bytes:
        file = tar.extractfile(members[name])
        content = file.read() if file else b""
        if len(content) < members[name].size:
            raise tarfile.ReadError("unexpected end of data")
        return content

    return Archive({name: member.size for name, member in members.items()}, read)


def _files(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """What each path stands for, in the order the contents lie; links are resolved by path, which tarfile does by
    searching its whole list for each."""
    members, files = {}, {}
    for entry in tar:
        if entry.size < 0:  # tarfile would go back, and round for ever
            raise tarfile.ReadError(f"{printable(entry.name)} has a negative size")
        members[posixpath.normpath(entry.name)] = entry
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
        raise UserError(f"{archive} would write outside its folder ({printable(outside[0])}): do not use this file.")


def _refuse_bomb(unpacked: int, packed: int, archive: Path) -> None:
    if unpacked > MOST_GROWTH * packed + CHUNK:
        raise UserError(
            f"{archive} unpacks to more than {MOST_GROWTH} times its {packed / 1e6:.3f} MB, which no sounds do: do not "
            "use this file."
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL and not isinstance(error, FileExistsError | NotADirectoryError):
            raise  # of the disk
        raise _unreadable(path, error) from error
    except Exception as error:  # of damaged archives the libraries say so in errors of any kind
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    what = printable(str(error)) or type(error).__name__
    return UserError(f"{path} cannot be unpacked ({what}): remove it to download it again.")
