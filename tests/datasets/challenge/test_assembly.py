"""Assembling the data set from a replica of its archives: interrupted, damaged, malicious, repeated."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets.challenge.replica import DEVELOPMENT, Replica, development, tree, wav
from minis import refused
from servers import Server

from sedsep.datasets.challenge import archives, prepared, steps
from sedsep.downloads import CHUNK

Make = Callable[..., Path]


@pytest.fixture
def replica(server: Server, tmp_path: Path) -> Replica:
    return Replica(server, tmp_path)


@pytest.fixture
def make(replica: Replica, tmp_path: Path) -> Make:
    """Assembles the data set; gives its root."""

    def run(root: str = "set", keep_archives: bool = False, **cleaning: float) -> Path:
        replica.assembly(tmp_path / root, **cleaning).run(lambda _: True, keep_archives=keep_archives)
        return tmp_path / root

    return run


def test_what_was_done_is_written_down_and_archives_are_gone(
    make: Make, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        root = make()
    assert "p001: 1 sounds, 1 too quiet" in caplog.text
    journals = {path.stem: json.loads(path.read_text()) for path in (root / "prepared").glob("*.json")}
    assert sorted(journals) == ["curated", "development", "evaluation", "speech"]
    assert all(journal["finished"] for journal in journals.values())
    assert journals["development"]["parts"]["DCASE2025Task4Dataset.z01"].startswith("md5:")
    assert journals["speech"]["parts"]["p001"] == {"kept": 1, "rejected": {"too quiet": ["p001/quiet.wav"]}}
    curated = journals["curated"]["parts"]
    assert curated["sound_event"]["rejected"].keys() == {"too short", "missing in the archive"}
    assert curated["interference"]["rejected"] == {
        "unreadable": ["BinauralCuratedDataset/bg_scaper_fmt/train/Rain/2003.wav"]
    }
    assert {path.name for path in (root / "archives").iterdir() if path.suffix in (".zip", ".tar", ".z01")} == set()
    assert (root / "unpacked" / "DCASE2025Task4Dataset" / "final_0402_1" / "note.txt").is_file()
    assert "/ears/p002.zip" not in replica.shelf.taken  # the challenge takes nothing of this speaker


def test_archives_are_kept_on_request(make: Make, replica: Replica) -> None:
    root = make(keep_archives=True)
    names = {path.name for path in (root / "archives").iterdir()}
    assert names >= {*replica.parts, "p001.zip", "p003.zip", "BinauralCuratedDataset.tar"}


def test_a_repeat_asks_nobody_and_changes_nothing(make: Make, replica: Replica) -> None:
    root = make()
    before = tree(root)
    replica.server.asked.clear()
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
    make()
    assert replica.server.asked == []
    assert tree(root) == before
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")} == times


# Interruptions.


class Killed(BaseException):
    """As sudden as a signal."""


def killing(module: Any, name: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die in the middle of the `at`-th call of a function."""
    original, calls = getattr(module, name), Counter[str]()

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        if calls[name] == at:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, dying)


@pytest.fixture(scope="module")
def whole() -> dict[str, dict[str, bytes]]:
    """The data set of an undisturbed preparation, once it is made."""
    return {}


def interruptions() -> Iterator[tuple[Any, str, int]]:
    yield from ((steps, "download", at) for at in (1, 3, 6, 9, 11))
    yield from ((archives, "whole", at) for at in (1, 9, 27))
    yield from ((steps.ListedSounds, "_write", at) for at in (1, 2, 3, 4))
    yield from ((steps.Place, "discard", at) for at in (1, 4, 9, 11))
    yield from ((steps.Path, "rename", at) for at in (1, 2))
    yield from ((steps.Journal, "save", at) for at in (1, 5, 12, 16))


@pytest.mark.parametrize(("module", "name", "at"), interruptions(), ids=lambda value: getattr(value, "__name__", value))
def test_a_kill_anywhere_is_made_good_by_a_repeat(
    make: Make, whole: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, module: Any, name: str, at: int
) -> None:
    if not whole:
        whole["set"] = tree(make(root="undisturbed") / "dev_set")
    with monkeypatch.context() as patched:
        killing(module, name, at, patched)
        with pytest.raises(Killed):
            make()
    root = make()
    assert tree(root / "dev_set") == whole["set"]
    assert {path.name for path in (root / "archives").iterdir() if path.suffix != ".lock"} == {
        "1.json",
        "1.json.sha256.json",
        "2.json",
        "2.json.sha256.json",
    }


def test_a_transfer_that_stops_goes_on_where_it_stopped(make: Make, replica: Replica, tmp_path: Path) -> None:
    replica.server.cut = [10**9, 10**9, CHUNK, 0]  # both records, a piece of the first part, then nothing
    with refused("DCASE2025Task4Dataset.z01 is needed and cannot be downloaded now"):
        make()
    replica.server.asked.clear()
    root = make()
    assert replica.server.asked[0] == f"bytes={CHUNK}-"
    assert (root / "dev_set" / "sound_event" / "train" / "Cough" / "cough_0.wav").is_file()
    assert not list((tmp_path / "set").rglob("*.part"))


