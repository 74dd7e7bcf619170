"""What the sources say of themselves: the files of a record on Zenodo, and the challenge's lists of the sounds that it
takes from other data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sedsep.datasets.challenge.place import AGAIN
from sedsep.downloads import download
from sedsep.errors import UserError
from sedsep.files import leads_outside, read_json


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record.

    Attributes:
        name: without a folder.
        url: its address.
        size: bytes.
        checksum: `md5:...`.
    """

    name: str
    url: str
    size: int
    checksum: str


def record_files(url: str, folder: Path) -> list[RemoteFile]:
    """The files of a record.

    Args:
        url: of the record in the API.
        folder: keeps the answer, so that it is asked for once.

    Raises:
        UserError: the record cannot be had, or is described in another way than we know.
    """
    path = download(url, folder / f"{PurePosixPath(urlsplit(url).path).name}.json", mend=True)
    try:
        return [
            RemoteFile(str(file["key"]), str(file["links"]["self"]), int(file["size"]), str(file["checksum"]))
            for file in read_json(path, dict[str, Any], AGAIN)["files"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{url} does not list its files with key, size, checksum and links: check that it is the address of a "
            f"record in Zenodo's API and remove {path}."
        ) from error


def split_archive(files: Sequence[RemoteFile], name: str) -> list[RemoteFile]:
    """The parts of a split zip archive in order: `<name>.z01`, `<name>.z02`, ..., `<name>.zip`.

    Raises:
        UserError: a part is not among the files.
    """
    parts = {file.name: file for file in files if re.fullmatch(rf"{re.escape(name)}\.z(\d+|ip)", file.name)}
    names = [f"{name}.z{number:02d}" for number in range(1, max(len(parts), 1))] + [f"{name}.zip"]
    if missing := [part for part in names if part not in parts]:
        raise UserError(f"The record lacks {missing[0]}: check its address and the archive's name.")
    return [parts[part] for part in names]


def read_listing(path: Path) -> list[tuple[PurePosixPath, PurePosixPath]]:
    """Read a list of `{"file_name": ..., "t4_label": ..., "convert_path": ...}`: the sounds that the challenge takes.

    Returns:
        The path of each in its own data set, and `<split>/<Label>/**/<file>.wav` below `sound_event`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: prepare the development set first.")
    content: Any = read_json(path, object, AGAIN)
    entries = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} lists no sounds: prepare the development set again.")
    sounds = []
    for entry in entries:
        try:
            source, place = PurePosixPath(str(entry["file_name"])), PurePosixPath(str(entry["convert_path"]))
            place = place if place.suffix else place / source.name  # some name the folder alone
            label = place.parts.index(str(entry["t4_label"]), 1)  # what follows may be in folders of its own
            target = PurePosixPath(*place.parts[label - 1 :]).with_suffix(".wav")
            if len(target.parts) < 3 or leads_outside(str(target)):
                raise ValueError(target)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} has an entry that is not understood, {json.dumps(entry)[:200]}: expected file_name, t4_label, "
                "and a convert_path that ends in split/label/file."
            ) from error
        sounds.append((source, target))
    return sounds
