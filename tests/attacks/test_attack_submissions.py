"""Submissions and estimates of others: zips that swell, hide or lie, and files that are not what they are called."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from harness import assert_accepted, assert_refused, assert_refuses, command
from minis import LABELS, LENGTH, RATE, noise

from sedsep.errors import UserError
from sedsep.evaluation.checking import Rules, check
from sedsep.evaluation.estimates import Estimates, encode
from sedsep.evaluation.submission import pack

pytestmark = pytest.mark.slow

NAME = "Doe_Uni_task4_1_out.zip"
WAVE = 0.1 * noise(LENGTH)
GOOD = encode(WAVE, RATE)


def rules(form: str = "2025") -> Rules:
    return Rules({"test_0": LENGTH, "test_1": LENGTH}, LABELS, RATE, form, 3)


def sound(kind: str, codec: str, **changes: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, changes.get("samples", WAVE.numpy()), changes.get("rate", RATE), codec, format=kind)
    return buffer.getvalue()


def zipped(path: Path, entries: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


CONTENTS: dict[str, tuple[bytes, str]] = {
    "FLAC": (sound("FLAC", "PCM_16"), "is FLAC"),
    "Vorbis": (sound("OGG", "VORBIS"), "is OGG"),
    "MP3": (sound("MP3", "MPEG_LAYER_III"), "is MP3"),
    "AIFF": (sound("AIFF", "PCM_16"), "is AIFF"),
    "W64": (sound("W64", "FLOAT"), "is W64"),
    "RF64": (sound("RF64", "FLOAT"), "is RF64"),
    "CAF": (sound("CAF", "FLOAT"), "is CAF"),
    "AU": (sound("AU", "FLOAT"), "is AU"),
    "ULAW": (sound("WAV", "ULAW"), "holds ULAW"),
    "IMA_ADPCM": (sound("WAV", "IMA_ADPCM"), "holds IMA_ADPCM"),
    "MS_ADPCM": (sound("WAV", "MS_ADPCM"), "holds MS_ADPCM"),
    "GSM": (sound("WAV", "GSM610"), "holds GSM610"),
    "a zip": (b"PK\x03\x04" + bytes(100), "is not a readable audio"),
    "text": (b"hello " * 100, "is not a readable audio"),
    "empty": (b"", "is not a readable audio"),
    "one byte": (b"R", "is not a readable audio"),
    "no samples": (GOOD[:-4], "is cut off"),
    "half": (GOOD[: len(GOOD) // 2], "is cut off"),
    "1000 channels": (sound("WAV", "PCM_16", samples=np.zeros((2, 1000))), "has 1000 channels"),
    "300 kHz of nothing": (sound("WAV", "PCM_16", rate=300), "is sampled at 300 Hz"),
    "large": (encode(torch.zeros(LENGTH + 300_000), RATE), "bytes, where its mixture needs fewer"),
}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", CONTENTS)
def test_what_is_no_plain_wav_is_refused(tmp_path: Path, case: str, packing: int) -> None:
    content, says = CONTENTS[case]
    path = zipped(tmp_path / NAME, {"test_0_Dog.wav": content, "test_1_Dog.wav": GOOD}, packing)
    (problem,) = check(path, rules()).errors
    assert (problem.kind, problem.item) == ("unreadable", "test_0_Dog.wav")
    assert says in problem.text
    estimates = Estimates(path, ["test_0", "test_1"], LABELS, RATE)
    assert_refuses(lambda: estimates.of("test_0", LENGTH), "test_0_Dog.wav", says)
    assert torch.equal(estimates.of("test_1", LENGTH)[0][1], WAVE)


@pytest.mark.parametrize("codec", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_plain_wav_is_taken(tmp_path: Path, kind: str, codec: str) -> None:
    path = zipped(tmp_path / NAME, {f"test_{n}_Dog.wav": sound(kind, codec) for n in (0, 1)})
    assert check(path, rules()).problems == []


@pytest.mark.parametrize(("packing", "says"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")])
def test_rare_packings_are_refused(tmp_path: Path, packing: int, says: str) -> None:
    path = zipped(tmp_path / NAME, {"test_0_Dog.wav": GOOD, "test_1_Dog.wav": GOOD}, packing)
    assert [says in problem.text for problem in check(path, rules()).errors] == [True, True]
    assert_refuses(
        lambda: Estimates(path, ["test_0", "test_1"], LABELS, RATE).of("test_0", LENGTH), "packed with", says
    )


def marked(path: Path, edit: Callable[[bytearray, int, int], None]) -> Path:
    """A zip of one estimate, edited where its local and its central entry are."""
    zipped(path, {"test_0_Dog.wav": GOOD})
    content = bytearray(path.read_bytes())
    edit(content, 0, content.find(b"PK\x01\x02"))
    path.write_bytes(content)
    return path


def encrypt(content: bytearray, local: int, central: int) -> None:
    content[local + 6] |= 1
    content[central + 8] |= 1


def packing(number: int) -> Callable[[bytearray, int, int], None]:
    def edit(content: bytearray, local: int, central: int) -> None:
        struct.pack_into("<H", content, local + 8, number)
        struct.pack_into("<H", content, central + 10, number)

    return edit


def size(claimed: int) -> Callable[[bytearray, int, int], None]:
    def edit(content: bytearray, local: int, central: int) -> None:
        struct.pack_into("<I", content, local + 22, claimed)
        struct.pack_into("<I", content, central + 24, claimed)

    return edit


def version(content: bytearray, local: int, central: int) -> None:
    struct.pack_into("<H", content, central + 6, 200)


MARKED: dict[str, tuple[Callable[[bytearray, int, int], None], str]] = {
    "encrypted": (encrypt, "is encrypted"),
    "zstd": (packing(93), "is packed with"),
    "deflate64": (packing(9), "is packed with"),
    "unknown": (packing(77), "is packed with"),
    "called deflated": (packing(8), "cannot be read"),
    "claims 3 GB": (size(3 * 10**9), "3000000000 bytes"),
    "claims 100 bytes": (size(100), "test_0_Dog.wav"),
    "claims nothing": (size(0), "test_0_Dog.wav"),
}


@pytest.mark.parametrize("case", MARKED)
def test_an_entry_that_lies_is_refused(tmp_path: Path, case: str) -> None:
    edit, says = MARKED[case]
    path = marked(tmp_path / NAME, edit)
    estimates = Estimates(path, ["test_0"], LABELS, RATE)
    assert_refuses(lambda: estimates.of("test_0", LENGTH), "test_0_Dog.wav", says)
    assert [problem.kind for problem in check(path, rules()).errors] == ["unreadable"]


def test_a_zip_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = marked(tmp_path / NAME, version)
    assert_refuses(lambda: check(path, rules()), "not a zip file that can be read")


def bomb(path: Path, megabytes: int = 1000) -> Path:
    """A file of zeros, unpacked a thousand times as large as it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("test_0_Dog.wav", "w", force_zip64=True) as file:
            file.write(GOOD[:44])
            for _ in range(megabytes):
                file.write(bytes(1 << 20))
        archive.writestr("test_1_Dog.wav", GOOD)
    return path


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / NAME)
    assert path.stat().st_size < 10 << 20
    unpacked = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda self, entry: unpacked.append(entry) or read(self, entry))
    (problem,) = check(path, rules()).errors
    assert "bytes, where its mixture needs fewer" in problem.text
    assert_refuses(lambda: Estimates(path, ["test_0", "test_1"], LABELS, RATE).of("test_0", LENGTH), "test_0_Dog.wav")
    assert len(unpacked) == 1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("../test_0_Bell.wav", {"folder"}),
        ("../../../../elsewhere/test_0_Bell.wav", {"folder"}),
        ("/elsewhere/test_0_Bell.wav", {"folder"}),
        ("..", {"stray"}),
        (".", {"stray"}),
        ("\0test_0_Bell.wav", {"stray"}),
        ("C:\\test_0_Bell.wav", {"stray"}),
        ("inner\\test_0_Bell.wav", {"stray"}),
        ("inner.zip", {"stray"}),
        (NAME, {"stray"}),
        ("test_0_bell.wav", {"label"}),
        ("TEST_0_Bell.wav", {"stray"}),
        ("test_0_Bell.WAV", {"stray"}),
        ("test_0_Bell.wav ", {"stray"}),
        ("test_0_Bell.wav\n", {"stray"}),
        ("test_0_B\u00e9ll.wav", {"label"}),
        ("test_0__Bell.wav", {"label"}),
        ("test_0_1_Bell.wav", {"form"}),
        ("test_0_99999999999999999999_Bell.wav", {"form"}),
        ("test_0_\u0661_Bell.wav", {"label"}),
        ("test_0_.wav", {"label"}),
        ("_Bell.wav", {"stray"}),
        (".wav", {"hidden"}),
        ("__MACOSX/test_0_Bell.wav", {"hidden"}),
        ("a/" * 1000 + "test_0_Bell.wav", {"folder"}),
        ("x" * 60000, {"stray"}),
        ("\x1b[31m.wav", {"stray"}),
    ],
)
def test_a_name_that_means_no_good_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kinds: set[str]
) -> None:
    path = zipped(tmp_path / NAME, {"test_0_Dog.wav": GOOD, "test_1_Dog.wav": GOOD, name.replace("\0", "!"): GOOD})
    if "\0" in name:  # which zipfile would not write
        path.write_bytes(path.read_bytes().replace(name.replace("\0", "!").encode(), name.encode()))
    verdict = check(path, rules())
    assert {problem.kind for problem in verdict.errors} == kinds
    verdict.show()
    assert "\x1b" not in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("2025", ["test_0_Dog.wav"] * 2),
        ("2025", ["test_0_Dog.wav", "test_0_Dog.WAV"]),
        ("2026", ["test_0_1_Dog.wav", "test_0_01_Dog.wav"]),
    ],
)
def test_a_source_is_there_once(tmp_path: Path, form: str, names: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD)
    assert_refuses(lambda: Estimates(tmp_path / NAME, ["test_0"], LABELS, RATE), "Dog of test_0 more than once")


