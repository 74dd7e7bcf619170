from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from datasets.challenge.replica import split, tarred, tree, zipped
from minis import refused

from sedsep.datasets.challenge.archives import SPLIT_MARK, open_archive, unpack_split

FILES = {
    "set/a.wav": os.urandom(50_000),
    "set/deep/zeros.wav": bytes(300_000),
    "set/empty.txt": b"",
    "set/größe.txt": b"a name beyond ASCII",
}


def parts(folder: Path, archive: bytes, count: int = 4) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for name, content in split("x", archive, count).items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


@pytest.mark.parametrize("count", [1, 2, 9])
def test_parts_are_read_as_one_archive(tmp_path: Path, count: int) -> None:
    assert unpack_split(parts(tmp_path, zipped(FILES), count), tmp_path / "out") == len(FILES)
    assert tree(tmp_path / "out") == FILES


def test_an_archive_that_was_never_split_will_do(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped(FILES))
    unpack_split([tmp_path / "x.zip"], tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP is not installed")
@pytest.mark.parametrize("option", ["-6", "-0"], ids=["deflated", "stored"])
def test_what_zip_splits_comes_back(tmp_path: Path, option: str) -> None:
    files = FILES | {"set/large.wav": os.urandom(200_000)}  # over several parts
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    subprocess.run(["zip", "-q", "-r", option, "-s", "64k", "x.zip", "set"], cwd=tmp_path, check=True)
    pieces = [*sorted(tmp_path.glob("x.z[0-9]*")), tmp_path / "x.zip"]
    assert len(pieces) >= 4
    assert pieces[0].read_bytes().startswith(SPLIT_MARK)
    assert unpack_split(pieces, tmp_path / "out") == len(files)
    assert tree(tmp_path / "out") == files


def test_what_lies_there_whole_is_not_written_again(tmp_path: Path) -> None:
    pieces = parts(tmp_path, zipped(FILES))
    unpack_split(pieces, tmp_path / "out")
    (tmp_path / "out" / "set" / "a.wav").write_bytes(b"cut off")
    kept = tmp_path / "out" / "set" / "deep" / "zeros.wav"
    before = kept.stat().st_mtime_ns
    unpack_split(pieces, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert kept.stat().st_mtime_ns == before


def test_a_damaged_archive_is_named_and_the_damaged_file_does_not_appear(tmp_path: Path) -> None:
    archive = bytearray(zipped(FILES))
    archive[20_000] ^= 255
    pieces = parts(tmp_path, bytes(archive))
    with refused(r"x\.zip cannot be unpacked \(\w+"):
        unpack_split(pieces, tmp_path / "out")
    assert not (tmp_path / "out" / "set" / "a.wav").exists()


def test_a_missing_part_is_noticed(tmp_path: Path) -> None:
    pieces = parts(tmp_path, zipped(FILES))
    for given in (pieces[:-1], [*pieces[:1], *pieces[2:]]):
        with refused("cannot be unpacked"):
            unpack_split(given, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_no_path_leads_outside(tmp_path: Path, name: str) -> None:
    pieces = parts(tmp_path / "archives", zipped({"good.txt": b"good", name: b"evil"}))
    with refused("would write outside its folder"):
        unpack_split(pieces, tmp_path / "out")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {piece.name for piece in pieces} | {
        "good.txt"
    }


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_with_such_a_path_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    files = {"good.txt": b"good", "../evil": b"evil"}
    path.write_bytes(zipped(files) if kind == "zip" else tarred(files, {}))
    with refused(r"would write outside its folder \(\.\./evil\)"), open_archive(path):
        pass


def test_links_in_a_tar_stand_for_the_files_they_lead_to(tmp_path: Path) -> None:
    links = {
        "top/by/class/a.wav": "../../set/a.wav",
        "top/again.wav": "by/class/a.wav",
        "top/lost.wav": "nowhere.wav",
        "top/out.wav": "../../../etc/passwd",
        "top/round.wav": "round.wav",
    }
    (tmp_path / "x.tar").write_bytes(tarred({f"./top/{name}": content for name, content in FILES.items()}, links))
    with open_archive(tmp_path / "x.tar") as archive:
        assert set(archive.sizes) == {f"top/{name}" for name in FILES} | {"top/by/class/a.wav", "top/again.wav"}
        assert archive.read("top/by/class/a.wav") == archive.read("top/again.wav") == FILES["set/a.wav"]
        assert archive.sizes["top/again.wav"] == len(FILES["set/a.wav"])


def test_hard_links_count_too(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind, link in (("a", tarfile.REGTYPE, ""), ("b", tarfile.LNKTYPE, "a")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, 4 if not link else 0
            tar.addfile(member, io.BytesIO(b"here"))
    with open_archive(tmp_path / "x.tar") as archive:
        assert archive.read("b") == b"here"


def test_damage_met_while_reading_names_the_archive(tmp_path: Path) -> None:
    content = bytearray(zipped(FILES))
    content[20_000] ^= 255
    (tmp_path / "x.zip").write_bytes(content)
    with refused(r"x\.zip cannot be unpacked"), open_archive(tmp_path / "x.zip") as archive:
        archive.read("set/a.wav")
    (tmp_path / "y.tar").write_bytes(tarred(FILES, {})[:40_000])
    with refused(r"y\.tar cannot be unpacked"), open_archive(tmp_path / "y.tar") as archive:
        archive.read("set/a.wav")
    for kind in ("zip", "tar"):
        (tmp_path / f"z.{kind}").write_bytes(b"no archive at all")
        with refused(rf"z\.{kind} cannot be unpacked"), open_archive(tmp_path / f"z.{kind}"):
            pass


def test_zip_names_are_normal_paths(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped_file:
        zipped_file.writestr("./p001/", b"")
        zipped_file.writestr("./p001/a.wav", b"a")
    with open_archive(tmp_path / "x.zip") as archive:
        assert list(archive.sizes) == ["p001/a.wav"]
