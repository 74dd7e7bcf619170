"""Downloads that can be interrupted, shared and trusted.

Whatever is downloaded keeps its checksum: a published one where there is one, else the one that the file had when it
was first used, which lies beside it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from sedsep.errors import UserError
from sedsep.files import leads_outside, sole_writer, whole, write_json

log = logging.getLogger(__name__)
pooch.get_logger().setLevel(logging.WARNING)  # it announces every file a second time

CHUNK = 1 << 16
"""Bytes written at once; what a broken connection loses at most."""
TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for more."""
LOG_EVERY = 60
"""Seconds between two lines of progress where there is no terminal."""
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
"""What a connection that fails or breaks off ends in."""


class Damaged(UserError):
    """A file is not the one expected."""


def download(
    url: str, path: Path, checksum: str | None = None, gigabytes: float | None = None, mend: bool = False
) -> Path:
    """Make sure that `path` holds what `url` gives.

    A file that is there is not downloaded again, only checked. An interrupted download goes on where it stopped.
    Processes that want the same file wait for the first. With SEDSEP_OFFLINE=1 nothing is downloaded.

    Args:
        url: where the file is.
        path: where it belongs; its folder is made.
        checksum: published for the file: SHA-256 in hexadecimal, or `md5:` and an MD5. Where there is none, the first
            use writes down the file's SHA-256 (`<name>.sha256.json`) and later ones must find it again.
        gigabytes: about the size, for people.
        mend: fetch a file anew, once, that is not the one expected, whether it lay there or came so.

    Returns:
        `path`.

    Raises:
        UserError: the file cannot be had, is not the one expected (`Damaged`), has no room on the disk, or cannot be
            written.
    """
    try:
        if not path.is_file():
            with _sole_writer(path):
                if not path.is_file():
                    about = f" (about {gigabytes:g} GB)" if gigabytes else ""
                    _retrieve(url, path, checksum or _recorded(path), about)
        return checked(path, checksum)
    except Damaged:
        if not mend:
            raise
    log.warning("%s is damaged: it is fetched again.", path)
    path.unlink(missing_ok=True)
    return download(url, path, checksum, gigabytes)


def _retrieve(url: str, path: Path, checksum: str | None, about: str) -> None:
    offline = os.environ.get("SEDSEP_OFFLINE", "0") not in ("", "0")
    try:
        if offline:
            raise requests.ConnectionError
        log.info("Downloading %s%s", url, about)
        pooch.retrieve(url, checksum, path.name, path.parent, downloader=_Resumed(path))
    except BROKEN as error:
        lost = f"{type(error).__name__}, no lasting connection to {urlsplit(url).netloc}"
        raise UserError(
            f"{path.name} is needed and cannot be downloaded now ({'SEDSEP_OFFLINE is set' if offline else lost}): "
            f"get {url}{about} elsewhere and put it at {path}, or run this again online."
        ) from error
    except requests.RequestException as error:
        raise UserError(
            f"{url} cannot be downloaded ({error}): try again later, or find where it has moved and put it at {path}."
        ) from error
    except ValueError as error:  # pooch saw another checksum and threw the file away
        raise Damaged(
            f"{url} gives another file than it should (its checksum is not {checksum}): try again, or check why it "
            f"changed and remove {_record_of(path)} if there is one."
        ) from error


def checked(path: Path, checksum: str | None) -> Path:
    """`path`, if it has the published checksum, or else the one of its first use; this may be the first use.

    Args:
        path: a file.
        checksum: as `download` takes it.

    Raises:
        Damaged: it has another one.
    """
    expected = checksum or _recorded(path)
    if expected is None:
        with _writing(path):
            write_json(_record_of(path), {"sha256": pooch.file_hash(path)})
    elif not pooch.hashes.hash_matches(path, expected):
        if checksum:
            raise Damaged(f"{path} is not the published file ({checksum}): remove it to download it again.")
        raise Damaged(
            f"{path} has changed since its first use: remove it to fetch it again, or remove {_record_of(path)} to "
            "trust it as it is."
        )
    return path


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256.json")


def _recorded(path: Path) -> str | None:
    record = _record_of(path)
    try:
        return str(json.loads(record.read_text())["sha256"]) if record.is_file() else None
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{record} is damaged: remove it to trust {path.name} as it is.") from error