def test_a_data_set_half_prepared_is_not_trained_on(make: Make, replica: Replica, tmp_path: Path) -> None:
    with refused("does not hold the challenge's data yet: run task=prepare first"):
        prepared(tmp_path / "set")
    speaker = replica.shelf.pop("/ears/p003.zip")
    with refused(r"p003\.zip cannot be downloaded \(404"):
        make()
    with refused("The step speech of preparing .* was interrupted: run task=prepare again"):
        prepared(tmp_path / "set")
    replica.shelf["/ears/p003.zip"] = speaker
    assert prepared(make()) == tmp_path / "set" / "dev_set"


# Damage and malice.


def test_a_corrupted_part_on_the_disk_is_fetched_again(
    make: Make, replica: Replica, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "DCASE2025Task4Dataset.z02"
    part = tmp_path / "set" / "archives" / name
    part.parent.mkdir(parents=True)
    part.write_bytes(replica.parts[name][:-1] + b"?")
    root = make()
    assert f"{name} is damaged: it is fetched again" in caplog.text
    assert (root / "dev_set" / "sound_event").is_dir()


def test_a_part_that_comes_corrupted_is_fetched_again_once(make: Make, replica: Replica) -> None:
    name = "DCASE2025Task4Dataset.z03"
    good = replica.parts[name]
    replica.shelf.once[f"/1/{name}"] = good[:-1] + bytes([good[-1] ^ 1])
    assert (make() / "dev_set" / "sound_event").is_dir()
    assert replica.shelf.taken.count(f"/1/{name}") == 2


def test_a_part_that_stays_corrupted_is_named(make: Make, replica: Replica) -> None:
    replica.shelf["/1/DCASE2025Task4Dataset.z03"] = b"?" * 1000
    with refused(r"z03 gives another file than it should"):
        make()


def test_a_path_that_leads_outside_is_refused(make: Make, replica: Replica, tmp_path: Path) -> None:
    files = development(tmp_path) | {f"{DEVELOPMENT}/../../../../../evil.wav": wav(0.1)}
    replica.publish(1, "DCASE2025Task4Dataset", files, 4)
    before = {path.name for path in tmp_path.iterdir()}
    with refused(r"DCASE2025Task4Dataset\.zip would write outside its folder .*evil\.wav"):
        make()
    assert {path.name for path in tmp_path.iterdir()} - before <= {"set", ".set.lock"}
    assert not list(tmp_path.rglob("evil.wav"))
    assert not (tmp_path / "set" / "dev_set").exists()


def test_a_full_disk_is_told_before_a_download(make: Make, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sedsep.downloads.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 2 * 10**5))
    with refused(r"Preparing the data needs about 0\.\d\d GB, and .* has 0\.00 GB free: make room"):
        make()
    assert set(replica.shelf.taken) == {"/api/records/1", "/api/records/2"}


def test_other_demands_on_sounds_make_them_anew(make: Make) -> None:
    root = make()
    quiet = root / "dev_set" / "sound_event" / "train" / "Speech" / "p001_quiet.wav"
    make(min_peak=0.005)
    assert quiet.is_file()
    make()
    assert not quiet.exists()


def test_a_change_of_demands_survives_a_kill(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tree(make("other", min_peak=0.005) / "dev_set")
    make()
    with monkeypatch.context() as patched:
        killing(steps.ListedSounds, "_write", 2, patched)
        with pytest.raises(Killed):
            make(min_peak=0.005)
    assert tree(make(min_peak=0.005) / "dev_set") == expected


def test_a_tar_used_up_is_not_fetched_again(make: Make, replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        killing(steps.Journal, "finish", 4, patched)
        with pytest.raises(Killed):
            make()
    replica.shelf.taken.clear()
    prepared(make())
    assert replica.shelf.taken == []


def test_a_data_set_that_is_there_is_completed(make: Make, replica: Replica, tmp_path: Path) -> None:
    for name, content in development(tmp_path).items():
        path = tmp_path / "set" / name.replace(DEVELOPMENT, "dev_set")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    root = make()
    assert not any(path.startswith("/1/") for path in replica.shelf.taken)
    assert (root / "dev_set" / "sound_event" / "train" / "Speech" / "p001_freeform.wav").is_file()


def test_the_set_of_another_year_is_not_taken_for_this_one(make: Make, server: Server, tmp_path: Path) -> None:
    root = make()
    with refused("dev_set is of DCASE2025Task4Dataset, not of DCASE2026Task4Dataset: give another data.root"):
        Replica(server, tmp_path, 2026).assembly(root).run(lambda _: True)
