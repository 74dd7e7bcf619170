"""A submission gives what the evaluation scores, and its check finds every kind of mistake."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from minis import LABELS, LENGTH, RATE, make_batch, noise, refused
from whole_systems import GUIDED, make, separator_config, tagger

from sedsep.evaluation.checking import Rules, check
from sedsep.evaluation.estimates import Estimates, write_estimates
from sedsep.evaluation.evaluator import Evaluator, FileEvaluator
from sedsep.evaluation.submission import System, pack, zip_name
from sedsep.labels import LabelRule

NAME = "Doe_Uni_task4_1_out.zip"
MIXTURES = {"test_0": LENGTH, "test_1": LENGTH - 100, "test_2": LENGTH}


def rules() -> Rules:
    return Rules(MIXTURES, LABELS, RATE, "2025", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What nothing is the matter with."""
    folder = tmp_path / "wavs"
    for (mixture, length), labels in zip(MIXTURES.items(), (("Dog",), ("Rain", "Bell"), ("Speech",)), strict=True):
        write_estimates(folder, mixture, [(label, 0.1 * noise(length)) for label in labels], RATE)
    return folder


def zipped(folder: Path, name: str = NAME) -> Path:
    path = folder.parent / name
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


# What is made.


@pytest.mark.parametrize(
    ("separator", "threshold"),
    [
        (separator_config(**GUIDED), 0.0),
        (separator_config(**GUIDED, iters=2), 0.5),
        (separator_config(outputs=3), 0.5),
        (separator_config(outputs=3), 1.0),  # one class a mixture
    ],
)
def test_what_is_packed_scores_as_the_system_itself(tmp_path: Path, separator: dict, threshold: float) -> None:
    batch = make_batch([[0, 2, None], [1, None, None], [3, 4, 0]])
    network, names, rule = make(separator), tagger(), LabelRule(threshold, at_most=3)
    found = [answer.sources for answer in System(network, names, LABELS, rule).answers(batch.mixture)]
    pack(tmp_path / NAME, zip(batch.names, found, strict=True), RATE, "2025")
    made = Estimates(tmp_path / NAME, batch.names, LABELS, RATE)
    passes = max(1, network.iters)
    evaluator = Evaluator(
        LABELS,
        rate=RATE,
        taggers={"tagger": names},
        separator=network,
        passes=(passes,),
        oracle=False,
        rule=rule,
    )
    for ours, again in zip(evaluator(batch), FileEvaluator(LABELS, RATE, made.of)(batch), strict=True):
        (row,), (other,) = ours.rows, again.rows
        assert sorted(row.predicted) == sorted(other.predicted)
        assert row.ca_sdri == other.ca_sdri
        assert sorted(row.scores, key=str) == sorted(other.scores, key=str)


def test_a_name_of_a_submission() -> None:
    assert zip_name("Doe", "Uni-X", 2) == "Doe_Uni-X_task4_2_out.zip"
    for given in (("Van Doe", "Uni", 1), ("Doe", "U_ni", 1), ("Doe", "Uni", 0)):
        with refused("letters and digits"):
            zip_name(*given)


# What is checked.


def test_what_we_pack_has_no_problems(tmp_path: Path) -> None:
    answers = [(name, [("Dog", 0.1 * noise(length)), ("Bell", noise(length) / 9)]) for name, length in MIXTURES.items()]
    pack(tmp_path / NAME, answers, RATE, "2025")
    verdict = check(tmp_path / NAME, rules())
    assert verdict.problems == []
    assert verdict.estimates == 6
    assert set(verdict.labels["test_1"]) == {"Dog", "Bell"}


def put(folder: Path, name: str, samples: torch.Tensor | None = None, rate: int = RATE) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (0.1 * noise(LENGTH) if samples is None else samples).numpy().T, rate, subtype="FLOAT")