@pytest.mark.parametrize("form", ["2025", "2026"])
def test_thousands_of_entries_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    path = zipped(tmp_path / NAME, {f"test_0_{number}_Dog.wav": GOOD for number in range(5000)})
    unpacked = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda self, entry: unpacked.append(entry) or read(self, entry))
    assert "sources" in {problem.kind for problem in check(path, rules(form)).errors}
    assert len(unpacked) == 3


TOLD = {"nparams": 1, "probabilities": [], "config": {}}
SCORED = {
    "CAPI-SDRi": {"mean": 0},
    "label_metrics": {"accuracy_mix": 1, "accuracy_src": 0},
    "nparams": 1,
    "details": [
        {"soundscape": "test_0", "ref_labels": ["Dog"], "est_labels": ["Dog"], "probabilities": [1], "metrics": []}
    ],
    "config": None,
}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("eval_results.json", b"", "is damaged"),
        ("eval_results.json", b"\xff\xfe", "is damaged"),
        ("eval_results.json", b"{" * 10**6, "is damaged"),
        ("eval_results.json", b'{"config":' * 10**6, "is damaged"),
        ("eval_results.json", json.dumps(TOLD | {"nparams": 10**30}).encode(), "is damaged"),
        ("eval_results.json", json.dumps(TOLD | {"nparams": "1"}).encode(), "is damaged"),
        ("eval_results.json", json.dumps(TOLD | {"config": float("inf")}).encode(), "is no finite number"),
        ("eval_results.json", b'{"nparams": 1, ' + json.dumps(TOLD)[1:].encode(), "names a key twice"),
        ("eval_results.json", json.dumps(TOLD).encode() + b" " * (1 << 24), "where an account needs fewer"),
        ("dev_set_test_results.json", json.dumps(SCORED | {"details": {}}).encode(), "is damaged"),
        ("dev_set_test_results.json", json.dumps(SCORED | {"CAPI-SDRi": None}).encode(), "is damaged"),
        ("dev_set_test_results.json", json.dumps(SCORED | {"details": []}).encode(), "has no details"),
        ("meta.yaml", b"!!python/object/apply:os.system [touch hacked]", "it has no fields"),
        ("meta.yaml", b"[" * 10**4, "is damaged"),
        ("meta.yaml", b"a: &a [*a]", "is damaged"),
        ("meta.yaml", b" " * (1 << 17), "where a description needs fewer"),
    ],
)
def test_an_account_is_data(tmp_path: Path, name: str, content: bytes, says: str, packing: int) -> None:
    accounts = {"eval_results.json": json.dumps(TOLD), "dev_set_test_results.json": json.dumps(SCORED)}
    entries = {"eval_out/test_0_0_Dog.wav": GOOD, **{file: text.encode() for file, text in accounts.items()}}
    path = zipped(tmp_path / NAME, entries | {name: content}, packing)
    found = [problem for problem in check(path, rules("2026")).errors if problem.item == name]
    assert [problem.kind for problem in found] == ["account"]
    assert ("packed with lzma" if packing == zipfile.ZIP_LZMA else says) in found[0].text
    assert len(found[0].text) < 500
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_an_account_s_words_reach_no_terminal_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = {"filename": "\x1b[31m\n/../x.wav", "label": "\x1b[0m", "probability": -1e300}
    told = TOLD | {"probabilities": [{"soundscape": "\x1b]0;x\x07", "estimate": [named] * 2}]}
    verdict = check(zipped(tmp_path / NAME, {"eval_results.json": json.dumps(told).encode()}), rules("2026"))
    assert {problem.kind for problem in verdict.errors} >= {"mixture", "repeated", "absent", "number", "empty"}
    verdict.show()
    assert "\x1b" not in capsys.readouterr().out


