"""Journals that somebody else wrote: `task=sync` and a job that goes on send what is the run's own, and only to the
store that the config names."""

from __future__ import annotations

import http.server
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytest
from harness import assert_accepted, assert_refused, assert_refuses, command
from omegaconf import OmegaConf

from sedsep.runs.tracking import Mlflow, store
from sedsep.tasks import sync

pytestmark = pytest.mark.slow

KEY = "0123456789abcdef0123456789abcdef"
CANARY = "canary-5f2b"
"""Stands in files outside of the run directory: it must not leave."""

HERE = "sqlite:////here/mlflow.db"


@dataclass
class Sent:
    """What stores were given, in place of MLflow.

    Attributes:
        stores: address, artifact folder and experiment of each that was opened.
        metrics: value by name and step.
        params: by name.
        tags: by name.
        files: name and folder of each, with its content.
        ends: how runs ended.
    """

    stores: list[tuple[str, str, str]] = field(default_factory=list)
    metrics: dict[tuple[str, int], float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[tuple[str, str | None], str] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What the stores are given."""
    sent = Sent()

    class Store:
        def __init__(self, uri: str, artifacts: str, experiment: str) -> None:
            sent.stores.append((uri, artifacts, experiment))

        def has(self, run_id: str, key: str = "") -> bool:
            return run_id == "ours"

        def run(self, key: str, name: str, *_: object) -> str:
            sent.runs.append(name)
            return "ours"

        def go_on(self, run_id: str) -> None:
            assert run_id == "ours"

        def log(self, run_id: str, points: list[Any], params: dict[str, str], tags: dict[str, str]) -> None:
            assert run_id == "ours"
            sent.metrics.update({(name, step): value for name, value, _, step in points})
            sent.params |= params
            sent.tags |= tags

        def artifact(self, run_id: str, path: Path, folder: str | None) -> None:
            assert run_id == "ours"
            sent.files[path.name, folder] = path.read_text(errors="replace")

        def adopt(self, *_: object) -> None:
            pass

        def end(self, run_id: str, state: str, time: int) -> None:
            sent.ends.append(state)

    monkeypatch.setattr(store, "Store", Store)
    logging.getLogger("sedsep").setLevel(logging.INFO)
    return sent


START = {"key": KEY, "name": "job", "uri": HERE, "artifacts": "/there", "experiment": "sedsep", "sweep": None}
LINES: list[dict[str, Any]] = [
    {"start": START | {"sweep_dir": None}},
    {"params": {"seed": "1"}},
    {"tags": {"host": "node"}},
    *({"metrics": {"loss": step / 2}, "step": step} for step in range(8)),
    {"file": ["score.txt", None]},
    {"end": "finished"},
]


def written(*lines: dict[str, Any] | bytes) -> bytes:
    """A journal of such lines."""
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps({"t": 1_700_000_000_000, **line}).encode()) + b"\n"
        for line in lines
    )


def job(root: Path, content: bytes = written(*LINES), sent: object = None) -> Path:
    """A run directory below `root`, with a file of its own and secrets beside it."""
    directory = root / "outputs" / "day" / "job"
    (directory / "tracking").mkdir(parents=True)
    (directory / "tracking" / "events.jsonl").write_bytes(content)
    if sent is not None:
        text = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        (directory / "tracking" / "sent.json").write_bytes(text)
    (directory / "score.txt").write_text("good")
    (root / "secret.txt").write_text(CANARY)
    (root / "secrets").mkdir()
    (root / "secrets" / "key.txt").write_text(CANARY)
    return directory


def synced(root: Path, uri: str = HERE) -> None:
    """`task=sync`, called."""
    logger = {
        "_target_": "sedsep.runs.tracking.Mlflow", "tracking_uri": uri, "artifacts": str(root / "artifacts"),
        "experiment": "sedsep", "patience_s": 1,
    }  # fmt: skip
    sync.run(OmegaConf.create({"task": {"root": str(root)}, "logger": logger}))


def assert_whole(arrived: Sent, root: Path, *, but: tuple[str, ...] = ()) -> None:
    """All that the journal's good lines say is in the store that is configured, and nothing else is anywhere."""
    assert {(uri, folder) for uri, folder, _ in arrived.stores} == {(HERE, str(root / "artifacts"))}
    assert arrived.params == {"seed": "1"}
    assert arrived.tags == {"host": "node"}
    wanted = {("loss", step): step / 2 for step in range(8)}
    assert arrived.metrics == {point: value for point, value in wanted.items() if f"{point[0]}{point[1]}" not in but}
    assert arrived.files == {("score.txt", None): "good"}
    assert arrived.ends[-1:] == ["finished"]
    assert CANARY not in str(arrived)


# --- Where to


ADDRESSES = [
    "http://127.0.0.1:9", "https://store.example.org", "http://user:word@store.example.org:5000/mlflow", "databricks",
    "sqlite:////elsewhere/a.db", "file:///elsewhere", "/elsewhere", "postgresql://store.example.org/db",
    "HERE", HERE.upper(), HERE + "/", " " + HERE, "uc:store", "ftp://store.example.org", "$(id)", "[red]x[/]",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_journal_does_not_name_the_store(
    tmp_path: Path, arrived: Sent, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    job(tmp_path, written({"start": START | {"uri": address}}, *LINES[1:]))
    assert_refuses(lambda: synced(tmp_path), "1 of 1 could not be sent")
    assert "logger.tracking_uri=" in (out := capsys.readouterr().out)
    assert address.strip() in out
    assert not arrived.stores


@pytest.mark.parametrize(
    "start",
    [
        {"uri": ""}, {"uri": "http://a\nb"}, {"uri": "x" * 5000}, {"uri": None}, {"uri": ["a"]}, {"uri": "\x1b[2J"},
        {"experiment": ""}, {"experiment": "x" * 501}, {"experiment": "a\nb"}, {"experiment": "\x1b]0;x"},
        {"experiment": 1}, {"name": "x" * 501}, {"name": "a\r\nb"}, {"name": {}}, {"sweep": "' OR '1'='1"},
        {"sweep": 1}, {"key": "' OR '1'='1"}, {"key": KEY.upper()}, {"key": KEY + "\n"}, {"key": ""}, {"key": None},
        {"key": "a" * 33},
    ],
    ids=repr,
)  # fmt: skip
def test_a_start_that_names_nothing_starts_nothing(
    tmp_path: Path, arrived: Sent, capsys: pytest.CaptureFixture[str], start: dict[str, object]
) -> None:
    job(tmp_path, written({"start": START | start}, *LINES[1:]))
    synced(tmp_path)
    assert "Nothing is left to send" in capsys.readouterr().out
    assert not arrived.stores


def test_a_job_that_goes_on_sends_to_its_own_store(tmp_path: Path, arrived: Sent) -> None:
    """In a directory from somebody else, whose journal and record name another."""
    there = "http://store.example.org"
    record = {
        "uri": there,
        "experiment": "sedsep",
        "run_id": "theirs",
        "offset": 0,
        "files": [["../../../secret.txt", None]],
    }
    crafted = written({"start": START | {"uri": there}}, *LINES[1:-1], {"file": [str(tmp_path / "secret.txt"), None]})
    directory = job(tmp_path, crafted, record)
    mine = Mlflow(HERE, str(tmp_path / "artifacts"), "sedsep", 5)
    with mine.job(directory, "job", {"seed": "1"}, {"host": "node"}) as tracker:
        tracker.metrics({"score": 1.0})
    assert arrived.metrics.pop(("score", 0)) == 1.0
    assert_whole(arrived, tmp_path)


# --- Files


def _absolute(root: Path, directory: Path) -> str:
    return str(root / "secret.txt")


def _above(root: Path, directory: Path) -> str:
    return "../../../secret.txt"


def _down_and_above(root: Path, directory: Path) -> str:
    return "tracking/../../../../secret.txt"


def _link(root: Path, directory: Path) -> str:
    (directory / "link.txt").symlink_to(root / "secret.txt")
    return "link.txt"


def _relative_link(root: Path, directory: Path) -> str:
    (directory / "link.txt").symlink_to("../../../secret.txt")
    return "link.txt"


def _linked_folder(root: Path, directory: Path) -> str:
    (directory / "figures").symlink_to(root / "secrets")
    return "figures/key.txt"


def _link_to_a_link(root: Path, directory: Path) -> str:
    (directory / "first").symlink_to(root / "secrets")
    (directory / "second").symlink_to("first")
    return "second/key.txt"


def _circle(root: Path, directory: Path) -> str:
    (directory / "circle").symlink_to("circle")
    return "circle"


def _folder(root: Path, directory: Path) -> str:
    return "."


def _root(root: Path, directory: Path) -> str:
    return "/"


def _pipe(root: Path, directory: Path) -> str:
    os.mkfifo(directory / "pipe")
    return "pipe"


def _device(root: Path, directory: Path) -> str:
    return "/dev/zero"


def _process(root: Path, directory: Path) -> str:
    return "/proc/self/environ"


def _home(root: Path, directory: Path) -> str:
    return "~/secret.txt"


def _url(root: Path, directory: Path) -> str:
    return f"file://{root}/secret.txt"


def _long(root: Path, directory: Path) -> str:
    return "x" * 5000


def _no_name(root: Path, directory: Path) -> str:
    return ""


def _zero(root: Path, directory: Path) -> str:
    return "score.txt\0"


def _gone(root: Path, directory: Path) -> str:
    return "gone.txt"


FILES = (
    _absolute, _above, _down_and_above, _link, _relative_link, _linked_folder, _link_to_a_link, _circle, _folder, _root,
    _pipe, _device, _process, _home, _url, _long, _no_name, _zero, _gone,
)  # fmt: skip


@pytest.mark.parametrize("recorded", [False, True], ids=["journal", "record"])
@pytest.mark.parametrize("name", FILES)
def test_no_file_of_others_is_sent(
    tmp_path: Path, arrived: Sent, name: Callable[[Path, Path], str], recorded: bool
) -> None:
    """Neither one that the journal names, nor one that the record of what is still to be sent does."""
    directory = job(tmp_path)
    file = [name(tmp_path, directory), None]
    if recorded:
        record = {"uri": HERE, "experiment": "sedsep", "run_id": "ours", "offset": 0, "files": [file]}
        (directory / "tracking" / "sent.json").write_text(json.dumps(record))
    else:
        (directory / "tracking" / "events.jsonl").write_bytes(written(*LINES[:-1], {"file": file}, LINES[-1]))
    synced(tmp_path)
    assert_whole(arrived, tmp_path)


@pytest.mark.parametrize(
    "folder", ["..", "../..", "a/../../b", "/tmp", "/", "..\\..", "a/..", "\0", "x" * 5000, "a\nb"]
)
def test_a_copy_lies_within_its_run(tmp_path: Path, arrived: Sent, folder: str) -> None:
    job(tmp_path, written(*LINES[:-1], {"file": ["score.txt", folder]}, LINES[-1]))
    synced(tmp_path)
    assert_whole(arrived, tmp_path)


@pytest.mark.parametrize(
    ("name", "folder"), [("score.txt", "figures"), ("./tracking/../score.txt", "a/b"), ("ABSOLUTE", None)]
)
def test_a_file_of_the_run_is_sent_whatever_it_is_called(
    tmp_path: Path, arrived: Sent, name: str, folder: str | None
) -> None:
    directory = job(tmp_path)
    named = str(directory / "score.txt") if name == "ABSOLUTE" else name
    (directory / "tracking" / "events.jsonl").write_bytes(written(*LINES[:-2], {"file": [named, folder]}, LINES[-1]))
    synced(tmp_path)
    assert arrived.files == {("score.txt", folder): "good"}


# --- Lines


BAD: list[bytes] = [
    b"", b"\0", b"\xff\xfe\xfa", b"[1]", b"null", b'"t"', b"1", b"{", b"}", b"{}", b"[" * 100_000, b'{"t":1}x',
    b'{"a":' * 5000, b"x" * (17 * 2**20), b'{"tags":{"a":"b"}}',
    *(
        json.dumps({"t": 1} | change).encode()
        for change in (
            {"t": "1", "tags": {"a": "b"}}, {"t": None}, {"t": -1, "tags": {"a": "b"}},
            {"t": 2**70, "tags": {"a": "b"}}, {"t": True}, {"t": 1.5, "tags": {"a": "b"}},
            {"tags": {"a": 1}}, {"tags": ["a"]}, {"tags": "a"},
            {"tags": {f"t{index}": "x" for index in range(101)}}, {"params": {"a": None}}, {"params": {"seed": 2}},
            {"params": {f"p{index}": "x" for index in range(5000)}}, {"metrics": {"a": "1"}}, {"metrics": {"a": None}},
            {"metrics": {"a": [1]}}, {"metrics": {"a": 1.0}, "step": -1}, {"metrics": {"a": 1.0}, "step": "1"},
            {"metrics": {"a": 1.0}, "step": 2**63}, {"metrics": {f"m{index}": 1.0 for index in range(101)}},
            {"metrics": 3}, {"file": "score.txt"}, {"file": ["score.txt"]}, {"file": [1, 2]},
            {"file": ["a", None, "b"]}, {"file": {"a": "b"}}, {"end": "weird"}, {"end": 1}, {"end": ["finished"]},
            {"start": {}}, {"start": 1},
            {"start": {"key": KEY}}, {"start": []},
        )
    ),
    b'{"t":1,"tags":{"a":"\\ud800"}}', b'{"t":1,"metrics":{"a":1' + b"0" * 5000 + b"}}",
    b'{"t":1,"explode":{"now":[1]}}',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:40].decode(errors="replace"))
def test_a_bad_line_costs_itself_alone(
    tmp_path: Path, arrived: Sent, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    directory = job(tmp_path, written(*LINES[:5], line, *LINES[5:]))
    synced(tmp_path)
    assert_whole(arrived, tmp_path)
    if b"explode" not in line:  # a later version's, perhaps
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert str(directory / "tracking" / "events.jsonl") in warning


@pytest.mark.parametrize("place", range(0, 16))
def test_a_damaged_byte_costs_its_line(tmp_path: Path, arrived: Sent, place: int) -> None:
    step = place % 8
    damaged = bytearray(written(LINES[3 + step]))
    damaged[place * 3] = 0xF0 | place
    job(tmp_path, written(*LINES[: 3 + step], bytes(damaged[:-1]), *LINES[4 + step :]))
    synced(tmp_path)
    assert_whole(arrived, tmp_path, but=(f"loss{step}",))


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_journal_that_was_cut_off_is_sent_as_far_as_it_goes(tmp_path: Path, arrived: Sent, cut: int) -> None:
    whole = written(*LINES)
    left = len(written(*LINES[:3])) + (len(whole) - len(written(*LINES[:3]))) * cut // 12
    job(tmp_path, whole[:left])
    synced(tmp_path)
    steps = whole[:left].count(b'"step"') - (b'"step"' in whole[:left].rsplit(b"\n", 1)[-1])
    assert arrived.metrics == {("loss", step): step / 2 for step in range(steps)}
    assert arrived.params == {"seed": "1"}


# --- The record of what was sent


RECORD = {"uri": HERE, "experiment": "sedsep", "run_id": "ours", "offset": 0, "files": []}
_TEXT = json.dumps(RECORD).encode()


@pytest.mark.parametrize(
    "record",
    [
        *(_TEXT[: len(_TEXT) * part // 6] for part in range(6)), _TEXT + b"}", _TEXT + b"\0" * 40, b"\xff" * 40,
        b"null", b"[]", b"3", b"[" * 100_000, b'{"uri": NaN}', *(
            RECORD | change
            for change in (
                {"offset": "0"}, {"offset": -5}, {"offset": None}, {"offset": 1.5}, {"offset": 2**80}, {"offset": True},
                {"run_id": "theirs"}, {"run_id": "'"}, {"run_id": "../x"}, {"run_id": 5}, {"run_id": "x" * 999},
                {"run_id": None}, {"files": None}, {"files": ["score.txt"]}, {"files": [[1, 2]]}, {"files": {"a": "b"}},
                {"uri": "http://store.example.org"}, {"uri": None}, {"experiment": "another"}, {"experiment": 1},
                {"surprise": 1}, {"key": "x", "artifacts": "/tmp"},
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_says_nothing_is_as_none(tmp_path: Path, arrived: Sent, record: object) -> None:
    job(tmp_path, sent=record)
    synced(tmp_path)
    assert_whole(arrived, tmp_path)


# --- Links


def _journal(directory: Path, target: Path) -> None:
    (directory / "tracking" / "events.jsonl").rename(target)
    (directory / "tracking" / "events.jsonl").symlink_to(target)


def _journals_folder(directory: Path, target: Path) -> None:
    target.unlink()
    (directory / "tracking").rename(target)
    (directory / "tracking").symlink_to(target)


@pytest.mark.parametrize("link", [_journal, _journals_folder])
def test_a_journal_that_lies_elsewhere_is_neither_read_nor_mended(
    tmp_path: Path, arrived: Sent, caplog: pytest.LogCaptureFixture, link: Callable[[Path, Path], None]
) -> None:
    target = tmp_path / "precious"
    target.touch()
    directory = job(tmp_path, written(*LINES[:-1]) + b"a last line of somebody's without an end")
    (directory / "status.json").write_text(
        json.dumps({"state": "failed", "task": "train", "host": "", "pid": 1, "started": 1})
    )
    link(directory, target)
    file = target if target.is_file() else target / "events.jsonl"
    before = file.read_bytes()
    synced(tmp_path)
    assert not arrived.stores
    assert any("is a link" in record.getMessage() for record in caplog.records)
    mine = Mlflow(HERE, str(tmp_path / "artifacts"), "sedsep", 5)
    assert_refuses(lambda: mine.job(directory, "job", {}, {}), "is a link", "remove")
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["tracking/.lock", "tracking/sent.json", ".running.lock"])
def test_nothing_is_written_through_a_link(tmp_path: Path, arrived: Sent, name: str) -> None:
    directory = job(tmp_path)
    (directory / name).symlink_to(tmp_path / "secret.txt")
    try:
        synced(tmp_path)
    except Exception:
        assert not arrived.files
    assert (tmp_path / "secret.txt").read_text() == CANARY
    assert CANARY not in str(arrived)


def test_names_of_folders_are_shown_as_they_are(
    tmp_path: Path, arrived: Sent, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = job(tmp_path)
    (directory.parent / "[red]x[").mkdir()
    directory.rename(directory.parent / "[red]x[" / "]:bomb:")
    synced(tmp_path)
    assert "outputs/day/[red]x[/]:bomb: " in capsys.readouterr().out


# --- Real stores


class Listener:
    """A server that notes what is said to it, and takes nothing."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                outer.heard.append(self.requestline.encode() + self.rfile.read(length))
                self.send_error(500)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


CRAFTED = [
    *LINES[:-1],
    {"tags": {"sedsep.key": "f" * 32, "mlflow.parentRunId": "theirs", "long": "x" * 9000, "\0odd[name]": "\0"}},
    {"params": {"long": "x" * 9000, "n" * 900: "name"}},
    {"metrics": {"odd<name>": 1.0, "m" * 900: 2.0}, "step": 2**52},
    {"file": ["../../../secret.txt", None]},
    {"file": ["/etc/passwd", None]},
    LINES[-1],
]


def test_a_command_sends_nothing_where_the_journal_says(tmp_path: Path, listener: Listener) -> None:
    job(tmp_path, written({"start": START | {"uri": listener.uri}}, *CRAFTED[1:]))
    done = command(tmp_path, "task=sync", MLFLOW_TRACKING_URI="")
    assert_refused(done, "1 of 1 could not be sent")
    assert f"logger.tracking_uri={listener.uri}" in done.out
    assert not listener.heard


def test_a_command_sends_there_when_it_is_told_to(tmp_path: Path, listener: Listener) -> None:
    job(tmp_path, written({"start": START | {"uri": listener.uri}}, *CRAFTED[1:]))
    done = command(tmp_path, "task=sync", f"logger.tracking_uri={listener.uri}")
    assert_refused(done, "1 of 1 could not be sent")
    assert listener.heard
    assert CANARY.encode() not in b"".join(listener.heard)


def test_a_command_without_a_store_says_so(tmp_path: Path) -> None:
    job(tmp_path)
    assert_refused(command(tmp_path, "task=sync", "logger=none"), "logger=mlflow")


def test_a_command_fills_the_store_with_the_runs_own(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    job(tmp_path, written({"start": START | {"uri": uri, "artifacts": str(tmp_path / "trap")}}, *CRAFTED[1:]))
    assert_accepted(command(tmp_path, "task=sync"))
    assert not (tmp_path / "trap").exists()
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("sedsep")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["sedsep.key"] == KEY
    assert "mlflow.parentRunId" not in run.data.tags
    assert len(run.data.metrics) == 3
    assert len(run.data.params["long"]) == 6000
    files = [path for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["score.txt"]
    assert all(CANARY not in path.read_text() for path in files)


def test_a_record_does_not_name_somebody_elses_run(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store.Store(uri, str(tmp_path / "mlartifacts"), "sedsep")
    client = mlflow.MlflowClient(uri)
    theirs = client.create_run(client.get_experiment_by_name("sedsep").experiment_id)
    start = {"start": START | {"uri": uri}}
    job(tmp_path, written(start, *LINES[1:]), RECORD | {"uri": uri, "run_id": theirs.info.run_id})
    synced(tmp_path, uri)
    untouched = client.get_run(theirs.info.run_id)
    assert untouched.info.status == "RUNNING"
    assert not untouched.data.metrics
    assert len(client.search_runs([theirs.info.experiment_id])) == 2
