"""Published weights against a server on this machine."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from minis import refused
from servers import CONTENT, SHA256, Server, names

from sedsep.checkpoints.published import PUBLISHED, PublishedWeights, fetch, locate


def serve_archive(server: Server, **members: bytes) -> None:
    path = "/archive.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    server.files[path] = buffer.getvalue()


def test_weights_with_an_address_are_fetched_once(server: Server, tmp_path: Path) -> None:
    item = PublishedWeights("mine", "http://a.page", server.url(), checksum=SHA256)
    path = fetch(item, tmp_path)
    assert path == item.path(tmp_path) == tmp_path / "weights" / "mine.pt"
    assert fetch(item, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("member", ["folder/weights.pth", "weights.pth"])
def test_weights_in_an_archive_are_taken_out(server: Server, tmp_path: Path, member: str) -> None:
    serve_archive(server, **{"folder/": b"", "folder/weights.pth": CONTENT, "folder/more_weights.pth": b"other"})
    item = PublishedWeights("mine", "http://a.page", server.url("/archive.zip"), member)
    assert fetch(item, tmp_path) == tmp_path / "weights" / "mine.pth"
    assert fetch(item, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 1
    (tmp_path / "weights" / "mine.pth").write_bytes(b"changed")
    with refused(r"mine\.pth has changed since its first use"):
        fetch(item, tmp_path)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"../evil": b"", "weights.pth": b""}, r"would write outside its folder \(\.\./evil\)"),
        ({"/evil": b"", "weights.pth": b""}, "would write outside its folder"),
        ({"C:\\evil": b"", "weights.pth": b""}, "would write outside its folder"),
        ({"a/weights.pth": b"", "b/weights.pth": b""}, r"holds 2 files named weights\.pth"),
        ({"my_weights.pth": b""}, r"holds 0 files named weights\.pth"),
    ],
    ids=["parent", "absolute", "drive", "several", "none"],
)
def test_an_archive_that_is_not_as_it_should_be_is_refused(
    server: Server, tmp_path: Path, members: dict[str, bytes], says: str
) -> None:
    serve_archive(server, **members)
    with refused(says):
        fetch(PublishedWeights("mine", "http://a.page", server.url("/archive.zip"), "weights.pth"), tmp_path / "cache")
    assert names(tmp_path) == {"cache"}
    assert names(tmp_path / "cache" / "weights") == {"archive.zip", "archive.zip.sha256.json"}


def test_a_damaged_archive_is_named(server: Server, tmp_path: Path) -> None:
    item = PublishedWeights("mine", "http://a.page", server.url("/archive.zip"), "weights.pth")
    serve_archive(server, **{"weights.pth": CONTENT})
    server.files["/archive.zip"] = server.files["/archive.zip"].replace(CONTENT[:512], CONTENT[1:513], 1)
    with refused(r"archive\.zip cannot be unpacked .* remove it"):
        fetch(item, tmp_path)
    assert not item.path(tmp_path).exists()
    server.files["/archive.zip"] = b"no archive"
    with refused(r"archive\.zip cannot be unpacked"):
        fetch(item, tmp_path / "other")


def test_weights_without_an_address_are_used_from_their_place(tmp_path: Path) -> None:
    item = PUBLISHED["separator_iter_3"]
    path = tmp_path / "weights" / "separator_iter_3.ckpt"
    with refused(f"separator_iter_3 .* get it from https://github.com/theMoro/dcase25task4 and put it at {path}"):
        fetch(item, tmp_path)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch(item, tmp_path) == path
    path.write_bytes(b"changed")
    with refused("has changed since its first use"):
        fetch(item, tmp_path)


def test_a_source_is_a_file_or_a_published_name(tmp_path: Path) -> None:
    file = tmp_path / "own.ckpt"
    file.write_bytes(CONTENT)
    assert locate(str(file), tmp_path) == file
    path = PUBLISHED["audiosep_base"].path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert locate("audiosep_base", tmp_path) == path
    with refused(r"audiosep_bas is neither .*did you mean audiosep_base\?.*m2d_strong_1.*separator_iter_4"):
        locate("audiosep_bas", tmp_path)


def test_the_published_names_are_those_of_the_paper_and_its_sources() -> None:
    assert all(name == item.name for name, item in PUBLISHED.items())
    assert len({item.path(Path()) for item in PUBLISHED.values()}) == len(PUBLISHED)
    assert PUBLISHED["m2d_as_32k"].path(Path()).suffix == ".pth"
    assert PUBLISHED["baseline_resunetk"].path(Path("c")) == Path("c/weights/baseline_resunetk.ckpt")
    packed = [item for item in PUBLISHED.values() if item.member]
    archives = {(item.archive or str(item.url).rpartition("/")[2], item.url) for item in packed}
    assert len({name for name, _ in archives}) == len(archives)  # the challenge gives each year's the same name
    assert all(item.url is None or item.url.startswith("https://") for item in PUBLISHED.values())
