"""What servers and the challenge's lists say of the sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets.challenge.replica import Replica, listed, zipped
from minis import refused
from servers import Server

from sedsep.datasets.challenge.sources import RemoteFile, read_listing, record_files, split_archive


def remote(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, "url", 1, "md5:0") for name in names]


def test_parts_come_in_order_whatever_else_is_there() -> None:
    names = [f"Set.z{number:02d}" for number in range(1, 12)] + ["Set.zip"]
    found = split_archive(remote("README.md", *reversed(names), "Set2.z01", "Other.zip"), "Set")
    assert [file.name for file in found] == names
    assert [file.name for file in split_archive(remote("Set.zip"), "Set")] == ["Set.zip"]


@pytest.mark.parametrize("names", [(), ("Set.z01",), ("Set.z01", "Set.z03", "Set.zip"), ("Set.z02", "Set.zip")])
def test_a_set_that_lacks_a_part_is_refused(names: tuple[str, ...]) -> None:
    with refused(r"The record lacks Set\.(z01|z02|zip)"):
        split_archive(remote(*names), "Set")


def test_a_record_gives_addresses_sizes_and_checksums(server: Server, tmp_path: Path) -> None:
    Replica(server, tmp_path)
    files = record_files(server.url("/api/records/1"), tmp_path / "archives")
    assert {file.name for file in files} >= {"DCASE2025Task4Dataset.zip", "DCASE2025Task4Dataset.z01"}
    assert all(file.checksum.startswith("md5:") and file.size and file.url.startswith("http") for file in files)
    asked = len(server.asked)
    assert record_files(server.url("/api/records/1"), tmp_path / "archives") == files
    assert len(server.asked) == asked


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"files": [{"key": "x"}]}', b"not JSON"])
def test_another_answer_is_refused(server: Server, tmp_path: Path, content: bytes) -> None:
    server.files["/api/records/9"] = content
    with refused(r"api/records/9 does not list|9\.json is damaged or holds something else"):
        record_files(server.url("/api/records/9"), tmp_path)


def listing(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("root", ["", "sound_event/", "data/dev_set/sound_event/", "/home/somebody/sound_event/"])
@pytest.mark.parametrize("form", [list, lambda entries: dict(enumerate(entries))], ids=["list", "numbered"])
def test_targets_are_taken_from_the_end_of_a_path(tmp_path: Path, root: str, form: Any) -> None:
    entries = [listed("/x/p001/a.wav", "train/Speech/p001_a.wav")]
    entries[0]["convert_path"] = root + entries[0]["convert_path"]
    ((source, target),) = read_listing(listing(tmp_path / "x.json", form(entries)))
    assert str(target) == "train/Speech/p001_a.wav"
    assert source.parts[-2:] == ("p001", "a.wav")


def test_a_folder_as_target_keeps_the_name(tmp_path: Path) -> None:
    entry = listed("p001/a.flac", "train/Speech/x.wav") | {"convert_path": "train/Speech"}
    ((_, target),) = read_listing(listing(tmp_path / "x.json", [entry]))
    assert str(target) == "train/Speech/a.wav"


@pytest.mark.parametrize(
    "change",
    [
        {"convert_path": "train/Cough/a.wav"},
        {"convert_path": "a.wav"},
        {"convert_path": "../Speech/a.wav"},
        {"convert_path": None},
        {"t4_label": 3},
    ],
    ids=str,
)
def test_an_entry_that_leads_elsewhere_is_shown(tmp_path: Path, change: dict[str, Any]) -> None:
    path = listing(tmp_path / "x.json", [listed("p001/a.wav", "train/Speech/a.wav") | change])
    with refused(r"x\.json has an entry that is not understood, .*p001/a\.wav"):
        read_listing(path)


@pytest.mark.parametrize("content", [[], {}, "text", None, ["a"], 3])
def test_something_else_than_a_list_is_refused(tmp_path: Path, content: Any) -> None:
    with refused(r"x\.json (lists no sounds|has an entry that is not understood)"):
        read_listing(listing(tmp_path / "x.json", content))


def test_speech_without_its_speaker_is_shown(server: Server, tmp_path: Path) -> None:
    replica = Replica(server, tmp_path)
    root = tmp_path / "set"
    (root / "dev_set" / "sound_event").mkdir(parents=True)
    (root / "dev_set" / "config").mkdir()
    listing(root / "dev_set" / "config" / "EARS_config.json", [listed("a.wav", "train/Speech/a.wav")])
    with refused(r"names a\.wav, but a sound of EARS has the name of its speaker's folder"):
        replica.assembly(root).run(lambda _: True, ["speech"])


def test_an_archive_without_any_listed_sound_is_refused(server: Server, tmp_path: Path) -> None:
    replica = Replica(server, tmp_path)
    replica.shelf["/ears/p001.zip"] = zipped({"p001/other.wav": b""})
    with refused(r"None of the 2 sounds that are listed, such as p001/freeform\.wav, is in the archive"):
        replica.assembly(tmp_path / "set").run(lambda _: True)
