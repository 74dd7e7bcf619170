"""Full disks, read-only ones, and processes that the system kills: one sentence, and what was saved is gone on with."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
from harness import Outcome, Started, assert_accepted, assert_refused, assert_sentence, command
from test_attack_signals import LONG, PLAIN, STEP, TAGGER, left_over
from tiny import TINY

from sedsep.runs.command_line.explaining import CLOSED, FULL, explain

pytestmark = pytest.mark.slow

Mount = Callable[..., None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("needs to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Leave no room."""
    with (disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def limit(size: int) -> None:
    """No file larger than so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def assert_out_of_room(outcome: Outcome, *words: str) -> None:
    assert_refused(outcome, "cannot be", *words)
    assert "Exception ignored" not in outcome.err
    assert "Logging error" not in outcome.err


@pytest.mark.parametrize("kilobytes", [0, 64, 1000])
def test_a_training_on_a_small_disk(kilobytes: int, tiny_set: Path, disk: Path, tmp_path: Path) -> None:
    remount(disk, f"size={kilobytes + 4}k")
    run = ("hydra.run.dir=disk/run",)
    outcome = command(tmp_path, *LONG, *run, f"data.root={tiny_set}")
    assert_out_of_room(outcome, "No space left on device", "make room there", *(["disk/run"] if kilobytes else []))
    remount(disk, "size=64m")
    assert_accepted(command(tmp_path, *LONG, *run, f"data.root={tiny_set}"))


@pytest.mark.parametrize("step", [2, 4, 9])
def test_a_disk_that_becomes_full(step: int, tiny_set: Path, disk: Path, tmp_path: Path) -> None:
    started = Started(tmp_path, *LONG, f"data.root={tiny_set}", "hydra.run.dir=disk/run", pause=(STEP, step))
    started.until()
    fill(disk)
    started.go_on()
    outcome = started.end()
    assert_out_of_room(outcome, "disk/run", "No space left on device")
    last = disk / "run/checkpoints/tagger/last.ckpt"
    assert last.is_file() == (step > 3)
    if step > 3:
        assert f"To go on with this training: python run.py ckpt={disk / 'run'}" in outcome.out
        assert torch.load(last, weights_only=True)["global_step"] in (3, 6)
    (disk / "filling").unlink()
    assert_accepted(command(tmp_path, f"ckpt={disk / 'run'}"))
    assert torch.load(last, weights_only=True)["global_step"] == 9


@pytest.mark.parametrize("place", ["hydra.run.dir=disk/run", "paths.cache=disk/cache"])
@pytest.mark.parametrize("trouble", ["ro", "size=4k"])
def test_a_place_that_cannot_be_written(place: str, trouble: str, tiny_set: Path, disk: Path, tmp_path: Path) -> None:
    remount(disk, trouble)
    outcome = command(tmp_path, *TINY, "logger=csv", place, f"data.root={tiny_set}")
    assert_out_of_room(outcome, *(("disk/", "Read-only") if trouble == "ro" else ("No space",)))


@pytest.mark.parametrize("trouble", ["ro", "full"])
def test_a_store_that_cannot_be_written_costs_a_warning(
    trouble: str, tiny_set: Path, disk: Path, tmp_path: Path
) -> None:
    if trouble == "ro":
        remount(disk, "ro")
    else:
        fill(disk)
    store = f"logger.tracking_uri=sqlite:///{disk}/mlflow.db"
    outcome = command(tmp_path, *TINY, "model=tagger", store, "logger.patience_s=1", f"data.root={tiny_set}")
    assert_accepted(outcome)
    assert "task=sync" in outcome.out


@pytest.mark.parametrize("size", [2000, 20_000])
def test_a_quota_of_file_sizes(size: int, tiny_set: Path, tmp_path: Path) -> None:
    outcome = Started(tmp_path, *LONG, f"data.root={tiny_set}", setup=partial(limit, size)).end()
    assert_out_of_room(outcome, "File too large")


TASKS = {
    "verify": ("task=verify",),
    "inspect": ("task=inspect",),
    "convert": ("task=convert", "task.source={run}/checkpoints/separator/last.ckpt", "task.target=disk/a.sedsep.ckpt"),
}


@pytest.mark.parametrize(("task", "trouble"), zip(TASKS, ("ro", "size=4k", "ro"), strict=True))
def test_other_tasks(task: str, trouble: str, tiny_set: Path, tiny_run: Path, disk: Path, tmp_path: Path) -> None:
    remount(disk, trouble)
    given = [text.format(run=tiny_run) for text in TASKS[task]]
    outcome = command(tmp_path, *PLAIN, *given, f"data.root={tiny_set}", "hydra.run.dir=disk/run")
    assert_out_of_room(outcome, *(("disk/", "Read-only") if trouble == "ro" else ("No space",)))


def test_a_killed_worker(tiny_set: Path, tmp_path: Path) -> None:
    given = ("data.workers=2", f"data.root={tiny_set}", "hydra.run.dir=here")
    started = Started(tmp_path, *LONG, *given, pause=(STEP, 5))
    started.until()
    found = subprocess.run(["pgrep", "-P", str(started.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(found.split()[0]), signal.SIGKILL)
    started.go_on()
    outcome = started.end()
    assert_refused(outcome, "process that renders scenes was killed", "memory", "data.workers", "batch_size")
    assert f"ckpt={tmp_path / 'here'}" in outcome.out
    assert not left_over(tmp_path)
    assert_accepted(command(tmp_path, f"ckpt={tmp_path / 'here'}"))


def test_what_a_worker_cannot_use(tiny_set: Path, tmp_path: Path) -> None:
    for file in (tiny_set / "sound_event").rglob("*.wav"):
        file.write_bytes(b"RIFF")
    outcome = command(tmp_path, *TAGGER, "data.workers=2", f"data.root={tiny_set}")
    assert_refused(outcome, str(tiny_set), ".wav")
    assert not left_over(tmp_path)


def of_system(number: int, name: str | None) -> OSError:
    return OSError(number, os.strerror(number), name)


ERRORS: list[tuple[BaseException, tuple[str, ...]]] = [
    *((of_system(code, "/a/b"), ("/a/b cannot be written", "make room")) for code in FULL),
    *((of_system(code, "/a/b"), ("/a/b cannot be opened", "rights")) for code in CLOSED),
    (of_system(errno.ENOSPC, None), ("A file cannot be written", "No space")),
    (RuntimeError("DataLoader worker (pid(s) 4) exited unexpectedly"), ("data.workers", "pid(s) 4")),
    (RuntimeError("DataLoader worker (pid 4) is killed by signal: Killed. "), ("killed by signal: Killed)", "memory")),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), ("bf16-mixed", "accumulate", "(CUDA out")),
    (MemoryError(), ("too little memory", "batch_size")),
    (RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: 9 bytes"), ("too little memory",)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=range(len(ERRORS)))
def test_what_the_machine_lacks_is_a_sentence(error: BaseException, words: tuple[str, ...]) -> None:
    sentence = explain(error)
    assert sentence is not None
    assert_sentence(sentence, words)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "/a"), RuntimeError("DataLoader: no"), OSError()]
)
def test_a_defect_keeps_its_traceback(error: BaseException) -> None:
    assert explain(error) is None
