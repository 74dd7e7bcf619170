"""A data set copied to a disk of this node, once however many jobs ask for it there.

A copy appears under its name only when every file in it has been read back and found to be what was read from the
source, and is not changed after that. Its name tells the names, sizes and times of the source's files: a source that
has changed gets a copy of its own. What an interrupted job copied is kept for the next one.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from sedsep.errors import UserError
from sedsep.files import sole_writer
from sedsep.fingerprint import fingerprint
from sedsep.scenes.layout import recorded_splits

THREADS = 8
"""A network's disk answers slowly, but many at once."""

CHUNK = 2**22
"""Bytes read at once."""

BLOCK = 4096
"""Bytes a disk gives out at once; a file takes whole blocks, and one for its name and place."""

PARTS = ("sound_event", "interference", "noise", "room_ir", "metadata", "labels.json")
"""What scenes are made of, beside recordings."""

log = logging.getLogger(__name__)


def local_copy(root: Path, folder: Path | str) -> Path:
    """The data set at `root` as it lies in `folder`, copied there unless it is there already.

    What scenes are not made of stays behind, such as archives, and hidden files; links are followed. Where the copy
    cannot be made, a warning says why and the data set is read from where it is.

    Args:
        root: the data set's root.
        folder: on a disk of this node; `$NAME` stands for a variable of the environment.

    Returns:
        The root of the copy, or `root`.

    Raises:
        UserError: `folder` names an unset variable or lies within the data set.
    """
    root, place = Path(root).resolve(), os.path.expandvars(Path(folder).expanduser())
    if "$" in place:
        raise UserError(f"data.local_copy={folder} names a variable that is not set on this machine: give a folder.")
    folder = Path(place).resolve()
    if folder.is_relative_to(root):
        raise UserError(f"data.local_copy={folder} lies within the data set {root}: choose a folder outside it.")
    try:
        files = _files(root)
        sizes = {name: size for name, (size, _) in files.items()}
        home = folder / f"{root.name}-{fingerprint(files)[:12]}"
        if _missing(home, sizes):
            folder.mkdir(parents=True, exist_ok=True)
            with sole_writer(home):
                _complete(root, home, sizes)
    except OSError as error:
        reason = error.strerror or error
        log.warning("The data set is read from %s, because it cannot be copied to %s (%s).", root, folder, reason)
        return root
    log.info("The data set is read from its copy %s.", home)
    return home


def _files(root: Path) -> dict[str, tuple[int, int]]:
    """Bytes and time of the last change of what scenes are made of, by path relative to `root`.

    Raises:
        OSError: a folder or a file cannot be looked at.
    """

    def fail(error: OSError) -> None:
        raise error

    files, parts = {}, {*PARTS, *(folder.relative_to(root).parts[0] for folder in recorded_splits(root).values())}
    for place, folders, names in os.walk(root, followlinks=True, onerror=fail):
        wanted = parts if Path(place) == root else {name for name in (*folders, *names) if not name.startswith(".")}
        folders[:] = [name for name in folders if name in wanted]
        for path in (Path(place, name) for name in names if name in wanted):
            if path.is_file():
                stat = path.stat()
                files[path.relative_to(root).as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return files


def _missing(folder: Path, sizes: dict[str, int]) -> dict[str, int]:
    """The files that `folder` lacks, or holds in another size: disks of nodes are swept of what is old."""
    paths = {folder / name: (name, size) for name, size in sizes.items()}
    return dict(item for path, item in paths.items() if not path.is_file() or path.stat().st_size != item[1])


def _complete(root: Path, home: Path, sizes: dict[str, int]) -> None:
    """Copy what `home` lacks; a new one is filled under another name first.

    Raises:
        OSError: no space, or a file that cannot be read, written or read back.
    """
    work = home if home.is_dir() else home.with_name(f".{home.name}.partial")
    missing = _missing(work, sizes)
    total, needed = sum(missing.values()), sum((size // BLOCK + 2) * BLOCK for size in missing.values())
    free = shutil.disk_usage(home.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB are needed there, {free / 1e9:.2f} GB are free")
    start = time.monotonic()
    work.mkdir(exist_ok=True)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        bar = progress.add_task("Copying the data set", total=total)
        jobs = {pool.submit(_copy, root / name, work / name, size): size for name, size in missing.items()}
        try:
            for job in as_completed(jobs):
                job.result()
                progress.advance(bar, jobs[job])
        except BaseException as error:
            pool.shutdown(cancel_futures=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and work != home:
                shutil.rmtree(work, ignore_errors=True)  # others need the space more than the next try needs this part
            raise
    if work != home:
        work.rename(home)
    log.info("Copied %d files (%.2f GB) in %.0f s.", len(missing), total / 1e9, time.monotonic() - start)


def _copy(source: Path, target: Path, size: int) -> None:
    """Copy a file; it appears under its name when its bytes are on the disk and have been read back."""
    partial = target.with_name(f".{target.name}.partial")  # one name, for what a killed job leaves to be overwritten
    target.parent.mkdir(parents=True, exist_ok=True)
    original = hashlib.sha256()
    try:
        with source.open("rb") as reader, partial.open("wb") as writer:
            while chunk := reader.read(CHUNK):
                original.update(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
            if hasattr(os, "posix_fadvise"):  # what is read back shall come from the disk, not from memory
                os.posix_fadvise(writer.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with partial.open("rb") as file:
            copy = hashlib.file_digest(file, "sha256")
        if copy.digest() != original.digest() or partial.stat().st_size != size:
            raise OSError(errno.EIO, f"{source} changed while it was copied, or its copy reads back differently")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