def test_more_files_than_any_submission_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sedsep.evaluation.estimates.MOST_FILES", 100)
    path = zipped(tmp_path / NAME, {f"{number}.txt": b"" for number in range(101)})
    assert_refuses(lambda: check(path, rules()), "more than 100 files")


@pytest.mark.parametrize("place", [*range(0, 100, 9), *(-1, -5, -10, -22, -30, -60, -90)])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_zip_is_refused_or_read_right(tmp_path: Path, damage: str, place: int) -> None:
    path = zipped(tmp_path / NAME, {"test_0_Dog.wav": GOOD}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = place * len(content) // 100 if place >= 0 else len(content) + place
    if damage == "cut":
        del content[at:]
    else:
        content[at] ^= 0x55
    path.write_bytes(content)
    found: list[Any] = []
    with suppress(UserError):
        found = Estimates(path, ["test_0"], LABELS, RATE).of("test_0", LENGTH)
    if damage == "cut" or not found:
        assert_refuses(lambda: Estimates(path, ["test_0"], LABELS, RATE).of("test_0", LENGTH), NAME)
    else:
        ((label, wave),) = found
        assert label == "Dog"
        assert torch.equal(wave, WAVE)


@pytest.mark.parametrize("path", ["a" * 300 + ".zip", "a\0.zip", "absent.zip", "/dev/zero"])
def test_what_is_no_submission_is_one_sentence(path: str) -> None:
    assert_refuses(lambda: check(Path(path), rules()), "There is nothing at")


def test_the_same_estimates_make_the_same_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(name, [("Dog", WAVE), ("Bell", 2 * WAVE)]) for name in ("test_0", "test_1")]
    pack(tmp_path / "one.zip", answers, RATE, "2025")
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 1, 2, 3, 4, 6, 0, 0, 0))
    pack(tmp_path / "two.zip", answers, RATE, "2025")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


