"""Recordings that are cut off, endless, odd or hostile, and arguments of the Python door that are no numbers."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from harness import assert_accepted, assert_refused, assert_refuses, assert_sentence, command
from minis import RATE, noise
from whole_systems import GUIDED, system, tagger

from sedsep.inference import Request, SceneSeparator, find, from_file, write
from sedsep.scenes import audio

pytestmark = pytest.mark.slow

SAMPLES = (0.1 * np.random.default_rng(0).standard_normal((48007, 2))).astype(np.float32)
KINDS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"),
    ("W64", "PCM_16"), ("W64", "MS_ADPCM"), ("AIFF", "PCM_16"), ("AIFF", "DOUBLE"), ("AU", "PCM_16"), ("AU", "FLOAT"),
    ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip


def recorded(path: Path, kind: str, codec: str, samples: np.ndarray = SAMPLES) -> Path:
    try:
        soundfile.write(path, samples, 48000, format=kind, subtype=codec)
    except soundfile.SoundFileError:  # codecs of one channel
        soundfile.write(path, samples[:, 0], 48000, format=kind, subtype=codec)
    return path


@pytest.mark.parametrize("left", [0.2, 0.5, 0.9, 0.99, -1])
@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_what_is_cut_off_is_refused(tmp_path: Path, kind: str, codec: str, left: float) -> None:
    path = recorded(tmp_path / "street.bin", kind, codec)
    assert from_file(path).frames == len(soundfile.read(path)[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content)) if left > 0 else int(left)])
    for door in (audio.info, from_file):
        assert_refuses(partial(door, path), "street.bin is cut off", "missing" if kind in PROMISING else "")
    assert_refuses(lambda: audio.read(path), "street.bin")


PROMISING = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"}


# Headers that were written into a pipe.


def size_of(tag: bytes, after: int, form: str, size: int, whole: str | None = None) -> Callable[[bytearray], None]:
    def edit(content: bytearray) -> None:
        struct.pack_into(form, content, content.find(tag) + after, size)
        if whole:
            struct.pack_into(whole, content, 4, size)

    return edit


def no_flac_count(content: bytearray) -> None:
    content[21] &= 0xF0
    content[22:26] = bytes(4)


ALL = 0xFFFFFFFF
LARGE = 0xFFFFFFFFFFFFFFFF
PIPED = {
    **{
        f"WAV {size:#x}": ("WAV", size_of(b"data", 4, "<I", size, "<I"))
        for size in (ALL, ALL - 36, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000)
    },
    **{f"AIFF {size:#x}": ("AIFF", size_of(b"SSND", 4, ">I", size, ">I")) for size in (0, ALL, 0x7FFFF000)},
    **{f"AU {size:#x}": ("AU", size_of(b".snd", 8, ">I", size)) for size in (ALL, 0x7FFFF000)},
    **{f"W64 {size:#x}": ("W64", size_of(b"data", 16, "<Q", size)) for size in (0, LARGE)},
    "FLAC": ("FLAC", no_flac_count),
}
UNSAID = {
    "WAV 0": ("WAV", size_of(b"data", 4, "<I", 0, "<I")),
    "AU 0": ("AU", size_of(b".snd", 8, ">I", 0)),
    **{f"CAF {size:#x}": ("CAF", size_of(b"data", 4, ">Q", size)) for size in (0, LARGE)},
    **{f"RF64 {size:#x}": ("RF64", size_of(b"ds64", 16, "<Q", size)) for size in (0, LARGE)},
}


def edited(path: Path, kind: str, edit: Callable[[bytearray], None]) -> Path:
    content = bytearray(recorded(path, kind, "PCM_16").read_bytes())
    shutil.copy(path, path.with_name("whole"))
    edit(content)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", PIPED)
def test_a_length_that_was_not_known_is_found_out(tmp_path: Path, case: str) -> None:
    path = edited(tmp_path / "piped", *PIPED[case])
    assert from_file(path).frames == audio.info(path).frames == len(SAMPLES)
    expected, _ = soundfile.read(tmp_path / "whole", dtype="float32")
    np.testing.assert_array_equal(audio.read(path)[0], expected)
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path))), audio.read(path)[0])


@pytest.mark.parametrize("case", UNSAID)
def test_a_length_that_libsndfile_needs_is_missed(tmp_path: Path, case: str) -> None:
    path = edited(tmp_path / "piped", *UNSAID[case])
    assert_refuses(lambda: from_file(path), "piped does not say how long it is")


def test_an_mp3_without_a_count_is_decoded_to_its_end(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")
    content = bytearray(path.read_bytes())
    at = max(content.find(b"Xing"), content.find(b"Info"))
    content[at : at + 120] = bytes(120)
    path.write_bytes(content)
    assert 0 <= from_file(path).frames - len(SAMPLES) < 5000
    assert from_file(path).frames == len(audio.read(path)[0])


# What is no recording.


def header(channels: int = 1, rate: int = 8000, bits: int = 16, size: int = 4000) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block & ALL, block & 0xFFFF, bits)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size) + bytes(size)


def many_chunks(path: Path) -> None:
    path.write_bytes(struct.pack("<4sI4s", b"RIFF", 80_000_000, b"WAVE") + b"junk\0\0\0\0" * 10_000_000)


def floats(path: Path, value: float, codec: str = "FLOAT") -> None:
    soundfile.write(path, np.full(4000, value), 8000, format="WAV", subtype=codec)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def other(kind: str, codec: str) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, SAMPLES, 48000, format=kind, subtype=codec)


ODD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.touch(), "is empty"),
    "pipe": (os.mkfifo, "is a device or a pipe"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "is a device or a pipe"),
    "null": (lambda path: path.symlink_to("/dev/null"), "is a device or a pipe"),
    "loop": (loop, "cannot be read"),
    "dangling": (lambda path: path.symlink_to("gone"), "does not exist"),
    "text": (lambda path: path.write_text("hello " * 1000), "not a readable audio file"),
    "picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8), "not a readable audio"),
    "zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(3000)), "not a readable audio file"),
    "head alone": (lambda path: path.write_bytes(header()[:20]), "not a readable audio file"),
    "RIFF alone": (lambda path: path.write_bytes(b"RIFF"), "not a readable audio file"),
    "no channels": (lambda path: path.write_bytes(header(channels=0)), "not a readable audio file"),
    "1000 channels": (lambda path: path.write_bytes(header(channels=1000)), "has 1000 channels"),
    "65535 channels": (lambda path: path.write_bytes(header(channels=65535)), "not a readable audio file"),
    "rate 0": (lambda path: path.write_bytes(header(rate=0)), "readable"),
    "rate 1": (lambda path: path.write_bytes(header(rate=1)), "is sampled at 1 Hz"),
    "rate 999": (lambda path: path.write_bytes(header(rate=999)), "is sampled at 999 Hz"),
    "rate 2e6": (lambda path: path.write_bytes(header(rate=2_000_000)), "is sampled at 2000000 Hz"),
    "rate 2^31 - 1": (lambda path: path.write_bytes(header(rate=2**31 - 1)), "Hz"),
    "rate 2^31": (lambda path: path.write_bytes(header(rate=2**31)), "readable"),
    "0 bits": (lambda path: path.write_bytes(header(bits=0)), "readable"),
    "no samples": (lambda path: path.write_bytes(header(size=0)), "holds no samples"),
    "NaN": (lambda path: floats(path, np.nan), "NaN or infinite"),
    "inf": (lambda path: floats(path, np.inf), "NaN or infinite"),
    "1e300": (lambda path: floats(path, 1e300, "DOUBLE"), "NaN or infinite"),
    "3e38": (lambda path: floats(path, 3e38), "times full scale"),
    "many chunks": (many_chunks, "more than 1000 chunks"),
    **{
        kind: (other(kind, codec), f"is a {kind} file")
        for kind, codec in (
            ("NIST", "PCM_16"),
            ("AVR", "PCM_16"),
            ("MAT4", "FLOAT"),
            ("PAF", "PCM_16"),
            ("VOC", "PCM_16"),
        )
    },
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_recording_is_named(tmp_path: Path, case: str) -> None:
    make, says = ODD[case]
    make(tmp_path / "odd.wav")
    assert_refuses(lambda: from_file(tmp_path / "odd.wav"), "odd.wav", says)


@pytest.mark.parametrize("name", ["x.raw", "x.vox", "x.gsm", "x.sd2", "x.txt"])
def test_what_a_file_is_called_is_no_hint(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 100)
    assert_refuses(lambda: from_file(tmp_path / name), name, "is not a readable audio file")
    (tmp_path / name).write_bytes(header())
    assert from_file(tmp_path / name).frames == 2000


@pytest.mark.parametrize("name", ["a" * 300, "a\0b.wav", "~nobody-of-this-name/a.wav", "a/" * 500])
def test_a_path_that_leads_nowhere_is_one_sentence(name: str) -> None:
    (path,) = find(name)
    assert_refuses(lambda: from_file(path))


NAMES = [b"new\nline.wav", b"\xff\xfe.wav", b"\x1b[31mred.wav", "h\u00f6ren \u3000.wav".encode(), b"-rf.wav", b" .wav"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_be_anything(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(header())
    assert from_file(path).frames == 2000
    path.write_bytes(header()[:-1])
    assert_refuses(lambda: from_file(path), "is cut off")
    with pytest.raises(audio.FileError) as caught:
        from_file(path)
    assert str(caught.value).encode()  # every terminal can print it
    assert "\x1b" not in str(caught.value)


def test_links_in_loops_have_an_end(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "x.wav").write_bytes(header())
    assert find(f"{tmp_path}/**/*.wav") == [tmp_path / "in" / "x.wav"]
    assert_refuses(lambda: find(f"{tmp_path}/**/*.flac"), "No file is called")


@pytest.mark.parametrize("pattern", ["in/***.wav", "in/a**.wav", "in/[", "in/[a-", "in/**/**/**/*.flac", "in/*?[!]"])
def test_a_pattern_that_means_nothing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert_refuses(lambda: find(pattern), "in/")


@pytest.mark.parametrize("level", [1e-45, 1e-39, 1e-12, 1e-5, 1.0, 32768.0, 5e8])
def test_levels_come_back_as_they_are(tmp_path: Path, level: float) -> None:
    samples = (level * np.sign(noise(6000).numpy())).astype(np.float32)
    found = separator().separate(samples, RATE, "Dog")
    total = found.waveforms["Dog"] + found.residual
    assert np.isfinite(total).all()
    np.testing.assert_allclose(total, samples, rtol=1e-3, atol=1e-9 if level < 1e-30 else 1e-30)


# The Python door.


@cache
def separator() -> SceneSeparator:
    return system(0.5, tagger(), **GUIDED)


INF, NAN = float("inf"), float("nan")
WAVES: dict[str, Any] = {
    "whole numbers": torch.zeros(100, dtype=torch.int16),
    "complex": torch.zeros(100, dtype=torch.complex64),
    "on no device": torch.zeros(100, device="meta"),
    "sparse": torch.ones(2, 100).to_sparse(),
    "ragged": [[1.0, 2.0], [1.0]],
    "none": None,
    "a path": "street.wav",
    "three axes": np.zeros((1, 2, 100), np.float32),
    "a number": np.float32(1),
    "no samples": np.zeros((2, 0), np.float32),
    "no channels": np.zeros((0, 100), np.float32),
    "the wrong way round": np.zeros((100, 2), np.float32),
    "NaN": np.full(100, NAN),
    "inf": np.full(100, INF),
    "1e300": np.full(100, 1e300),
    "3e38": np.full(100, 3e38, np.float32),
}
ARGUMENTS = [
    *(("sample_rate", rate) for rate in (INF, NAN, -INF, 0, -1, 1, 2**31, 44100.5, "44100", None, True, 1j, [1])),
    *(
        ("level_db", level)
        for level in (
            (INF, INF),
            (NAN, NAN),
            (-INF, INF),
            (NAN, 0),
            (-30, -45),
            (5000, 5000),
            5,
            (1,),
            ("a", "b"),
            "ab",
        )
    ),
    *(("threshold", threshold) for threshold in (NAN, INF, -1, 2, "x", [0.5])),
    *(("labels", labels) for labels in ([], [1], 5, [None], [["Dog"]], "Dogs", ["Dog\n"])),
    *(("iters", iters) for iters in (0, -1, 2, 2.5, NAN, INF, "x", 10**9)),
]


@pytest.mark.parametrize("wave", WAVES)
def test_a_waveform_that_is_none_is_refused(wave: str) -> None:
    assert_refuses(lambda: separator().separate(WAVES[wave], RATE, "Dog"), "The waveform")


@pytest.mark.parametrize(("name", "value"), ARGUMENTS)
def test_an_argument_that_means_nothing_is_refused(name: str, value: object) -> None:
    given: dict[str, Any] = {"sample_rate": RATE, name: value}
    assert_refuses(lambda: separator().separate(np.zeros(2000, np.float32), **given))


@pytest.mark.parametrize("chunk", [INF, NAN, 0, -1, "x", None, True])
def test_a_chunk_that_is_no_time_is_refused(chunk: Any) -> None:
    made = separator()
    assert_refuses(lambda: SceneSeparator(made.network, made.label_set, made.tagger, chunk), str(chunk))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_every_floating_type_is_heard(kind: torch.dtype) -> None:
    wave = (0.02 * noise(2, 6000)).to(kind)
    found = separator().separate(wave, float(RATE), "Dog")
    exact = separator().separate(wave.float(), RATE, "Dog")
    assert torch.equal(found.waveforms["Dog"], exact.waveforms["Dog"])


# By command.


def separated(folder: Path, run: Path, *more: str) -> Any:
    return command(
        folder, "task=separate", f"ckpt={run}/checkpoints/separator/last.ckpt", "task.labels=[Speech]",
        "task.output=out", "hydra.run.dir=here", *more,
    )  # fmt: skip


def street(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, 0.05 * SAMPLES[: int(16000 * seconds)], 16000, format="WAV")
    return path


@pytest.mark.parametrize("what", ["x.caf", "x.raw", "pipe.wav", "/dev/zero"])
def test_what_cannot_be_separated_is_refused(tmp_path: Path, tiny_run: Path, what: str) -> None:
    if what == "x.caf":
        soundfile.write(tmp_path / what, SAMPLES, 48000)
        (tmp_path / what).write_bytes((tmp_path / what).read_bytes()[:-1000])
    elif what == "x.raw":
        (tmp_path / what).write_bytes(bytes(1000))
    elif what == "pipe.wav":
        os.mkfifo(tmp_path / what)
    assert_refused(separated(tmp_path, tiny_run, f"audio={what}"), what)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_odd_names_is_separated_as_far_as_it_goes(tmp_path: Path, tiny_run: Path) -> None:
    for name in NAMES[:3]:
        street(tmp_path / "in" / os.fsdecode(name))
    os.mkfifo(tmp_path / "in" / "pipe.wav")
    done = separated(tmp_path, tiny_run, "audio=in")
    assert_refused(done, "1 of 4 recordings")
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert "\x1b" not in done.out
    for folder in (tmp_path / "out").iterdir():
        assert (folder / "separation.json").is_file()


def test_what_a_killed_process_left_goes_and_what_a_living_one_makes_stays(tmp_path: Path, tiny_run: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    host = os.uname().nodename
    gone = tmp_path / "out" / f".street.{host}.{dead.pid}.partial"
    kept = [
        tmp_path / "out" / name
        for name in (f".street.{host}.{os.getpid()}.partial", f".street.elsewhere.{dead.pid}.partial", ".mine.partial")
    ]
    for folder in (gone, *kept):
        folder.mkdir(parents=True)
        (folder / "Speech.wav").write_bytes(bytes(100))
    done = separated(tmp_path, tiny_run, f"audio={street(tmp_path / 'street.wav')}")
    assert (done.code, done.err) == (0, "")
    assert not gone.exists()
    assert all((folder / "Speech.wav").exists() for folder in kept)


def test_two_runs_give_the_same_bytes(tmp_path: Path, tiny_run: Path) -> None:
    path = street(tmp_path / "street.wav")
    for _ in range(2):
        assert_accepted(separated(tmp_path, tiny_run, f"audio={path}"))
        time.sleep(1.1)
    for name in ("Speech.wav", "residual.wav"):
        one, other = ((tmp_path / "out" / folder / name).read_bytes() for folder in ("street", "street-2"))
        assert one == other


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this user may not mount")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_called_full(tmp_path: Path, small_disk: Path) -> None:
    path = street(tmp_path / "street.wav", 2.9)
    job = separator().begin(from_file(path), Request(("Dog",)))
    assert_refuses(lambda: write(job, small_disk), "No space left on device")
    assert not list(small_disk.iterdir())


def test_a_sentence_has_one_line() -> None:
    assert_sentence(str(audio.FileError("a\nb\u2028c\x1b[0m is no recording: give another.")), ("a\\nb",))
