"""The report page: complete, self-contained, honest about what is missing, and safe to open."""

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from pages import HOSTILE, RATE, Page, images, sounds, tone

from sedsep.errors import UserError
from sedsep.evaluation.report import ClassRow, Curve, Example, Report, Stem, clips, render, write_report

LABELS = ["Bird", "Phone", "Speech", "Tabla"]


def make_example(name: str = "scene_1", label: str = "Bird") -> Example:
    """Bird is found by both, Phone is missed by the tagger, Tabla is the tagger's false alarm."""
    bird, phone = tone(880, 0.4), tone(300, 0.02)
    probabilities = np.random.default_rng(0).uniform(0, 0.2, (4, 25)).astype(np.float32)
    return Example(
        name=name,
        sample_rate=RATE,
        mixture=bird + phone,
        stems=[
            Stem(label, "estimate", "oracle", 0.9 * bird, 12.34),
            Stem(label, "target", "truth", bird),
            Stem(label, "estimate", "tagger", 0.8 * bird, 9.87),
            Stem("Phone", "target", "truth", phone),
            Stem("Phone", "estimate", "oracle", 0.5 * phone, float("nan")),
            Stem("Tabla", "estimate", "tagger", tone(100, 0.01)),
        ],
        sed_probabilities=probabilities,
        sed_labels=[label, *LABELS[1:]],
        sed_frame_s=0.04,
        true_spans=[(label, 0.1, 0.9), ("Phone", 0.0, 0.5)],
    )


def make_report() -> Report:
    return Report(
        title="A separator",
        subtitle="for the test",
        facts=[("Model", "two layers"), ("Command", "python run.py task=train")],
        metrics={
            "test/ca_sdri/oracle": 11.284,
            "test/ca_sdri/tagger": 8.316,
            "test/label_accuracy/tagger": 59.83,
            "test/psds1/tagger": float("nan"),
            "valid/ca_sdri/baseline": -0.456,
        },
        per_class=[
            ClassRow("Bird", 7, {"oracle": 10.25, "tagger": -3.5}, 0.75, 0.6),
            ClassRow("Phone", 0, {"oracle": None, "tagger": float("nan")}),
        ],
        curves=[Curve("Loss", "epoch", "dB", {"train": ([1, 2, 3], [-1.0, float("nan"), -3.25])})],
        examples=[make_example()],
        config_yaml="seed: 1\nmodel: <none>\n",
        notes=["One seed only."],
    )


@pytest.fixture(scope="module")
def text() -> str:
    return render(make_report())


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


def test_links_within_the_page_arrive(text: str) -> None:
    parsed = Page(text)
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in parsed.all("a")} <= set(ids)


def test_numbers_labels_and_facts_appear(text: str) -> None:
    words = Page(text).words
    for expected in [
        "A separator",
        "for the test",
        "8.3 dB",  # the headline, in words and with its unit
        "Doing nothing 0 dB",
        "59.8 %",
        "11.28",
        "\u22120.46",
        "10.25",
        "\u22123.50",
        "75.0",
        "12.3 dB SDRi",
        "\u2013",
        "\u22123.25 at 3",
        "python run.py task=train",
        "model: <none>",
        "One seed only.",
        "loudest sample among them to 0.9",
    ]:
        assert expected in words, expected
    assert "nan" not in words.lower().split()
    assert "None" not in words


def test_headline_leads_with_the_tagger_and_leaves_the_oracles_accuracy_out() -> None:
    metrics = {"test/ca_sdri/oracle": 2.0, "test/ca_sdri/tagger": 1.0, "test/label_accuracy/oracle": 100.0}
    words = Page(render(Report("t", metrics=metrics))).words
    assert words.index("1.0 dB") < words.index("2.0 dB")
    assert "100.0 %" not in words


def test_a_tagger_alone_has_a_headline_too() -> None:
    metrics = {
        "test/label_accuracy/constant": 25.0,
        "test/label_accuracy/tagger": 61.25,
        "test/source_accuracy/tagger": 70.0,
    }
    words = Page(render(Report("t", metrics=metrics))).words
    assert "Label accuracy, tagger labels 61.2 % of recordings named exactly right" in words
    assert "Label accuracy, constant answer 25.0 % always the commonest set of events: what to beat" in words
    assert "Doing nothing" not in words


