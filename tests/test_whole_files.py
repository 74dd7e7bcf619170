"""Whole files, and the one door for JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from sedsep import files
from sedsep.errors import UserError
from sedsep.files import read_json, sweep, write_json


@dataclass(frozen=True)
class Facts:
    name: str
    sizes: tuple[int, ...]
    score: float | None = None


WHOLE = json.dumps({"name": "é", "sizes": [1, 2], "score": 1})


def test_a_json_file_is_read_as_what_it_must_hold(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_json(path, asdict(Facts("é", (1, 2))) | {"of_a_newer_version": 1})
    assert read_json(path, Facts, "write it anew") == Facts("é", (1, 2))


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "cut off": WHOLE.encode()[:-3],
    "extended": WHOLE.encode() + b"}",
    "no UTF-8": WHOLE.encode("latin-1", "replace").replace(b"name", b"n\xe9me"),
    "not a number": WHOLE.replace("1}", "NaN}").encode(),
    "infinite": WHOLE.replace("1}", "1e999}").encode(),
    "huge": WHOLE.replace("2]", "1" * 5000 + "]").encode(),
    "deep": b"[" * 100_000,
    "text for a number": WHOLE.replace("2]", '"2"]').encode(),
    "another kind": b"[1]",
    "half a character": WHOLE.replace("\\u00e9", "\\ud800").encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_json_file_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))} [^\n]{{,300}}: write it anew\.$"):
        read_json(path, Facts, "write it anew")


def _nothing(path: Path) -> None:
    pass


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(files.LARGEST_JSON + 1)


@pytest.mark.parametrize("make", [_nothing, _loop, _large, Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_named_and_waited_for_by_nobody(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "facts.json"
    make(path)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} .*: write it anew"):
        read_json(path, Facts, "write it anew")


def test_a_whole_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: done.append("name") or replace(path, target))
    write_json(tmp_path / "facts.json", 1)
    assert [Path(entry).suffix for entry in done] == [".partial", "", ""]
    assert done[1:] == ["name", str(tmp_path)]


def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = platform.node()
    places = (f"{host}.{dead.pid}", f"{host}.{os.getppid()}", f"other.{dead.pid}")
    gone, living, elsewhere = (tmp_path / f".x.{place}.partial" for place in places)
    for path in (gone, living, elsewhere):
        path.touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living, elsewhere])
