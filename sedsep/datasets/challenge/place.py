"""Where the parts of the data set lie, and what was done there.

<root>/dev_set/         the data set, in the challenge's layout
<root>/archives/        what was downloaded, until it is used up
<root>/unpacked/        what else lay in the challenge's archives
<root>/prepared/        a journal of each step
<root>/licences.json    what was agreed to
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sedsep.files import read_json, write_json

AGAIN = "remove it, or what it belongs to, and prepare again"


@dataclass(frozen=True)
class Licence:
    """The terms of a part.

    Attributes:
        part: what they are of.
        name: of the licence.
        page: states it.
    """

    part: str
    name: str
    page: str


class Place:
    """The folders below a root.

    Args:
        root: of everything.
        keep_archives: leave used archives where they are.
    """

    def __init__(self, root: Path, keep_archives: bool = False) -> None:
        self.root = root
        self.keep_archives = keep_archives
        self.archives, self.unpacked, self.journals = root / "archives", root / "unpacked", root / "prepared"
        self.licences = root / "licences.json"

    @property
    def data(self) -> Path:
        """The data set itself; a root that is one already is taken as it is."""
        return self.root if (self.root / "sound_event").is_dir() else self.root / "dev_set"

    def discard(self, archive: Path) -> None:
        """Remove an archive whose content is in its place, with its checksum and its lock."""
        if not self.keep_archives:
            for name in (archive.name, f"{archive.name}.sha256.json", f".{archive.name}.lock"):
                archive.with_name(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Account:
    """What a journal's file holds; its attributes are the journal's."""

    settings: dict[str, Any]
    begun: float
    finished: str | None
    parts: dict[str, Any]


class Journal:
    """What a step has done so far, on disk after every part.

    A journal of other settings than now is void: its step starts over.

    Args:
        path: the file.
        settings: what the outcome depends on.

    Attributes:
        begun: when the step was first begun, seconds since 1970.
        finished: when the step came to its end, `None` before.
        parts: what became of each part.
        before: settings of the step when it was last run here.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = dict(settings)
        account = read_json(path, Account, AGAIN) if path.is_file() else None
        self.before = account.settings if account else self.settings
        if account is None or account.settings != self.settings:
            account = Account(self.settings, time.time(), None, {})
        self.begun, self.finished, self.parts = account.begun, account.finished, account.parts

    def wrote(self, path: Path) -> bool:
        """Whether a file is there that this step wrote, now or before an interruption, with these settings."""
        return path.is_file() and path.stat().st_mtime >= self.begun

    def add(self, part: str, account: Any) -> None:
        """Note that a part is done."""
        self.parts[part] = account
        self.save()

    def finish(self) -> None:
        """Note that the step is done."""
        self.finished = now()
        self.save()

    def save(self) -> None:
        """Write the journal."""
        write_json(self.path, asdict(Account(self.settings, self.begun, self.finished, self.parts)))


def now() -> str:
    """The date and time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