def extract(archive: Path, member: str, path: Path) -> None:
    """Write one file of a zip archive to `path`, which appears when it is whole.

    Args:
        archive: the zip archive.
        member: the file's path in the archive, or the end of it.
        path: its folder is made; a file that is there is left alone.

    Raises:
        UserError: the archive is damaged, has no such file or several, or one that would land outside.
    """
    with _sole_writer(path):
        if path.is_file():
            return
        try:
            with zipfile.ZipFile(archive) as zipped:
                names = zipped.namelist()
                if outside := [name for name in names if leads_outside(name)]:
                    raise UserError(f"{archive} would write outside its folder ({outside[0]}): do not use this file.")
                matches = [name for name in names if f"/{name}".endswith(f"/{member}")]
                if len(matches) != 1:
                    raise UserError(
                        f"{archive} holds {len(matches)} files named {member} instead of one: check where it is from."
                    )
                with zipped.open(matches[0]) as source, whole(path) as partial, partial.open("wb") as target:
                    shutil.copyfileobj(source, target, CHUNK)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise UserError(f"{archive} cannot be unpacked ({error}): remove it to download it again.") from error


@contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    """Keep other processes from writing `path`, whose folder is made."""
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(path):
            yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): free some space or choose another cache directory "
            "(SEDSEP_CACHE)."
        ) from error


class _Resumed:
    """A downloader for pooch that keeps what came in `<name>.part` and asks only for the rest.

    `<name>.part.json` says which version of the file the part is of, lest two be mixed.
    """

    def __init__(self, path: Path) -> None:
        self.part = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        while True:
            version, held = self._held()
            try:
                if not held or held != version["bytes"]:  # else it stopped at its very end
                    self._transfer(url, version, held)
                break
            except BROKEN:
                if self._held()[1] <= held:  # a long download may break off often: go on for as long as something comes
                    raise
        self.part.replace(output_file)
        self.note.unlink()

    def _held(self) -> tuple[dict[str, Any], int]:
        """The version that there is a part of, and the bytes of it."""
        try:
            version = json.loads(self.note.read_text())
        except (OSError, ValueError):
            version = {}
        return version, self.part.stat().st_size if self.part.is_file() and version.get("tag") else 0

    def _transfer(self, url: str, version: dict[str, Any], held: int) -> None:
        """Append to the part what the server has beyond it; begin anew where it has another version, or no ranges."""
        headers = {"Accept-Encoding": "identity"}  # bytes as they are stored: ranges count those
        if held:
            headers["Range"] = f"bytes={held}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            answer = response.headers
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.get("Content-Range", ""))
            length = span[2] if span else answer.get("Content-Length")
            total = int(length) if length else None
            current = {"tag": answer.get("ETag") or answer.get("Last-Modified"), "bytes": total}
            if held and not (span and response.status_code == 206 and int(span[1]) == held and current == version):
                return self._transfer(url, {}, 0)
            if not response.ok:
                raise requests.HTTPError(f"{response.status_code} {response.reason}")
            if answer.get("Content-Type", "").startswith("text/html"):  # a log-in page, a proxy's notice
                raise requests.HTTPError("there is a web page instead")
            if not held:
                self.part.unlink(missing_ok=True)
                self.note.write_text(json.dumps(current))
            check_space(self.part.parent, (total or 0) - held, self.part.stem)
            with self.part.open("ab") as file, progress(self.part.stem, total, held) as advance:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
        if total is not None and self.part.stat().st_size != total:
            raise requests.ConnectionError(f"{url} broke off")


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise a `UserError` unless the disk that `folder` lies on has room for `needed` bytes; `what` needs them."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs about {needed / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free: make room or choose "
            "another place."
        )


@contextmanager
def progress(name: str, total: int | None, held: int = 0) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line in the log now and then elsewhere.

    Args:
        name: what goes on.
        total: bytes of it, where known.
        held: those done already.

    Yields:
        What is to be told of each number of bytes done.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task(name, total=total, completed=held)
        told = time.monotonic()

        def advance(count: int) -> None:
            nonlocal told
            bar.advance(task, count)
            if not console.is_terminal and time.monotonic() - told > LOG_EVERY:
                told = time.monotonic()
                of = f" of {total / 1e9:.2f}" if total else ""
                log.info("%s: %.2f%s GB", name, bar.tasks[0].completed / 1e9, of)

        yield advance