def text(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda f: put(f, "inside/test_0_Rain.wav"), {("folder", "inside/test_0_Rain.wav")}),
        (lambda f: text(f, "__MACOSX/._test_0_Dog.wav"), {("hidden", "__MACOSX/._test_0_Dog.wav")}),
        (lambda f: text(f, ".DS_Store"), {("hidden", ".DS_Store")}),
        (lambda f: text(f, "notes.txt"), {("stray", "notes.txt")}),
        (lambda f: text(f, "test_0_Rain.WAV"), {("stray", "test_0_Rain.WAV")}),
        (lambda f: put(f, "test_3_Dog.wav"), {("stray", "test_3_Dog.wav")}),
        (lambda f: put(f, "test_0_Cat.wav"), {("label", "test_0_Cat.wav")}),
        (lambda f: put(f, "test_0_1_Rain.wav"), {("form", "test_0_1_Rain.wav")}),
        (
            lambda f: put(f, "again/test_0_Dog.wav"),
            {("folder", "again/test_0_Dog.wav"), ("repeated", "test_0_Dog.wav")},
        ),
        (
            lambda f: [put(f, f"test_0_{label}.wav") for label in ("Bell", "Rain", "Speech")],
            {("sources", "test_0")},
        ),
        (lambda f: text(f, "test_0_Dog.wav"), {("unreadable", "test_0_Dog.wav")}),
        (lambda f: put(f, "test_0_Dog.wav", noise(2, LENGTH) / 9), {("channels", "test_0_Dog.wav")}),
        (lambda f: put(f, "test_0_Dog.wav", rate=44100), {("rate", "test_0_Dog.wav")}),
        (lambda f: put(f, "test_1_Dog.wav"), {("length", "test_1_Dog.wav")}),
        (lambda f: put(f, "test_0_Dog.wav", noise(LENGTH) * torch.nan), {("values", "test_0_Dog.wav")}),
        (lambda f: put(f, "test_0_Dog.wav", torch.zeros(LENGTH)), {("silent", "test_0_Dog.wav")}),
        (lambda f: put(f, "test_0_Dog.wav", noise(LENGTH)), {("full scale", "test_0_Dog.wav")}),
        (lambda f: (f / "test_0_Dog.wav").unlink(), {("missing", "test_0")}),
    ],
)
@pytest.mark.parametrize("keep", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_a_mistake_is_found_by_kind(
    folder: Path, damage: Callable[[Path], object], expected: set[tuple[str, str]], keep: Callable[[Path], Path]
) -> None:
    damage(folder)
    verdict = check(keep(folder), rules())
    assert {(problem.kind, problem.item) for problem in verdict.problems} == expected
    warned = {"silent", "full scale", "missing"}
    assert {problem.kind for problem in verdict.errors} == {kind for kind, _ in expected} - warned


def test_a_zip_is_known_by_its_name(folder: Path) -> None:
    path = zipped(folder, "Doe_Uni_task4_out.zip")
    (problem,) = check(path, rules()).errors
    assert (problem.kind, problem.item) == ("name", path.name)
    assert check(path, rules(), NAME).problems == []


def test_names_that_mean_two_things_are_found(tmp_path: Path) -> None:
    two = Rules({"a": LENGTH, "a_1": LENGTH}, LABELS, RATE, "2025", 3)
    put(tmp_path, "a_1_Dog.wav")
    assert {problem.kind for problem in check(tmp_path, two).problems} == {"missing"}  # by the form it is of a_1
    doubtful = Rules({"a": LENGTH, "a_b": LENGTH}, type(LABELS)(("Dog", "b_Dog")), RATE, "2025", 3)
    shutil.move(tmp_path / "a_1_Dog.wav", tmp_path / "a_b_Dog.wav")
    assert [problem.kind for problem in check(tmp_path, doubtful).errors] == ["ambiguous", "empty"]


def test_a_label_may_not_repeat(tmp_path: Path) -> None:
    for name in ("test_0_0_Dog.wav", "test_0_1_Dog.wav"):
        put(tmp_path, name)
    assert {problem.kind for problem in check(tmp_path, rules()).errors} == {"form"}


def test_flac_by_another_name_and_what_swells_is_no_estimate(folder: Path) -> None:
    soundfile.write(folder / "test_0_Dog.wav", 0.1 * noise(LENGTH).numpy(), RATE, format="FLAC")
    put(folder, "test_2_Speech.wav", torch.zeros(LENGTH + 300_000))
    texts = [problem.text for problem in check(zipped(folder), rules()).errors]
    assert texts == [
        "is FLAC under the name of WAV",
        f"has {(folder / 'test_2_Speech.wav').stat().st_size} bytes, where its mixture needs fewer than 1112576",
    ]


def test_the_same_estimates_make_the_same_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "one.zip", [("test_0", [("Dog", noise(LENGTH))])], RATE, "2025")
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 1, 2, 3, 4, 6, 0, 0, 0))
    pack(tmp_path / "two.zip", [("test_0", [("Dog", noise(LENGTH))])], RATE, "2025")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_what_holds_nothing_is_wrong(tmp_path: Path) -> None:
    assert [problem.kind for problem in check(tmp_path, rules()).problems] == ["empty"]
