"""Files by which jobs tell each other how they are: those of a neighbour cost a warning, those that are asked for a
sentence."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Outcome, assert_accepted, assert_refused, assert_refuses, command
from tiny import TINY

from sedsep.runs.command_line.starting import continued
from sedsep.runs.directories import INTERRUPTED, read_status
from sedsep.runs.sweeps import Job, outcome
from sedsep.runs.tracking import Csv, HistoryLogger, read_history

pytestmark = pytest.mark.slow

STATUS = {
    "state": "failed",
    "task": "train",
    "host": "node",
    "pid": 1,
    "started": 1.7e9,
    "ended": 1.7e9 + 60,
    "cause": "x",
}
_TEXT = json.dumps(STATUS).encode()


def _changed(**changes: object) -> bytes:
    return json.dumps(STATUS | changes).encode()


NO_STATUS: dict[str, bytes] = {
    **{f"cut off after {part} of 24": _TEXT[: len(_TEXT) * part // 24] for part in range(24)},
    "extended": _TEXT + b"}",
    "twice": _TEXT * 2,
    "zeros": b"\0" * len(_TEXT),
    "zeros after it": _TEXT + b"\0",
    "UTF-16": _TEXT.decode().encode("utf-16"),
    "Latin-1": _changed(cause="?").replace(b"?", b"\xe9"),
    "pickle": b"\x80\x04\x95\x10\x00",
    "deep": b"[" * 200_000,
    "deep within": _TEXT[:-1] + b',"more":' + b"[" * 999 + b"]" * 999 + b"}",
    "null": b"null",
    "number": b"3",
    "list": b"[" + _TEXT + b"]",
    "text": json.dumps(_TEXT.decode()).encode(),
    "not a number": _changed(started=float("nan")),
    "infinite": _changed(ended=float("inf")),
    "more than infinite": _TEXT.replace(b'"started": 1700000000.0', b'"started": 1e999'),
    "before the beginning": _changed(started=-1e308),
    "huge": _changed(pid=10**40),
    "endless digits": _TEXT.replace(b'"pid": 1', b'"pid": ' + b"1" * 100_000),
    "a state that is none": _changed(state="exploded"),
    "a state in capitals": _changed(state="FINISHED"),
    "a state of another kind": _changed(state=["finished"]),
    "no state": json.dumps({name: value for name, value in STATUS.items() if name != "state"}).encode(),
    "no start": json.dumps({name: value for name, value in STATUS.items() if name != "started"}).encode(),
    "a start in words": _changed(started="yesterday"),
    "no time": _changed(started=None),
    "a task of another kind": _changed(task={"name": "train"}),
    "a cause of another kind": _changed(cause=["a", "b"]),
    "a process of another kind": _changed(pid="1"),
    "half a character": _TEXT.replace(b'"x"', b'"\\ud800"'),
}


def _folder(path: Path) -> None:
    path.mkdir()


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


NO_FILE = (_folder, _circle, _device, _large, os.mkfifo)


def begun(run_dir: Path, content: bytes | Callable[[Path], object] = _TEXT) -> Path:
    """A training's directory, as `ckpt=last` finds it."""
    (run_dir / ".hydra").mkdir(parents=True)
    (run_dir / ".hydra" / "overrides.yaml").write_text("- seed=3\n")
    if isinstance(content, bytes):
        (run_dir / "status.json").write_bytes(content)
    else:
        content(run_dir / "status.json")
    return run_dir


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


CONTENTS = pytest.mark.parametrize(
    "content", [*NO_STATUS.values(), *NO_FILE], ids=[*NO_STATUS, *(make.__name__ for make in NO_FILE)]
)


@CONTENTS
def test_a_neighbours_status_does_not_keep_the_last_training_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, broken = begun(Path("outputs/day/a")), begun(Path("outputs/day/b"), content)
    assert continued(["ckpt=last"]) == ["seed=3", f"hydra.run.dir='{whole}'"]
    listed = [text for text in warnings_of(caplog) if str(broken / "status.json") in text]
    assert len(listed) == len(warnings_of(caplog)) == (content is not _circle)  # which leads nowhere: there is none


@CONTENTS
def test_a_job_whose_status_is_damaged_is_run_again_by_its_sweep(tmp_path: Path, content: bytes) -> None:
    job = Job(0, ("seed=1",), "0")
    assert outcome(job, begun(tmp_path / "0", content), None).state == "not started"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'{"test/ca_sdri/tagger": "5"}', b'{"test/ca_sdri/tagger": NaN}',
        b'{"test/ca_sdri/tagger": [1]}', b'{"test/ca_sdri/tagger": 1e999}',
        b'{"test/ca_sdri/tagger": ' + b"9" * 9999 + b"}",
        b"\xff\xfe", b"[" * 100_000, b'{"test/ca_sdri/tagger": 1.5}}', b'{"test/ca_sdri/tagger": true}',
    ],
    ids=lambda content: content[:44].decode(errors="replace"),
)  # fmt: skip
def test_a_sweeps_table_names_the_scores_that_it_cannot_read(tmp_path: Path, content: bytes) -> None:
    run_dir = begun(tmp_path / "0", _changed(state="finished"))
    (run_dir / "metrics.json").write_bytes(content)
    found = outcome(Job(0, (), "0"), run_dir, None)
    assert (found.state, found.score) == ("finished", None)
    assert str(run_dir / "metrics.json") in str(found.cause)


def test_a_later_versions_status_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    status = read_status(begun(tmp_path / "a", _changed(gpus=4, state="running")))
    assert status is not None
    assert (status.state, status.task, status.pid) == (INTERRUPTED, "train", 1)
    assert not warnings_of(caplog)


# --- Histories

