"""Copies on a node's own disk: whole or not used, made once, resumed, and never the reason why a job fails."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from minis import refused

from sedsep.scenes import local_copy as module
from sedsep.scenes.layout import Layout
from sedsep.scenes.local_copy import local_copy

Usage = namedtuple("Usage", "total used free")
COPY_FILE = module._copy


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def copies(folder: Path) -> list[str]:
    """What lies in the folder under a name that is used."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


@pytest.fixture
def node(tmp_path: Path) -> Path:
    return tmp_path / "scratch" / "jobs"


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files copied so far."""
    names: list[str] = []

    def copy(source: Path, target: Path, size: int) -> None:
        COPY_FILE(source, target, size)
        names.append(source.name)

    monkeypatch.setattr(module, "_copy", copy)
    return names


def test_the_copy_is_the_data_set(root: Path, node: Path) -> None:
    (root / "labels.json").write_text('["Bell", "Cough", "Dog", "Speech"]')
    (root / "test" / "soundscape").mkdir(parents=True)
    (root / "test" / "soundscape" / "a.wav").write_bytes(b"sound")
    expected = contents(root)
    (root / "archives").mkdir()
    (root / "archives" / "all.zip").write_bytes(b"gigabytes")
    (root / "noise" / "train" / ".listing").write_text("")
    place = local_copy(root, node)
    assert place.parent == node
    assert contents(place) == expected
    assert Layout(place, 8000, 4).fingerprint("train") == Layout(root, 8000, 4).fingerprint("train")


def test_links_are_followed(root: Path, node: Path, tmp_path: Path) -> None:
    noise = root / "noise" / "train"
    noise.rename(tmp_path / "elsewhere")
    noise.symlink_to(tmp_path / "elsewhere")
    assert (local_copy(root, node) / "noise" / "train" / "long.wav").is_file()


def test_a_later_job_takes_the_copy_as_it_is(root: Path, node: Path, copied: list[str]) -> None:
    place = local_copy(root, node)
    count = len(copied)
    assert local_copy(root, node) == place
    assert len(copied) == count == len(contents(root))


def test_a_changed_source_gets_a_copy_of_its_own(root: Path, node: Path) -> None:
    before = local_copy(root, node)
    bell = root / "sound_event" / "train" / "Bell" / "bell_0.wav"
    old = bell.read_bytes()
    bell.write_bytes(old[:-2] + b"\x01\x02")  # the same size
    after = local_copy(root, node)
    assert after != before
    assert (after / bell.relative_to(root)).read_bytes() == bell.read_bytes()
    assert (before / bell.relative_to(root)).read_bytes() == old


def test_what_was_swept_from_the_disk_is_copied_again(root: Path, node: Path, copied: list[str]) -> None:
    place = local_copy(root, node)
    (place / "noise" / "train" / "long.wav").unlink()
    os.truncate(place / "noise" / "train" / "short.wav", 100)
    copied.clear()
    assert local_copy(root, node) == place
    assert sorted(copied) == ["long.wav", "short.wav"]
    assert contents(place) == contents(root)


def test_an_interrupted_copy_is_not_used_and_is_resumed(
    root: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def copy(source: Path, target: Path, size: int) -> None:
        if len(done) == 4:
            raise KeyboardInterrupt
        COPY_FILE(source, target, size)
        done.append(source.name)

    monkeypatch.setattr(module, "THREADS", 1)
    monkeypatch.setattr(module, "_copy", copy)
    with pytest.raises(KeyboardInterrupt):
        local_copy(root, node)
    assert copies(node) == []
    (partial,) = node.glob(".*.partial")
    # What a process killed in the middle of a file leaves.
    (partial / "sound_event" / "train" / "Speech").mkdir(parents=True)
    (partial / "sound_event" / "train" / "Speech" / ".speech_0.wav.partial").write_bytes(b"half")

    second: list[str] = []
    monkeypatch.setattr(module, "_copy", lambda *args: (COPY_FILE(*args), second.append(args[0].name)))
    place = local_copy(root, node)
    assert sorted(done + second) == sorted(Path(name).name for name in contents(root))
    assert contents(place) == contents(root)


def test_a_full_disk_is_seen_before_anything_is_copied(
    root: Path, node: Path, copied: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 1000))
    assert local_copy(root, node) == root
    assert copied == copies(node) == []
    assert "are needed there, 0.00 GB are free" in caplog.text


def test_a_disk_that_fills_up_is_given_back(
    root: Path, node: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def copy(source: Path, target: Path, size: int) -> None:
        if source.name == "long.wav":
            raise OSError(errno.ENOSPC, "No space left on device")
        COPY_FILE(source, target, size)

    monkeypatch.setattr(module, "_copy", copy)
    assert local_copy(root, node) == root
    assert copies(node) == []
    assert not list(node.glob(".*.partial"))
    assert "No space left on device" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_warning(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert local_copy(root, tmp_path / "file" / "scratch") == root
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Not a directory" in caplog.text


def test_a_copy_that_reads_back_differently_is_not_used(
    root: Path, node: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fsync(descriptor: int) -> None:
        os.pwrite(descriptor, b"\xff", 50)

    monkeypatch.setattr(module.os, "fsync", fsync)
    assert local_copy(root, node) == root
    assert copies(node) == []
    assert not list(node.rglob("*.wav"))
    assert "reads back differently" in caplog.text


def test_a_source_that_grows_while_it_is_copied_is_not_used(
    root: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_copy", lambda source, target, size: COPY_FILE(source, target, size - 1))
    assert local_copy(root, node) == root
    assert copies(node) == []


def _ask(root: Path, node: Path, queue: Any) -> None:
    queue.put(str(local_copy(root, node)))


def test_jobs_that_start_together_copy_once(
    root: Path, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "copied.log"

    def copy(source: Path, target: Path, size: int) -> None:
        with log.open("a") as file:
            file.write("once\n")
        COPY_FILE(source, target, size)

    monkeypatch.setattr(module, "_copy", copy)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_ask, args=(root, node, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    places = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)
    assert len(places) == 1
    assert contents(Path(places.pop())) == contents(root)
    assert len(log.read_text().splitlines()) == len(contents(root))


def test_the_folder_may_name_variables(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    assert local_copy(root, "$NODE_DISK/sets").parent == tmp_path / "disk" / "sets"
    with refused("names a variable that is not set"):
        local_copy(root, "$NO_SUCH_DISK/sets")


def test_a_folder_within_the_data_set_is_refused(root: Path) -> None:
    with refused("lies within the data set"):
        local_copy(root, root / "copies")


def test_a_vanished_copy_is_made_again(root: Path, node: Path) -> None:
    place = local_copy(root, node)
    shutil.rmtree(node)
    assert local_copy(root, node) == place
    assert contents(place) == contents(root)