# By command.


@pytest.fixture
def soundscapes(tmp_path: Path) -> Path:
    folder = tmp_path / "soundscape"
    folder.mkdir()
    for number in (0, 1):
        soundfile.write(folder / f"test_{number}.wav", 0.1 * noise(LENGTH, 4).numpy(), RATE)
    return folder


def checked(folder: Path, soundscapes: Path) -> Any:
    return command(
        folder, "task=submission", f"audio={soundscapes}", f"task.check={NAME}", f"sample_rate={RATE}",
        f"labels.names=[{','.join(LABELS)}]", "hydra.run.dir=here",
    )  # fmt: skip


@pytest.mark.parametrize("case", ["bomb", "lzma", "flac", "good"])
def test_a_submission_is_judged_by_command(tmp_path: Path, soundscapes: Path, case: str) -> None:
    entries = {"test_0_Dog.wav": GOOD, "test_1_Dog.wav": CONTENTS["FLAC"][0] if case == "flac" else GOOD}
    if case == "bomb":
        bomb(tmp_path / NAME)
    else:
        zipped(tmp_path / NAME, entries, zipfile.ZIP_LZMA if case == "lzma" else zipfile.ZIP_STORED)
    done = checked(tmp_path, soundscapes)
    if case == "good":
        assert_accepted(done)
    else:
        assert_refused(done, f"{NAME} has {2 if case == 'lzma' else 1} error")
