"""Confusion of labels: the words and the picture say what was counted."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
from minis import refused
from pages import Page

from sedsep.evaluation.report import Confusion, Report, render
from sedsep.evaluation.report.confusion import brief, confusion_figure

LABELS = ["Bird", "Dog", "Speech"]


def words_of(counts: list[list[float]], labels: list[str] = LABELS) -> str:
    return Page(render(Report("t", confusion=Confusion(labels, np.array(counts, float), "tagger")))).words


def drawn_text(confusion: Confusion) -> list[str]:
    svg = ElementTree.fromstring(confusion_figure(confusion))
    return [element.text or "" for element in svg.iter() if element.tag.endswith("text")]


def test_the_sentence_counts_every_event_once() -> None:
    words = words_of([[6, 3, 0, 1], [0, 4, 0, 0], [2, 0, 3, 1], [5, 0, 2, 0]])
    expected = "13 (65.0 %) of 20 true events were named rightly, 5 taken for another class and 2 missed."
    assert expected in words.replace("\u00a0", " ")
    assert "Named where nothing more sounded: 7." in words
    assert "a share of an event" not in words


def test_the_worst_confusions_come_first_with_their_share() -> None:
    words = words_of([[6, 3, 0.5, 0.5], [0, 4, 0, 0], [2, 0, 3, 3], [5, 0, 2, 0]]).replace("\u00a0", " ")
    first, second, third = (
        "Bird was named Dog in 3 of its 10 events (30 %)",
        "Speech was named Bird in 2 of its 8 events (25 %)",
        "Bird was named Speech in 0.5 of its 10 events (5 %)",
    )
    assert words.index(first) < words.index(second) < words.index(third)
    assert words.count(" was named ") == 3
    assert "a share of an event" in words


def test_five_confusions_are_told_at_most() -> None:
    assert words_of((np.ones((4, 4)) - np.eye(4)).tolist()).count(" was named ") == 5


def test_no_confusion_is_said_so_and_nothing_counted_is_left_out() -> None:
    assert "No class was taken for another." in words_of([[2, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert "Confusion" not in words_of(np.zeros((4, 4)).tolist())
    assert "(\u2013) of 0 true events" in words_of([[0] * 4, [0] * 4, [0] * 4, [1, 0, 0, 0]])


def test_the_picture_has_each_name_twice_and_each_count() -> None:
    counts = [[6, 3, 0, 1], [0, 4.25, 0, 0], [1234, 0, 3, 1], [5, 0, 2, 0]]
    found = drawn_text(Confusion(LABELS, np.array(counts, float), "tagger"))
    for label in LABELS:
        assert found.count(label) == 2
    assert sorted(text for text in found if re.fullmatch(r"[\d.]+", text)) == sorted(
        ["6", "3", "1", "4.2", "1234", "3", "1", "5", "2"]
    )


def test_long_names_are_cut_in_the_picture_alone() -> None:
    name = "Water that is running into a metal sink"
    counts = [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert max(map(len, drawn_text(Confusion([name, "Dog"], np.array(counts, float), "tagger")))) < len(name)
    assert f"{name} was named Dog" in words_of(counts, [name, "Dog"])


def test_numbers_fit_their_cells() -> None:
    assert [brief(count) for count in (0.5, 3.04, 99.96, 123.4, 99_999, 1_234_567)] == [
        "0.5", "3", "100", "123", "99999", "1235k",
    ]  # fmt: skip


def test_false_alarms_alone_can_be_drawn() -> None:
    counts = np.zeros((4, 4))
    counts[-1, 0] = 3
    assert "3" in drawn_text(Confusion(LABELS, counts, "tagger"))


def test_counts_that_do_not_fit_are_refused() -> None:
    with refused(r"expected \[4, 4\]"):
        Confusion(LABELS, np.zeros((3, 3)), "tagger")
    for wrong in (-1.0, float("nan")):
        counts = np.zeros((4, 4))
        counts[0, 0] = wrong
        with refused("negative or not finite"):
            Confusion(LABELS, counts, "tagger")
