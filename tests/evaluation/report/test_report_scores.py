"""Scores of a report: none is lost or shown twice, intervals and settings stand where they are looked for."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pages import LABELS, Page, evaluation, images, report

from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.report import Curve, show_scores, write_report
from sedsep.evaluation.report.figures import brief, confusion_figure
from sedsep.evaluation.report.scores import confusion_view
from sedsep.evaluation.results import Evaluation
from sedsep.labels import LabelRule
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import METRICS, MetricName
from sedsep.metrics.rows import MixtureRow

NAN = float("nan")
SOURCES = ("tagger", "baseline", "oracle")
Counts = list[list[float]]


def with_scores(of: Evaluation, scores: dict[str, Estimate]) -> Evaluation:
    """The evaluation with other numbers: what it gives to read is a table that is computed once."""
    vars(of)["metrics"] = scores
    return of


def every_score() -> Evaluation:
    """All that an evaluation may give, each with a value that no other has."""
    settings = {"passes": (1, 2, 4), "threshold": (0.1, 0.3, 0.5, 0.7, 0.9), None: ()}
    names = [
        str(MetricName("test", metric.name, source, setting))
        for metric in METRICS.values()
        for setting in (None, *settings[metric.setting])
        for source in SOURCES
    ]
    of = replace(evaluation(sources=SOURCES, passes=(1, 2, 4)), rule=LabelRule(0.5))
    return with_scores(of, {name: Estimate(100.0 + index, NAN, NAN, 3) for index, name in enumerate(names)})


def table_cells(text: str, kind: str = "td") -> list[str]:
    """The words of each table cell."""
    cells = re.findall(rf"<{kind}\b[^>]*>(.*?)</{kind}>", text, flags=re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in cells]


def section(text: str, name: str) -> str:
    return text.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_every_score_is_in_one_table_cell_and_those_at_settings_not_in_the_main_table() -> None:
    of = every_score()
    text = report(of)
    main, passes, thresholds = (section(text, name) for name in ("results", "passes", "threshold"))
    cells = [cell for part in (main, passes, thresholds) for cell in table_cells(part) if re.fullmatch(r"[\d.]+", cell)]
    assert sorted(map(float, cells)) == sorted(score.value for score in of.metrics.values())
    assert "@" not in Page(text).words
    assert len(table_cells(main)) == len(METRICS) * (1 + len(SOURCES))  # explanations, values
    assert len(table_cells(passes)) == 3 * 3 * len(SOURCES)
    assert "accuracy" not in passes


def test_the_headline_leads_with_the_tagger_and_leaves_the_oracles_accuracy_out() -> None:
    words = Page(report()).words
    assert "CA-SDRi, tagger labels 9.3 dB events named by the trained tagger CA-SDRi, oracle labels 17.0 dB" in words
    assert "Doing nothing 0 dB" in words
    assert "Label accuracy, tagger labels 66.7 % of recordings named exactly right" in words
    assert "Label accuracy, constant answer 66.7 % always the commonest set of events: what to beat" in words
    assert "Label accuracy, oracle" not in words


def test_the_jobs_own_setting_bears_the_plain_score() -> None:
    text = report(evaluation(passes=(1, 3)))
    passes = section(text, "passes")
    assert table_cells(passes)[:4] == ["7.78", "15.00", "9.33", "17.00"]
    assert table_cells(passes, "th")[:5] == ["Passes", "tagger", "oracle", "1", "3 as trained"]
    assert any("3 as trained" in svg.decode() for svg in images(Page(text)))
    thresholds = section(text, "threshold")
    assert "0.3 66.7 0.4 in use 66.7 0.5 66.7" in Page(thresholds).words  # no row of its own for what is listed
    assert "constant" not in thresholds  # no threshold moves it


def test_intervals_stand_beside_their_numbers() -> None:
    scores = {
        "test/ca_sdri/tagger": Estimate(11.034, -0.456, 11.352, 3),
        "test/ca_sdri/oracle": Estimate(14.2, NAN, NAN, 3),
        "test/label_accuracy/tagger": Estimate(NAN, 1.0, 2.0, 0),
    }
    text = report(with_scores(evaluation(), scores))
    cells = table_cells(section(text, "results"))
    assert "11.03 \u22120.46 to 11.35" in cells
    assert "14.20" in cells
    assert "\u2013" in cells
    words = Page(text).words
    assert "11.0 dB \u22120.5 to 11.4 (95 %)" in words
    assert "nan" not in words.lower()
    assert "1.0 to 2.0" not in words
    assert "by bootstrap over the recordings" in words
    assert "bootstrap" not in report()


def test_the_area_says_how_it_is_counted() -> None:
    scores = {"test/segment_pauroc/tagger": Estimate(0.8341, NAN, NAN, 3)}
    words = Page(report(with_scores(evaluation(), scores))).words
    for part in ("0.834", "segments of 1 s", "up to a false positive rate of 0.1", "divided by 0.1", "chance is 0.05"):
        assert part in words
    assert "without McClish's correction" in words


def test_groups_show_their_scores_and_what_is_missing() -> None:
    text = section(report(evaluation(sources=("tagger",))), "groups")
    assert table_cells(text) == ["1", "12.00", "2", "8.00", "1", "0.00", "2", "12.00", "1", "12.00"]
    assert table_cells(text, "th") == [
        "Sources", "Mixtures", "tagger", "1 source", "2 sources",
        "SNR in the mixture", "Mixtures", "tagger", "below -10 dB", "-5 to 0 dB", "0 to 5 dB",
    ]  # fmt: skip


def test_a_page_of_2026_leads_with_its_own_ranking_and_breaks_it_down_by_what_sounds() -> None:
    of = replace(evaluation(), ranking="capi_sdri")
    empty = [MixtureRow("empty", source, (), (), 3) for source in of.sources]
    text = report(replace(of, mixtures=[*of.mixtures, MixtureResult("empty", empty, of.mixtures[0].outputs)]))
    assert "CAPI-SDRi, tagger labels 9.3 dB" in Page(text).words
    assert table_cells(section(text, "results"), "th").index("CAPI-SDRi (dB)") == 4  # after the heads of the columns
    titles = re.findall("<h3>(.*?)</h3>", section(text, "groups"))
    assert titles[:3] == [f"{what} by what sounds" for what in ("CAPI-SDRi", "Label accuracy", "Source accuracy")]
    cells = table_cells(section(text, "groups"))
    assert cells[:6] == ["1", "12.00", "17.00", "2", "8.00", "17.00"]  # nothing is counted of silence left empty
    assert cells[6:12] == ["1", "100.0", "1", "100.0", "2", "50.0"]
    assert "Silence recall" in section(text, "results")
    assert not {"Silence recall", "by what sounds"} & set(re.findall("Silence recall|by what sounds", report()))


def test_classes_show_scores_precision_and_recall() -> None:
    text = section(report(evaluation()), "classes")
    rows = [table_cells(row) for row in re.findall(r"<tr>(.*?)</tr>", text, flags=re.DOTALL)][1:]
    assert rows[0][0] == "3"
    assert rows[0][1] == "12.00"
    assert rows[0][3:] == ["100.0", "100.0"]
    assert rows[1][3:] == ["100.0", "50.0"]
    assert rows[2] == ["0", "\u2013", "\u2013", "\u2013", "\u2013"]
    assert rows[3][2:] == ["\u2013", "0.0", "\u2013"]
    assert Page(text).words.index("Precision") < Page(text).words.index("Recall")


def test_a_tagger_alone_has_a_whole_page(tmp_path: Path) -> None:
    files = write_report(tmp_path, evaluation(sources=["tagger"], separated=False), title="A tagger")
    page = Page(files[0].read_text())
    assert "SDR" not in page.words
    assert "Doing nothing" not in page.words
    assert "Nothing was separated." in page.words
    assert any("recall and precision in % by class" in image["alt"] for image in page.all("img"))
    assert tmp_path / "figures" / "by_class.svg" in files


def test_figures_are_kept_by_name(tmp_path: Path) -> None:
    curves = [Curve("Loss", "step", "dB", {"training": ([1.0], [2.0])})]
    _, *figures = write_report(tmp_path, evaluation(passes=(1, 3)), title="t", curves=curves)
    expected = {"CA_SDRi_by_passes", "CA_SDRi_by_number_of_sources", "by_class", "confusion", "Loss"}
    assert expected <= {figure.stem for figure in figures}
    assert sorted(figures) == sorted((tmp_path / "figures").iterdir())
    for figure in figures:
        assert ElementTree.fromstring(figure.read_bytes()).tag.endswith("svg")


def test_a_page_without_sounds_is_small() -> None:
    labels = [f"Class{index}" for index in range(18)]
    assert len(report(evaluation(labels, SOURCES, range(1, 11), resamples=50))) < 1_000_000


def test_the_terminal_shows_the_same_scores(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores(evaluation(passes=(1, 3), resamples=50))
    lines = capsys.readouterr().out.splitlines()
    (score,) = [line for line in lines if line.startswith("│ CA-SDRi")]
    assert re.findall(r"[\d.]+", score) == ["9.33", "17.00"]
    assert any("trained for 3" in line for line in lines)
    (tagger,) = [line for line in lines if line.startswith("│ tagger")]
    assert re.findall(r"[\d.]+", tagger) == ["7.78", "9.33"]


def confusion(counts: Counts, labels: tuple[str, ...] = LABELS[:3]) -> dict:
    view = confusion_view("tagger", labels, np.array(counts, float))
    assert view is not None
    return view


def test_the_sentence_counts_every_event_once() -> None:
    view = confusion([[6, 3, 0, 1], [0, 4, 0, 0], [2, 0, 3, 1], [5, 0, 2, 0]])
    numbers = [view[name] for name in ("right", "share", "events", "other", "missed", "invented", "shared")]
    assert numbers == ["13", "65.0\u00a0%", "20", "5", "2", "7", False]
    words = Page(report()).words.replace("\u00a0", " ")
    expected = "4 (80.0 %) of 5 true events were named rightly, 1 taken for another class and 0 missed."
    assert expected in words
    assert "Phone was named Tabla in 1 of its 2 events (50 %)" in words


def test_the_worst_confusions_come_first_with_their_share() -> None:
    view = confusion([[6, 3, 0.5, 0.5], [0, 4, 0, 0], [2, 0, 3, 3], [5, 0, 2, 0]])
    assert [tuple(pair.values()) for pair in view["worst"]] == [
        ("Bird", "Phone", "3", "10", "30\u00a0%"),
        ("Speech", "Bird", "2", "8", "25\u00a0%"),
        ("Bird", "Speech", "0.5", "10", "5\u00a0%"),
    ]
    assert view["shared"]
    assert len(confusion((np.ones((4, 4)) - np.eye(4)).tolist())["worst"]) == 5


def test_no_confusion_is_said_so_and_nothing_counted_is_left_out() -> None:
    assert confusion([[2, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])["worst"] == []
    assert confusion([[0] * 4, [0] * 4, [0] * 4, [1, 0, 0, 0]])["share"] == "\u2013"
    assert confusion_view("tagger", LABELS, np.zeros((5, 5))) is None


def test_the_heat_map_has_each_name_twice_and_each_count() -> None:
    long = "Water that is running into a metal sink"
    counts = np.array([[6, 3, 0, 1], [0, 4.25, 0, 0], [1234, 0, 3, 1], [5, 0, 2, 0]])
    svg = ElementTree.fromstring(confusion_figure(["Bird", "Dog", long], counts))
    texts = [element.text or "" for element in svg.iter() if element.tag.endswith("text")]
    assert texts.count("Bird") == texts.count("Dog") == 2
    assert max(map(len, texts)) < len(long)
    numbers = sorted(text for text in texts if re.fullmatch(r"[\d.]+", text))
    assert numbers == sorted(["6", "3", "1", "4.2", "1234", "3", "1", "5", "2"])


def test_numbers_fit_their_cells() -> None:
    assert [brief(count) for count in (0.5, 3.04, 99.96, 123.4, 99_999, 1_234_567)] == [
        "0.5", "3", "100", "123", "99999", "1235k",
    ]  # fmt: skip


def test_labels_that_are_no_better_than_one_answer_are_doubted() -> None:
    share = {f"test/label_accuracy/{source}": Estimate(value, NAN, NAN, 9) for source, value in (("constant", 40.0),)}
    for value, doubted in ((39.0, True), (40.0, True), (41.0, False)):
        scores = {**share, "test/label_accuracy/tagger": Estimate(value, NAN, NAN, 9)}
        words = Page(report(with_scores(evaluation(), scores))).words
        assert (f"tagger labels are exactly right in {value:.1f}" in words) == doubted
