from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dcase_util.containers import MetaDataContainer
from minis import RATE, make_sed, noise, refused
from whole_systems import GUIDED, system, tagger

from sedsep.evaluation.ear import Ear
from sedsep.inference import Request, SeparationJob, from_array, from_file, write, writing
from sedsep.inference.job import factor
from sedsep.scenes import headers

FRAMES = 12_000


def job(request: Request, gain: float = 0.02, **changes: object) -> SeparationJob:
    recording = from_array((gain * noise(FRAMES, 2)).numpy(), 2 * RATE)
    return system(0.5, tagger(), **{**GUIDED, **changes}).begin(recording, request)


def test_a_folder_holds_everything(tmp_path: Path) -> None:
    done = job(Request(threshold=0.0, per_chunk=True))
    folder = write(done, tmp_path, {"file": "x.wav"}, {"events.svg": b"<svg/>"})
    account = json.loads((folder / "separation.json").read_text())
    stems = [soundfile.read(folder / stem["file"], dtype="float32") for stem in account["stems"]]
    residual, rate = soundfile.read(folder / account["residual"], dtype="float32")
    assert {rate, *(rate for _, rate in stems)} == {2 * RATE}
    assert soundfile.info(folder / "residual.wav").subtype == "FLOAT"
    mixture = np.concatenate([block @ done.channel_mix.matrix[0] for block in done.recording.blocks()])
    np.testing.assert_allclose(sum(samples for samples, _ in stems) + residual, mixture, atol=1e-6)
    assert account["file"] == "x.wav"
    assert account["heard"]["as"].startswith("2 channels")
    labels = {"chosen": "heard", "over": "each chunk", "by": "the tagger", "threshold": 0.0, "labelling": None}
    assert account["labels"] == labels
    assert account["stems"][0]["chunks"] == list(range(len(account["chunks"])))
    assert (folder / "events.svg").read_bytes() == b"<svg/>"
    events = [(event["label"], round(event["onset"], 3), round(event["offset"], 3)) for event in account["events"]]
    assert len(events) >= len(stems)
    for name in ("audacity", "dcase"):
        read = MetaDataContainer().load(str(folder / f"events.{name}.txt"))
        assert [(e.event_label, round(e.onset, 3), round(e.offset, 3)) for e in read] == events
    assert (folder / "events.csv").read_text().splitlines()[0] == "onset,offset,label,probability"


def test_loud_recordings_are_neither_rescaled_nor_clipped(tmp_path: Path) -> None:
    folder = write(job(Request(("Dog",)), gain=5.0), tmp_path)
    stem, residual = (soundfile.read(folder / f"{name}.wav")[0] for name in ("Dog", "residual"))
    assert np.abs(stem + residual).max() > 5


def test_an_ear_judges_what_was_written_at_the_level_that_networks_heard(tmp_path: Path) -> None:
    ear = Ear(Path("ear.ckpt"), ("Bell", "Cough", "Dog", "Snow", "Speech"), make_sed().eval())
    done = job(Request(("Dog", "Rain")), gain=0.0005)
    assert done.gain_db > 10
    folder = write(done, tmp_path, ear=ear)
    dog, rain = json.loads((folder / "separation.json").read_text())["stems"]
    for place, file in (("stem", dog["file"]), ("residual", "residual.wav")):
        samples = torch.from_numpy(soundfile.read(folder / file, dtype="float32")[0])
        assert dog["ear"][place] == pytest.approx(ear.hear(samples * factor(done.gain_db), 2 * RATE)["Dog"], abs=1e-3)
    assert rain["ear"] == {"stem": None, "residual": None}  # it knows no rain
    assert "ear" not in json.loads((write(done, tmp_path) / "separation.json").read_text())["stems"][0]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    first, second = (write(job(Request(("Dog",))), tmp_path) for _ in range(2))
    assert (first.name, second.name) == ("waveform", "waveform-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["waveform", "waveform-2"]


def test_nothing_is_left_of_a_failure_and_the_system_s_reason_is_told(tmp_path: Path) -> None:
    made = job(Request(("Dog",)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with refused("File too large"):
            write(made, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with refused("cannot be written"):
        write(job(Request(("Dog",))), tmp_path / "file" / "below")


def test_the_same_is_written_to_the_last_byte(tmp_path: Path) -> None:
    first = write(job(Request(("Dog",))), tmp_path)
    again = write(job(Request(("Dog",))), tmp_path)
    for name in ("Dog.wav", "residual.wav"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert b"PEAK" not in (first / name).read_bytes()[:200]  # libsndfile's chunk that has the time


def test_a_recording_of_more_than_4_gb_gets_the_format_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "LARGEST_WAV", 4 * FRAMES)
    folder = write(job(Request(("Dog",))), tmp_path)
    assert soundfile.info(folder / "Dog.wav").format == "RF64"
    assert from_file(folder / "Dog.wav").frames == FRAMES


def test_labels_are_names_of_files_on_every_system() -> None:
    names = writing.stem_files(["dog", "Dog", "Male/Female", "residual", "..", "a:b"])
    assert list(names.values()) == ["dog.wav", "Dog-2.wav", "Male_Female.wav", "residual-2.wav", ".wav", "a_b.wav"]
