"""The report page: complete, self-contained, honest about what is missing, and safe to open."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from minis import refused
from pages import HOSTILE, LABELS, RATE, Page, evaluation, images, report, sounds, tone

from sedsep.evaluation.report import Curve, Example, Stem, clips, training_curves, write_report


def make_example(name: str = "scene_1", label: str = "Bird", caption: str = "") -> Example:
    """Bird is found by both, Phone is missed by the tagger, Tabla is the tagger's false alarm."""
    bird, phone = tone(880, 0.4), tone(300, 0.02)
    return Example(
        name=name,
        sample_rate=RATE,
        mixture=bird + phone,
        caption=caption,
        targets=[(label, bird), ("Phone", phone)],
        estimates={
            "oracle": [Stem(label, 0.9 * bird, 12.34), Stem("Phone", 0.5 * phone, float("nan"))],
            "tagger": [Stem(label, 0.8 * bird, 9.87), Stem("Tabla", tone(100, 0.01))],
        },
        spans=[(label, 0.1, 0.9), ("Phone", 0.0, 0.5)],
        sed_probabilities=np.random.default_rng(0).uniform(0, 0.2, (4, 25)).astype(np.float32),
        sed_labels=[label, *LABELS[1:]],
    )


def full() -> dict[str, Any]:
    """All that a page may tell beside the scores."""
    return {
        "subtitle": "for the test",
        "facts": [("Model", "two layers"), ("Command", "python run.py task=train")],
        "notes": ["One seed only."],
        "curves": [Curve("Loss", "epoch", "dB", {"train": ([1, 2, 3], [-1.0, float("nan"), -3.25])})],
        "examples": [make_example()],
        "config_yaml": "seed: 1\nmodel: <none>\n",
    }


@pytest.fixture(scope="module")
def text() -> str:
    return report(evaluation(passes=(1, 3), resamples=50), **full())


def test_nothing_is_fetched(text: str) -> None:
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    assert not re.search(r"url\(", text.partition("<style>")[2].partition("</style>")[0])
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "#").startswith(("data:", "#"))
    for svg in images(Page(text)):
        for element in ElementTree.fromstring(svg).iter():
            link = element.get("{http://www.w3.org/1999/xlink}href", "#")
            assert link.startswith(("data:image/png", "#"))


def test_sections_follow_each_other_from_the_score_to_the_making(text: str) -> None:
    page = Page(text)
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    order = ["results", "threshold", "passes", "classes", "groups", "confusion", "examples", "curves", "run"]
    assert sections == order
    assert [link["href"] for link in page.all("a")] == ["#content", *(f"#{section}" for section in order)]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    bare = Page(report(evaluation(sources=["oracle"])))
    assert [attributes["id"] for tag, attributes in bare.elements if tag == "section"] == [
        "results", "classes", "groups"
    ]  # fmt: skip
    assert [link["href"] for link in bare.all("a")] == ["#content", "#results", "#classes", "#groups"]


def test_what_is_told_beside_the_scores_appears(text: str) -> None:
    words = Page(text).words
    for expected in (
        "A separator",
        "for the test",
        "12.3 dB SDRi",
        "\u22123.25 at 3",
        "python run.py task=train",
        "model: <none>",
        "One seed only.",
        "loudest sample among them to 0.9",
    ):
        assert expected in words, expected
    assert "nan" not in words.lower().split()
    assert "None" not in words


def test_misses_and_false_alarms_are_marked(text: str) -> None:
    words = Page(text).words
    assert "Phone missed with tagger labels" in words
    assert "Tabla false alarm with tagger labels" in words
    assert "missed with oracle" not in words
    assert text.count("<strong>counts 0\u00a0dB</strong>") == 2


def test_one_sound_of_two_sources_is_shown_once() -> None:
    bird = tone(500, 0.3)
    estimates = {source: [Stem("Bird", bird / 2, 3.0)] for source in ("oracle", "tagger")}
    page = Page(report(examples=[Example("one", RATE, bird, targets=[("Bird", bird)], estimates=estimates)]))
    assert len(page.all("audio")) == 3
    assert "Estimate: tagger and oracle" in page.words


def test_an_estimate_of_a_repeated_class_stands_beside_the_event_it_was_matched_to() -> None:
    first, second = tone(500, 0.3), tone(700, 0.3)
    targets, estimates = [("Bird", first), ("Bird", second)], {"tagger": [Stem("Bird", second, 1.0, event=1)]}
    page = Page(report(examples=[Example("two", RATE, first + second, targets=targets, estimates=estimates)]))
    assert page.words.count("missed with tagger") == 1
    assert page.words.index("Bird 1 missed with tagger") < page.words.index("Bird 2") < page.words.index("1.0 dB SDRi")
    assert {"dry target of Bird 1", "dry target of Bird 2", "estimate of Bird 2 with tagger labels"} < set(sounds(page))


def test_examples_come_in_order_with_their_captions() -> None:
    captions = {"scene_7": "best of 1500: 14.2 dB", "scene_3": "worst of 1500"}
    words = Page(report(examples=[make_example(name, caption=caption) for name, caption in captions.items()])).words
    assert words.index("scene_7 best of 1500: 14.2 dB") < words.index("scene_3 worst of 1500")