ROWS = [f"1.0,{step},loss,{step / 2}" for step in range(6)]
GOOD = [{"step": str(step), "loss": str(step / 2)} for step in range(6)]


@pytest.mark.parametrize(
    "row",
    [
        b"", b",,,", b"1,2,3", b"1,2,loss", b"1,2,loss,3,4", b"1,x,loss,3", b"1,2,loss,x",
        b"1,2.5,loss,3", b"1,-1,loss,3",
        b"1," + b"9" * 30 + b",loss,3", b"1," + b"9" * 5000 + b",loss,3", b"1,nan,loss,3", b"1,1e3,loss,3", b"\0" * 80,
        b"\xff\xfe\x80", b'"' * 9, b'"1,2', b"x" * 200_000, b"1,2,loss," + b"1" * 200_000 + b"x",
        b"time,step,name,value",
    ],
    ids=lambda row: row[:30].decode(errors="replace"),
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_damaged_row_of_a_history_costs_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, row: bytes, place: int
) -> None:
    path = tmp_path / HistoryLogger.NAME
    lines = [line.encode() for line in ROWS]
    path.write_bytes(b"".join(line + b"\n" for line in [b"time,step,name,value", *lines[:place], row, *lines[place:]]))
    assert read_history(path) == GOOD
    (warning,) = warnings_of(caplog)
    assert str(path) in warning
    HistoryLogger(tmp_path).log_metrics({"loss": 3.0}, 6)
    assert read_history(path) == [*GOOD, {"step": "6", "loss": "3.0"}]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff", b"a\nb\n", b"\n" * 50, b"x" * 2**25, b"PK\x03\x04\n\n"])
def test_a_history_that_is_none_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / HistoryLogger.NAME
    path.write_bytes(content)
    HistoryLogger(tmp_path).log_metrics({"loss": 3.0}, 6)
    assert read_history(path) == [{"step": "6", "loss": "3.0"}]


# --- Commands


def trained_on(folder: Path, *arguments: str) -> Outcome:
    return command(folder, *arguments, longest_s=300)


@pytest.fixture
def interrupted(tiny_run: Path) -> Path:
    """A training as a kill leaves it: `ckpt=last` goes on with it, and trains nothing more."""
    place = tiny_run.parent / "outputs" / "day" / "run"
    place.parent.mkdir(parents=True)
    tiny_run.rename(place)
    (place / "status.json").write_bytes(_changed(state="interrupted"))
    return place


def test_the_last_training_goes_on_beside_broken_ones(interrupted: Path, tmp_path: Path) -> None:
    for number, content in enumerate([b"", _TEXT[:-9], _changed(started="now"), _folder, os.mkfifo]):
        begun(interrupted.with_name(f"broken{number}"), content)
    done = trained_on(tmp_path, "ckpt=last", *(() if (interrupted / ".hydra").is_dir() else TINY))
    assert_accepted(done)
    assert json.loads((interrupted / "status.json").read_text())["state"] == "finished"
    for number in range(5):
        assert (done.out + done.err).count(f"broken{number}/status.json") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff" * 9, b"[" * 100_000, b'{"seed": NaN}'])
def test_a_training_whose_recipe_is_damaged_is_not_gone_on_with(
    interrupted: Path, tmp_path: Path, content: bytes
) -> None:
    recipe = interrupted / "checkpoints" / "separator" / "recipe.json"
    recipe.write_bytes(content)
    assert_refused(trained_on(tmp_path, f"ckpt={interrupted}"), str(recipe), "model.ckpt=")


def test_a_recipe_that_is_a_pipe_keeps_nobody_waiting(interrupted: Path, tmp_path: Path) -> None:
    recipe = interrupted / "checkpoints" / "separator" / "recipe.json"
    recipe.unlink()
    os.mkfifo(recipe)
    assert_refused(command(tmp_path, f"ckpt={interrupted}"), "recipe.json")


def test_a_sweep_goes_on_beside_broken_files(tmp_path: Path) -> None:
    sweep = ("-m", "task=inspect", "data=folder", "data.root=/nowhere", "seed=1,2")
    first = trained_on(tmp_path, *sweep, f"hydra.sweep.dir={tmp_path}/sweep")
    assert_refused(first, "2 of 2 jobs")
    (tmp_path / "sweep" / "0" / "status.json").write_bytes(b"")
    (tmp_path / "sweep" / "1" / "status.json").write_bytes(_TEXT[:-20])
    again = trained_on(tmp_path, "-m", f"sweep.resume={tmp_path}/sweep")
    assert_refused(again, "2 of 2 jobs")
    assert "0/status.json" in again.out + again.err


def test_nothing_is_written_through_links_of_a_run_directory(interrupted: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("a line\nand half a line")
    for name in ("config.yaml", "environment.txt", "status.json", "report.html"):
        (interrupted / name).unlink(missing_ok=True)
        (interrupted / name).symlink_to(precious)
    assert_refused(trained_on(tmp_path, f"ckpt={interrupted}"), "is a link that leads out")
    assert precious.read_text() == "a line\nand half a line"


@pytest.mark.parametrize("name", ["tracking/events.jsonl", ".running.lock"])
def test_a_link_in_place_of_a_file_that_grows_is_refused(interrupted: Path, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("a line\nand half a line")
    (interrupted / name).unlink(missing_ok=True)
    (interrupted / name).symlink_to(precious)
    assert_refused(trained_on(tmp_path, f"ckpt={interrupted}"), Path(name).name)
    assert precious.read_text() == "a line\nand half a line"


def test_facts_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "tracking.json").write_text("{")
    assert_refuses(lambda: Csv().job(tmp_path, "job", {}, {"a": "b"}), "tracking.json", "remove")
