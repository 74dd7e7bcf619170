"""Downloads against a server on this machine: nothing here leaves 127.0.0.1."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from minis import refused
from servers import CONTENT, SHA256, Server, names

from sedsep.downloads import CHUNK, download, progress


def test_a_file_comes_whole_and_only_once(any_server: Server, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.pt"
    assert download(any_server.url(), path) == path
    assert download(any_server.url(), path).read_bytes() == CONTENT
    assert any_server.asked == [None]
    assert names(path.parent) == {"weights.pt", "weights.pt.sha256.json"}
    assert json.loads((path.parent / "weights.pt.sha256.json").read_text())["sha256"] == SHA256


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    assert download(server.url("/moved"), tmp_path / "weights.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", [SHA256, f"md5:{hashlib.md5(CONTENT).hexdigest()}"], ids=["sha256", "md5"])
def test_a_published_checksum_is_held_against_the_download_and_every_use(
    server: Server, tmp_path: Path, checksum: str
) -> None:
    path = tmp_path / "weights.pt"
    download(server.url(), path, checksum)
    assert names(tmp_path) == {"weights.pt"}
    path.write_bytes(b"something else")
    with refused(r"weights\.pt is not the published file"):
        download(server.url(), path, checksum)
    path.unlink()
    server.files["/weights.pt"] = b"something else"
    with refused("gives another file than it should"):
        download(server.url(), path, checksum)
    assert names(tmp_path) == set()


def test_without_a_published_checksum_the_first_use_is_trusted_and_later_ones_must_agree(
    server: Server, tmp_path: Path
) -> None:
    path = download(server.url(), tmp_path / "weights.pt")
    path.write_bytes(CONTENT[:-1] + b"?")
    with refused(r"has changed since its first use.*weights\.pt\.sha256\.json"):
        download(server.url(), path)
    path.unlink()
    server.files["/weights.pt"] = CONTENT[:-1] + b"?"
    with refused("gives another file than it should"):
        download(server.url(), path)
    assert not path.exists()
    server.files["/weights.pt"] = CONTENT
    assert download(server.url(), path).read_bytes() == CONTENT


def test_a_damaged_record_is_named(server: Server, tmp_path: Path) -> None:
    path = download(server.url(), tmp_path / "weights.pt")
    (tmp_path / "weights.pt.sha256.json").write_text("[")
    with refused(r"weights\.pt\.sha256\.json is damaged"):
        download(server.url(), path)


@pytest.mark.parametrize("damaged", ["on the disk", "on its way"])
def test_a_damaged_file_is_fetched_anew_where_that_is_wanted(server: Server, tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "weights.pt"
    if damaged == "on the disk":
        path.write_bytes(b"something else")
    else:
        server.files = Fickle(server.files)
    assert download(server.url(), path, SHA256, mend=True).read_bytes() == CONTENT
    path.unlink()
    server.files = {"/weights.pt": b"something else"}
    server.asked.clear()
    with refused("gives another file than it should"):
        download(server.url(), path, SHA256, mend=True)
    assert server.asked == [None, None]  # once more, not for ever


class Fickle(dict[str, bytes]):
    """Files that are damaged the first time they are asked for."""

    def get(self, path: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        content = super().get(path, default)
        self.get = super().get  # type: ignore[method-assign]
        return content and content[:-1] + b"?"


def test_a_full_disk_is_noticed_before_the_first_byte(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(CONTENT) - 1))
    with refused(r"weights\.pt needs about 0\.00 GB, and .* has 0\.00 GB free: make room"):
        download(server.url(), tmp_path / "weights.pt")
    assert not (tmp_path / "weights.pt.part").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(CONTENT)))
    assert download(server.url(), tmp_path / "weights.pt").read_bytes() == CONTENT


def test_progress_goes_to_the_log_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sedsep.downloads.LOG_EVERY", -1)
    with caplog.at_level("INFO"), progress("a large file", 4 * 10**9, held=10**9) as advance:
        advance(10**9)
    assert "a large file: 2.00 of 4.00 GB" in caplog.text


# Interruptions.


def test_a_connection_that_breaks_off_is_taken_up_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = [3 * CHUNK, 2 * CHUNK]
    assert download(server.url(), tmp_path / "weights.pt").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={3 * CHUNK}-", f"bytes={5 * CHUNK}-"]


def interrupted(server: Server, path: Path, kept: int = 3 * CHUNK) -> None:
    """A download that stopped after `kept` bytes."""
    server.cut = [kept, 0]
    with refused("cannot be downloaded now"):
        download(server.url(), path)
    assert path.with_name("weights.pt.part").stat().st_size == kept
    server.asked.clear()


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    interrupted(server, path)
    assert download(server.url(), path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={3 * CHUNK}-"]
    assert names(tmp_path) == {"weights.pt", "weights.pt.sha256.json"}


def test_a_server_that_ignores_the_range_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    interrupted(server, path)
    server.ranges = False
    assert download(server.url(), path).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_glued_to_its_old_half(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    interrupted(server, path)
    server.files["/weights.pt"] = changed = CONTENT[::-1]
    server.tag = '"two"'
    assert download(server.url(), path).read_bytes() == changed
    assert server.asked == [f"bytes={3 * CHUNK}-", None]


def test_a_download_killed_at_its_very_end_is_not_repeated(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    interrupted(server, path)
    path.with_name("weights.pt.part").write_bytes(CONTENT)
    assert download(server.url(), path).read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_of_unknown_origin_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(b"who knows")
    assert download(server.url(), tmp_path / "weights.pt").read_bytes() == CONTENT


def test_several_processes_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    server.pause = 0.5  # long enough for all to want it
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=download, args=(server.url(), tmp_path / "weights.pt")) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert server.asked == [None]
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


# What cannot be had.


def test_offline_one_sentence_says_which_file_belongs_where(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEDSEP_OFFLINE", "1")
    path = tmp_path / "weights.pt"
    with refused(re.escape(f"get {server.url()} (about 1.26 GB) elsewhere and put it at {path}, or")):
        download(server.url(), path, gigabytes=1.26)
    assert server.asked == []
    path.write_bytes(CONTENT)
    assert download(server.url(), path) == path
    path.write_bytes(b"changed")
    with refused("has changed since its first use"):
        download(server.url(), path)


def test_no_network_ends_in_the_same_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening: refuses every connection
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights.pt"
        with refused(re.escape(f"get {url} elsewhere and put it at {tmp_path / 'weights.pt'}, or")):
            download(url, tmp_path / "weights.pt")


def test_an_address_that_leads_nowhere_is_named(server: Server, tmp_path: Path) -> None:
    server.files["/login.html"] = b"<html>"
    with refused(r"/gone cannot be downloaded \(404"):
        download(server.url("/gone"), tmp_path / "x")
    with refused("a web page instead"):
        download(server.url("/login.html"), tmp_path / "x")
    assert names(tmp_path) == set()


def test_a_place_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused(r"file/x cannot be written"):
        download(server.url(), tmp_path / "file" / "x")


# Published weights.
