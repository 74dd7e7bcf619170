"""Estimates on disk: what is written is read back, whatever mixtures and labels are called, and mistakes are named."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from minis import LENGTH, RATE, noise, refused
from torch import Tensor

from sedsep.evaluation.estimates import Estimates, write_estimates
from sedsep.labels import LabelSet
from sedsep.scenes.naming import FORMS, meanings

LABELS = LabelSet(("Dog", "Rain", "Door_Bell", "Bell"))
MIXTURES = ("test_0000", "test_0001", "street_1_b", "quiet")


def written(folder: Path, form: str = "2025") -> dict[str, list[tuple[str, Tensor]]]:
    """Estimates of all mixtures but one, louder than any file of whole numbers could hold."""
    chosen = {"test_0000": ("Rain", "Dog"), "test_0001": ("Door_Bell",), "street_1_b": ("Bell", "Dog", "Rain")}
    made = {
        name: [(label, 3 * noise(LENGTH, seed=index)) for index, label in enumerate(labels)]
        for name, labels in chosen.items()
    }
    for name, estimates in made.items():
        write_estimates(folder, name, estimates, RATE, form)
    return made | {"quiet": []}


def packed(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


def read(path: Path) -> Estimates:
    return Estimates(path, MIXTURES, LABELS, RATE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keep", [lambda folder: folder, packed], ids=["folder", "zip"])
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path, form: str, keep: Callable[[Path], Path]) -> None:
    made = written(tmp_path / "out", form)
    found = read(keep(tmp_path / "out"))
    for name, estimates in made.items():
        again = found.of(name, LENGTH)
        expected = estimates if form == "2026" else sorted(estimates, key=lambda pair: pair[0])
        assert [label for label, _ in again] == [label for label, _ in expected]
        assert all(torch.equal(one, other) for (_, one), (_, other) in zip(again, expected, strict=True))


def test_files_are_named_as_the_challenge_has_them(tmp_path: Path) -> None:
    pair = [("Dog", noise(LENGTH)), ("Rain", noise(LENGTH))]
    write_estimates(tmp_path, "test_0000", pair, RATE)
    write_estimates(tmp_path, "test_0000", [*pair, pair[0]], RATE, "2026")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "test_0000_0_Dog.wav",
        "test_0000_1_Rain.wav",
        "test_0000_2_Dog.wav",
        "test_0000_Dog.wav",
        "test_0000_Rain.wav",
    ]
    assert soundfile.info(tmp_path / "test_0000_Dog.wav").subtype == "FLOAT"


def test_a_label_may_repeat_in_one_form_alone(tmp_path: Path) -> None:
    twice = [("Dog", noise(LENGTH)), ("Dog", noise(LENGTH, seed=1))]
    with refused("several sources of Dog"):
        write_estimates(tmp_path, "quiet", twice, RATE, "2025")
    assert not list(tmp_path.iterdir())
    write_estimates(tmp_path, "quiet", twice, RATE, "2026")
    again = read(tmp_path).of("quiet", LENGTH)
    assert [label for label, _ in again] == ["Dog", "Dog"]
    assert torch.equal(again[1][1], twice[1][1])


def test_sources_are_counted_from_any_number_and_come_in_its_order(tmp_path: Path) -> None:
    for number, label in ((10, "Dog"), (9, "Rain"), (1, "Dog")):
        soundfile.write(tmp_path / f"quiet_{number}_{label}.wav", noise(LENGTH).numpy(), RATE)
    assert [label for label, _ in read(tmp_path).of("quiet", LENGTH)] == ["Dog", "Rain", "Dog"]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("street_1_b_Dog.wav", [("street_1_b", "Dog", None)]),
        ("street_1_b_2_Door_Bell.wav", [("street_1_b", "Door_Bell", 2)]),
        ("test_Dog.wav", []),
        ("quiet_Cat.wav", []),
        ("quiet_-1_Dog.wav", []),
        ("quietDog.wav", []),
    ],
)
def test_names_are_read_by_known_mixtures_and_labels(file: str, expected: list[tuple[str, str, int | None]]) -> None:
    found = meanings(file, MIXTURES, LABELS)
    assert [(meaning.mixture, meaning.label, meaning.number) for meaning in found] == expected


def test_a_name_that_can_mean_two_things_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a_1_Dog.wav", noise(LENGTH).numpy(), RATE)
    with refused("can be Dog of a or Dog of a_1"):
        Estimates(tmp_path, ("a", "a_1"), LABELS, RATE)


def test_what_is_no_estimate_is_left_alone(tmp_path: Path) -> None:
    made = written(tmp_path)
    for name in ("notes.txt", "._test_0000_Dog.wav"):
        (tmp_path / name).write_text("x")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "test_0000_Bell.wav").write_text("x")
    assert len(read(tmp_path).of("test_0000", LENGTH)) == len(made["test_0000"])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("test_0000_Cat.wav", r"test_0000_Cat\.wav is an estimate of test_0000 of no class: the classes are Dog, Rain"),
        ("other_Dog.wav", "estimate of no mixture"),
        ("test_0000_0_Dog.wav", "both forms"),
    ],
)
def test_files_that_do_not_belong_are_named(tmp_path: Path, file: str, says: str) -> None:
    written(tmp_path)
    (tmp_path / file).write_text("x")
    with refused(says):
        read(tmp_path)


def rewritten(folder: Path, samples: Tensor, rate: int = RATE) -> None:
    soundfile.write(folder / "test_0001_Door_Bell.wav", samples.numpy().T, rate, subtype="FLOAT")


def cut(folder: Path) -> None:
    path = folder / "test_0001_Door_Bell.wav"
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: rewritten(folder, noise(2, LENGTH)), "has 2 channels, not 1"),
        (lambda folder: rewritten(folder, noise(LENGTH), 44100), "is sampled at 44100 Hz, not at 8000 Hz"),
        (lambda folder: rewritten(folder, noise(LENGTH - 1)), "has 1999 samples, its mixture 2000"),
        (lambda folder: rewritten(folder, noise(LENGTH) * torch.nan), "holds NaN or infinite samples"),
        (cut, "is cut off: its header promises 8000 bytes of samples"),
        (lambda folder: (folder / "test_0001_Door_Bell.wav").write_text("hello"), "is not a readable audio"),
        (lambda folder: (folder / "test_0001_Door_Bell.wav").write_text(""), "is not a readable audio"),
    ],
)
@pytest.mark.parametrize("keep", [lambda folder: folder, packed], ids=["folder", "zip"])
def test_an_unfit_file_is_named_when_its_turn_comes(
    tmp_path: Path, damage: Callable[[Path], object], says: str, keep: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "out"
    written(folder)
    damage(folder)
    found = read(keep(folder))
    assert found.of("test_0000", LENGTH)
    with refused(rf"test_0001_Door_Bell\.wav {says}"):
        found.of("test_0001", LENGTH)


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    written(tmp_path / "out")
    path = packed(tmp_path / "out")
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)  # within the first file
    path.write_bytes(content)
    with refused(r"street_1_b_Bell\.wav cannot be read \(Bad CRC"):
        read(path).of("street_1_b", LENGTH)
    path.write_bytes(content[:5000])
    with refused("not a zip file that can be read"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_may_hold_a_name_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        for _ in range(2):
            archive.writestr("quiet_Dog.wav", b"")
    with refused(r"Dog of quiet more than once, quiet_Dog\.wav and quiet_Dog\.wav"):
        read(tmp_path / "out.zip")


def test_a_folder_without_estimates_is_refused(tmp_path: Path) -> None:
    with refused("no wav files at its top level"):
        read(tmp_path)
    with refused("There is nothing at"):
        read(tmp_path / "absent")
