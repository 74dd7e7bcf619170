"""The challenge's lists of the sounds that it takes from other data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sedsep.datasets.dcase2025.place import read_json
from sedsep.downloads import leads_outside
from sedsep.errors import UserError


@dataclass(frozen=True)
class Listed:
    """A sound that the challenge takes.

    Attributes:
        source: its path in its own data set. target: `<split>/<Label>/<file>.wav`, below `sound_event`.
    """

    source: PurePosixPath
    target: PurePosixPath


def read_listing(path: Path) -> list[Listed]:
    """Read a list of `{"file_name": ..., "t4_label": ..., "convert_path": ...}`.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: prepare the development set first.")
    content = read_json(path)
    entries = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} lists no sounds: prepare the development set again.")
    return [_listed(entry, path) for entry in entries]


def _listed(entry: Any, path: Path) -> Listed:
    try:
        return Listed(PurePosixPath(str(entry["file_name"])), _target(entry))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} has an entry that is not understood, {json.dumps(entry)[:200]}: expected file_name, t4_label, and "
            "a convert_path that ends in split/label/file."
        ) from error


def _target(entry: Mapping[str, Any]) -> PurePosixPath:
    path = PurePosixPath(str(entry["convert_path"]))
    if not path.suffix:  # the folder alone
        path /= PurePosixPath(str(entry["file_name"])).name
    split, label, name = path.parts[-3:]
    target = PurePosixPath(split, label, name).with_suffix(".wav")
    if label != entry["t4_label"] or leads_outside(str(target)):
        raise ValueError(target)
    return target