def test_misses_and_false_alarms_are_marked(text: str) -> None:
    words = Page(text).words
    assert "Phone missed with tagger labels" in words
    assert "Tabla false alarm with tagger labels" in words
    assert "missed with oracle" not in words
    assert text.count("<strong>counts 0\u00a0dB</strong>") == 2


def test_one_sound_of_two_sources_is_shown_once() -> None:
    bird = tone(500, 0.3)
    stems = [Stem("Bird", "target", "truth", bird)]
    stems += [Stem("Bird", "estimate", origin, bird / 2, 3.0) for origin in ("oracle", "tagger")]
    parsed = Page(render(Report("t", examples=[Example("one", RATE, bird, stems)])))
    assert len(parsed.all("audio")) == 3
    assert "Estimate: tagger and oracle" in parsed.words


def test_repeated_labels_pair_in_order() -> None:
    first, second = tone(500, 0.3), tone(700, 0.3)
    stems = [Stem("Bird", "target", "truth", first), Stem("Bird", "target", "truth", second)]
    stems += [Stem("Bird", "estimate", "tagger", first, 1.0)]
    words = Page(render(Report("t", examples=[Example("two", RATE, first + second, stems)]))).words
    assert words.count("missed with tagger") == 1
    assert words.index("1.0 dB SDRi") < words.index("missed with tagger")


def test_everything_is_named_for_those_who_do_not_see_it(text: str) -> None:
    parsed = Page(text)
    assert all(image.get("alt") for image in parsed.all("img"))
    assert all(player.get("aria-label") and "controls" in player for player in parsed.all("audio"))
    assert parsed.all("html")[0]["lang"] == "en"
    assert all(
        "tabindex" in attributes for _, attributes in parsed.elements if "scroll" in attributes.get("class", "").split()
    )
    assert "Bird from 0.10 to 0.90 s" in next(image["alt"] for image in parsed.all("img") if "Detected" in image["alt"])


def test_a_hostile_label_stays_text() -> None:
    report = make_report()
    hostile = replace(
        report,
        title=HOSTILE,
        facts=[(HOSTILE, HOSTILE)],
        metrics={f"test/ca_sdri/{HOSTILE}": 1.0, f"test/{HOSTILE}/tagger": 1.0},
        per_class=[ClassRow(HOSTILE, 1, {HOSTILE: 1.0})],
        curves=[Curve(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: ([0.0], [1.0]), "_hidden": ([0.0], [2.0])})],
        examples=[make_example(HOSTILE, HOSTILE)],
        config_yaml=HOSTILE,
        notes=[HOSTILE],
    )
    text = render(hostile)
    parsed = Page(text)
    assert "<script>alert" not in text
    assert len(parsed.all("script")) == 1
    assert parsed.words.count(HOSTILE) >= 8
    drawn = ["".join(ElementTree.fromstring(svg).itertext()) for svg in images(parsed)]
    assert any(HOSTILE in figure for figure in drawn)
    assert any("_hidden" in figure for figure in drawn)


def test_sound_decodes_to_the_waveforms_at_one_gain(text: str) -> None:
    example = make_example()
    played = sounds(Page(text))
    gain = 0.9 / np.abs(example.mixture).max()
    originals = {
        "mixture scene_1": example.mixture,
        "estimate of Bird, oracle labels": example.stems[0].waveform,
        "dry target of Bird": example.stems[1].waveform,
        "dry target of Phone": example.stems[3].waveform,
        "estimate of Tabla, tagger labels": example.stems[5].waveform,
    }
    for name, original in originals.items():
        error = played[name] - original * gain
        assert len(played[name]) == len(original)
        assert 10 * np.log10(np.sum((original * gain) ** 2) / np.sum(error**2)) > clips.ROUNDING_DB - 4, name
    assert max(np.abs(wave).max() for wave in played.values()) == pytest.approx(0.9, abs=2e-3)


def test_quiet_clips_keep_all_bits() -> None:
    quiet = tone(440, 1e-3)
    assert np.abs(clips.rounded(quiet) - quiet * 32767).max() <= 0.5


