"""Scores of a report: none is lost or shown twice, intervals and settings stand where they are looked for."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest
from pages import HOSTILE, RATE, Page, images, tone

from sedsep.evaluation.report import (
    Breakdown,
    BreakdownRow,
    ClassRow,
    Confusion,
    Curve,
    Example,
    Report,
    Stem,
    charts,
    render,
)
from sedsep.evaluation.report.scores import METRICS

NAN = float("nan")
SOURCES = ("tagger", "baseline", "oracle")
IMPROVEMENTS = ("ca_sdri", "capi_sdri", "si_sdri", "sdr", "si_sdr")
ACCURACIES = ("label_accuracy", "source_accuracy")


def every_metric() -> dict[str, float]:
    """All that an evaluation gives, each with a value that no other has."""
    names = list(METRICS)
    names += [f"{name}@{threshold}" for name in ACCURACIES for threshold in (0.1, 0.3, 0.7, 0.9)]
    names += [f"{name}@{passes}" for name in IMPROVEMENTS for passes in (1, 2, 4)]
    keys = [f"test/{name}/{source}" for name in [*names, "something_new"] for source in SOURCES]
    return {key: 100.0 + index for index, key in enumerate(keys)}


def table_cells(text: str, kind: str = "td") -> list[str]:
    """The words of each table cell."""
    cells = re.findall(rf"<{kind}\b[^>]*>(.*?)</{kind}>", text, flags=re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in cells]


def section(text: str, name: str) -> str:
    return text.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_every_metric_is_in_one_table_cell() -> None:
    metrics = every_metric()
    cells = [cell for cell in table_cells(render(Report("t", metrics=metrics))) if re.fullmatch(r"[\d.]+", cell)]
    assert sorted(float(cell) for cell in cells) == sorted(metrics.values())


def test_scores_at_other_settings_stay_out_of_the_main_table() -> None:
    text = render(Report("t", metrics=every_metric()))
    assert "@" not in Page(text).words
    assert len(table_cells(section(text, "results"))) == len(METRICS) + 3 * (len(METRICS) + 1)  # explanations, values
    for name, metrics, rows in (("threshold", 2, 4), ("passes", 5, 3)):
        assert len(table_cells(section(text, name))) == metrics * rows * len(SOURCES)
    assert "accuracy" not in section(text, "passes")


def test_the_jobs_own_setting_bears_the_plain_score() -> None:
    metrics = {"test/ca_sdri@2/tagger": 10.25, "test/ca_sdri/tagger": 11.75, "test/ca_sdri@10/tagger": 9.5}
    metrics |= {"test/label_accuracy@0.3/tagger": 50.5, "test/label_accuracy/tagger": 60.5}
    metrics |= {"test/label_accuracy/constant": 7.5}
    text = render(Report("t", metrics=metrics, threshold=0.5, trained_passes=3))
    assert "2 10.25 3 as trained 11.75 10 9.50" in Page(section(text, "passes")).words
    thresholds = Page(section(text, "threshold")).words
    assert "0.3 50.5 0.5 in use 60.5" in thresholds
    assert "7.5" not in thresholds  # no threshold moves it
    assert any("3 as trained" in svg.decode() for svg in images(Page(text)))


def test_one_setting_more_than_once_told_is_no_second_row() -> None:
    metrics = {"test/label_accuracy@0.5/tagger": 60.5, "test/label_accuracy/tagger": 60.5}
    text = render(Report("t", metrics=metrics, threshold=0.5))
    assert table_cells(section(text, "threshold")) == ["60.5"]


def test_intervals_stand_beside_their_numbers() -> None:
    metrics = {"test/ca_sdri/tagger": 11.034, "test/ca_sdri/oracle": 14.2, "test/label_accuracy/tagger": None}
    intervals = {
        "test/ca_sdri/tagger": (-0.456, 11.352),
        "test/ca_sdri/oracle": (NAN, NAN),
        "test/label_accuracy/tagger": (1.0, 2.0),
    }
    text = render(Report("t", metrics=metrics, intervals=intervals))
    cells = table_cells(section(text, "results"))
    assert "11.03 \u22120.46 to 11.35" in cells
    assert "14.20" in cells
    words = Page(text).words
    assert "11.0 dB \u22120.5 to 11.4 (95 %)" in words
    assert "nan" not in words.lower()
    assert "1.0 to 2.0" not in words
    assert "by bootstrap over the recordings" in words


def test_nothing_is_said_of_intervals_without_any() -> None:
    assert "bootstrap" not in render(Report("t", metrics=every_metric()))


def test_the_area_says_how_it_is_counted() -> None:
    words = Page(render(Report("t", metrics={"test/segment_pauroc/tagger": 0.8341}))).words
    for said in ("0.834", "segments of 1 s", "up to a false positive rate of 0.1", "divided by 0.1", "chance is 0.05"):
        assert said in words
    assert "without McClish's correction" in words


def make_breakdown(name: str = "tagger") -> Breakdown:
    rows = [
        BreakdownRow("1 source", 12, {name: (9.25, 8.5, 10.0), "oracle": (NAN, NAN, NAN)}),
        BreakdownRow("2 sources", 34, {"oracle": (12.5, NAN, NAN)}),
    ]
    return Breakdown("By number of sources", "Sources", "CA-SDRi (dB)", rows)


def test_a_breakdown_shows_its_groups_and_what_is_missing() -> None:
    text = render(Report("t", breakdowns=[make_breakdown(), replace(make_breakdown(), rows=[])]))
    assert table_cells(section(text, "groups")) == ["12", "9.25 8.50 to 10.00", "\u2013", "34", "\u2013", "12.50"]
    assert text.count("By number of sources</h3>") == 1
    headings = ["Sources", "Mixtures", "tagger", "oracle", "1 source", "2 sources"]
    assert table_cells(section(text, "groups"), "th") == headings
    nothing = [BreakdownRow("1 source", 0, {"tagger": (NAN, NAN, NAN)})]
    assert "\u2013" in render(Report("t", breakdowns=[replace(make_breakdown(), rows=nothing)]))


def test_classes_show_intervals_and_sort_by_their_numbers() -> None:
    rows = [ClassRow("Bird", 7, {"tagger": 3.5, "oracle": 4.0}, 0.5, None, {"tagger": (2.25, 4.75)})]
    text = section(render(Report("t", per_class=rows)), "classes")
    assert table_cells(text)[-5:] == ["7", "3.50 2.25 to 4.75", "4.00", "\u2013", "50.0"]
    assert Page(text).words.index("Precision") < Page(text).words.index("Recall")


def full_report() -> Report:
    bird = tone(500, 0.3, 0.2)
    stems = [Stem("Bird", "target", "", bird), Stem("Bird", "estimate", "tagger", bird, 1.0)]
    return Report(
        "A separator",
        metrics=every_metric(),
        threshold=0.5,
        trained_passes=3,
        per_class=[ClassRow("Bird", 7, {"tagger": 3.5}, 0.5, 0.5)],
        breakdowns=[make_breakdown()],
        confusion=Confusion(["Bird", "Dog"], [[3, 1, 1], [0, 4, 0], [0, 1, 0]], "tagger"),
        examples=[
            Example("scene_7", RATE, bird, stems, caption="best of 1500: 14.2 dB"),
            Example("scene_3", RATE, bird, stems, caption="worst of 1500: −6.1 dB"),  # noqa: RUF001
        ],
        curves=[Curve("Loss", "step", "dB", {"training": ([1.0], [2.0])})],
        config_yaml="seed: 1",
    )


def test_sections_follow_each_other_from_the_score_to_the_making() -> None:
    ids = [attributes["id"] for tag, attributes in Page(render(full_report())).elements if tag == "section"]
    order = ["results", "threshold", "passes", "classes", "groups", "confusion", "examples", "curves", "run"]
    assert ids == order


def test_examples_come_in_order_with_their_captions() -> None:
    words = Page(render(full_report())).words
    assert words.index("scene_7 best of 1500: 14.2 dB") < words.index("scene_3 worst of 1500")


def test_a_tagger_alone_has_a_whole_page() -> None:
    report = full_report()
    accuracies = {k: v for k, v in report.metrics.items() if k.split("/")[1].partition("@")[0] in ACCURACIES}
    unheard = [replace(example, stems=example.stems[:1]) for example in report.examples]
    alone = replace(
        report, metrics=accuracies, trained_passes=None, per_class=[ClassRow("Bird", 7, {}, 0.75, 0.5)], breakdowns=[],
        examples=unheard,
    )  # fmt: skip
    text = render(alone)
    words = Page(text).words
    assert "SDR" not in words
    assert "Nothing was separated." in words
    assert any("recall and precision in % by class" in image["alt"] for image in Page(text).all("img"))
    assert "by_class" in charts(alone)


@pytest.mark.parametrize("gone", ["per_class", "breakdowns", "confusion", "examples", "curves", "metrics"])
def test_links_lead_to_what_there_is(gone: str) -> None:
    empty = None if gone == "confusion" else {} if gone == "metrics" else []
    page = Page(render(replace(full_report(), **{gone: empty})))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= ids


def test_hostile_names_stay_text() -> None:
    hostile = replace(
        full_report(),
        metrics={f"test/ca_sdri@2/{HOSTILE}": 1.0, f"test/{HOSTILE}@3/{HOSTILE}": 2.0, f"test/ca_sdri/{HOSTILE}": 1.0},
        breakdowns=[Breakdown(HOSTILE, HOSTILE, HOSTILE, [BreakdownRow(HOSTILE, 1, {HOSTILE: (1.0, 0.0, 2.0)})])],
        confusion=Confusion([HOSTILE, "Dog"], [[0, 1, 0], [0, 0, 0], [0, 0, 0]], HOSTILE),
        examples=[replace(full_report().examples[0], caption=HOSTILE)],
    )
    text = render(hostile)
    assert "<script>alert" not in text
    assert Page(text).words.count(HOSTILE) >= 11
    for svg in images(Page(text)):
        ElementTree.fromstring(svg)


def test_charts_are_kept_by_name() -> None:
    pictures = charts(full_report())
    assert {"CA_SDRi_by_passes", "By_number_of_sources", "by_class", "confusion", "Loss"} <= pictures.keys()
    for svg in pictures.values():
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert charts(Report("t")) == {}


def test_a_page_without_sounds_is_small() -> None:
    labels = [f"Class{index}" for index in range(18)]
    counts = [[(7 * row + column) % 5 for column in range(19)] for row in range(19)]
    metrics = every_metric() | {f"test/ca_sdri@{p}/{s}": 1.0 for p in range(1, 11) for s in SOURCES}
    report = replace(
        full_report(),
        metrics=metrics,
        per_class=[ClassRow(label, 9, dict.fromkeys(SOURCES, 1.0)) for label in labels],
        confusion=Confusion(labels, counts, "tagger"),
        examples=[],
    )
    assert len(render(report)) < 1_000_000


def test_values_that_are_not_numbers_are_dashes() -> None:
    metrics = {"test/ca_sdri@1/tagger": None, "test/ca_sdri@2/tagger": math.inf, "test/ca_sdri@3/tagger": 3.0}
    cells = table_cells(section(render(Report("t", metrics=metrics)), "passes"))
    assert cells == ["\u2013", "\u2013", "3.00"]