def test_everything_is_named_for_those_who_do_not_see_it(text: str) -> None:
    page = Page(text)
    assert all(image.get("alt") for image in page.all("img"))
    assert all(player.get("aria-label") and "controls" in player for player in page.all("audio"))
    assert page.all("html")[0]["lang"] == "en"
    scrolled = [attributes for _, attributes in page.elements if "scroll" in attributes.get("class", "").split()]
    assert all("tabindex" in attributes for attributes in scrolled)
    assert "Bird from 0.10 to 0.90 s" in next(image["alt"] for image in page.all("img") if "Detected" in image["alt"])


def test_hostile_names_stay_text() -> None:
    text = report(
        evaluation((HOSTILE, "Dog"), (HOSTILE, "oracle"), (1, 3)),
        title=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        notes=[HOSTILE],
        curves=[Curve(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: ([0.0], [1.0]), "_hidden": ([0.0], [2.0])})],
        examples=[make_example(HOSTILE, HOSTILE, HOSTILE)],
        config_yaml=HOSTILE,
    )
    page = Page(text)
    assert "<script>alert" not in text
    assert len(page.all("script")) == 1
    assert page.words.count(HOSTILE) >= 20
    drawn = ["".join(ElementTree.fromstring(svg).itertext()) for svg in images(page)]
    assert any(HOSTILE in figure for figure in drawn)
    assert any("_hidden" in figure for figure in drawn)


def test_sound_decodes_to_the_waveforms_at_one_gain(text: str) -> None:
    example = make_example()
    played = sounds(Page(text))
    gain = 0.9 / np.abs(example.mixture).max()
    originals = {
        "mixture scene_1": example.mixture,
        "estimate of Bird with oracle labels": example.estimates["oracle"][0].waveform,
        "dry target of Bird": example.targets[0][1],
        "dry target of Phone": example.targets[1][1],
        "estimate of Tabla with tagger labels": example.estimates["tagger"][1].waveform,
    }
    for name, original in originals.items():
        error = played[name] - original * gain
        assert len(played[name]) == len(original)
        assert 10 * np.log10(np.sum((original * gain) ** 2) / np.sum(error**2)) > clips.ROUNDING_DB - 4, name
    assert max(np.abs(wave).max() for wave in played.values()) == pytest.approx(0.9, abs=2e-3)


def test_quiet_clips_keep_all_bits() -> None:
    quiet = tone(440, 1e-3)
    assert np.abs(clips.rounded(quiet) - quiet * 32767).max() <= 0.5


def test_silence_stays_silent_and_what_broke_down_is_shown_as_such() -> None:
    silent, sound, broken = np.zeros(RATE, np.float32), tone(440, 0.1), tone(440, 0.1)
    broken[5:9] = np.nan, np.inf, -np.inf, np.nan
    quiet = Example("quiet", RATE, silent, targets=[("Bird", silent)])
    estimates = {"tagger": [Stem("Bird", broken)]}
    page = Page(
        report(examples=[quiet, Example("broken", RATE, sound, targets=[("Bird", sound)], estimates=estimates)])
    )
    played = sounds(page)
    assert not played["mixture quiet"].any()
    assert page.words.count("not finite") == 1
    assert not played["estimate of Bird with tagger labels"][5:9].any()


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"curves": [Curve("gaps", "x", "y", {"a": ([1.0], [float("nan")]), "b": ([], [])})]},
        {"examples": [Example("bare", RATE, np.zeros(10, np.float32))]},
    ],
    ids=["nothing", "curves", "examples"],
)
def test_what_is_missing_does_not_break_the_page(about: dict[str, Any]) -> None:
    words = Page(report(**about)).words
    assert "A separator" in words
    assert "nan" not in words.lower()


def test_the_page_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_report(tmp_path / "new", evaluation(), title="One")[0]
    assert page == tmp_path / "new" / "report.html"
    before = page.read_text("utf-8")

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with refused("No space left"):
        write_report(tmp_path / "new", evaluation(), title="Another")
    assert page.read_text("utf-8") == before
    assert {entry.name for entry in page.parent.iterdir()} == {"report.html", "figures"}


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused("cannot be written"):
        write_report(tmp_path / "file", evaluation(), title="t")
    (tmp_path / "report.html").mkdir()
    with refused("cannot be written"):
        write_report(tmp_path, evaluation(), title="t")


def test_curves_come_from_the_rows_of_a_log() -> None:
    log = "step,train/loss_epoch,valid/loss,valid/label_accuracy@0.5\n0,1.5,,\n0,,2.5,40.0\n1,1.0,,\n"
    loss, accuracy = training_curves("tagger", list(csv.DictReader(io.StringIO(log))), "cross-entropy")
    assert (loss.title, loss.xlabel, loss.ylabel) == ("tagger: loss", "step", "cross-entropy")
    assert loss.series == {"training": ([0.0, 1.0], [1.5, 1.0]), "validation": ([0.0], [2.5])}
    assert accuracy.series == {"≥ 0.5": ([0.0], [40.0])}
    assert training_curves("tagger", [], "cross-entropy") == []