def test_silence_stays_silent() -> None:
    silent = np.zeros(RATE, np.float32)
    parsed = Page(render(Report("t", examples=[Example("quiet", RATE, silent, [Stem("Bird", "target", "", silent)])])))
    assert all(not wave.any() for wave in sounds(parsed).values())


def test_broken_estimates_are_shown_as_such() -> None:
    broken = tone(440, 0.1)
    broken[5:9] = np.nan, np.inf, -np.inf, np.nan
    stems = [Stem("Bird", "target", "", tone(440, 0.1)), Stem("Bird", "estimate", "tagger", broken)]
    parsed = Page(render(Report("t", examples=[Example("broken", RATE, tone(440, 0.1), stems)])))
    assert parsed.words.count("not finite") == 1
    assert not sounds(parsed)["estimate of Bird, tagger labels"][5:9].any()


@pytest.mark.parametrize(
    "emptied",
    [
        {"examples": []},
        {"curves": []},
        {"curves": [Curve("none", "x", "y", {})]},
        {"curves": [Curve("nan", "x", "y", {"a": ([1.0], [float("nan")]), "b": ([], [])})]},
        {"per_class": []},
        {"per_class": [ClassRow("Bird", 0, {})]},
        {"metrics": {}},
        {"metrics": {"test/ca_sdri/tagger": float("nan"), "loss": None, "test/loss": 1.0, "test/ca_sdri/2/x": 1.0}},
        {"facts": [], "config_yaml": "", "notes": [], "subtitle": ""},
        {"examples": [Example("bare", RATE, np.zeros(10, np.float32))]},
    ],
    ids="-".join,
)
def test_what_is_missing_does_not_break_the_page(emptied: dict) -> None:
    full = replace(make_report(), examples=[])
    parsed = Page(render(replace(full, **emptied)))
    assert "A separator" in parsed.words
    assert "nan" not in parsed.words.lower().replace(emptied["curves"][0].title if emptied.get("curves") else "", "")


def test_an_empty_report_is_a_page() -> None:
    assert "No metrics were recorded." in Page(render(Report("Nothing"))).words


def test_the_file_appears_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    path = tmp_path / "new" / "report.html"
    report = replace(make_report(), examples=[])
    write_report(path, report)
    first = path.read_text("utf-8")
    assert first == render(report)
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(UserError, match="No space left"):
        write_report(path, replace(report, title="Another"))
    assert path.read_text("utf-8") == first
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_an_unwritable_place_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", Report("t"))
    with pytest.raises(UserError, match="cannot be written"):
        write_report(tmp_path, Report("t"))


def test_shapes_that_do_not_fit_are_refused() -> None:
    wave = np.zeros(10, np.float32)
    with pytest.raises(UserError, match=r"\(2, 10\)"):
        Stem("Bird", "target", "", np.zeros((2, 10), np.float32))
    with pytest.raises(UserError, match="at least one sample"):
        Example("x", RATE, wave[:0])
    with pytest.raises(UserError, match="expected \\[1 classes"):
        Example("x", RATE, wave, sed_probabilities=np.zeros((2, 5), np.float32), sed_labels=["Bird"], sed_frame_s=1)
    with pytest.raises(UserError, match="positive duration"):
        Example("x", RATE, wave, sed_probabilities=np.zeros((1, 5), np.float32), sed_labels=["Bird"])
    with pytest.raises(UserError, match="positive rate"):
        Example("x", 0, wave)
    with pytest.raises(UserError, match="2 x and 1 y"):
        Curve("c", "x", "y", {"a": ([1, 2], [1])})


def test_curves_come_from_the_rows_of_a_log() -> None:
    log = "epoch,train,valid\n0,1.5,\n0,,2.5\n1,1.0,\n"
    curve = Curve.from_rows(
        "Loss",
        list(csv.DictReader(io.StringIO(log))),
        "epoch",
        {"training": "train", "validation": "valid", "absent": "none"},
        xlabel="epoch",
        ylabel="loss",
    )
    assert curve.series == {"training": ([0.0, 1.0], [1.5, 1.0]), "validation": ([0.0], [2.5])}
