from __future__ import annotations

import math

import pytest

from sedsep.metrics.labels import constant_answer_accuracy, mixture_accuracy, source_accuracy

TRUE = [["Bell", "Dog"], ["Cough"], ["Bell"], []]
SAID = [["Dog", "Bell"], ["Cough", "Dog"], ["Cough"], []]


def test_a_mixture_counts_when_its_labels_are_named_exactly() -> None:
    assert mixture_accuracy(SAID, TRUE) == 50


def test_sources_count_over_all_mixtures_together() -> None:
    assert source_accuracy(SAID, TRUE) == pytest.approx(100 * 3 / (3 + 2 + 1))


def test_repeated_labels_count_as_often_as_they_sound() -> None:
    assert mixture_accuracy([["Dog"]], [["Dog", "Dog"]]) == 0
    assert mixture_accuracy([["Dog", "Dog"]], [["Dog", "Dog"]]) == 100
    assert source_accuracy([["Dog"]], [["Dog", "Dog"]]) == 50


def test_always_giving_the_commonest_answer_is_the_score_to_beat() -> None:
    assert constant_answer_accuracy([["Dog", "Bell"], ["Bell", "Dog"], ["Dog"], ["Bell"]]) == 50


def test_no_mixtures_have_no_accuracy() -> None:
    assert math.isnan(mixture_accuracy([], []))
    assert math.isnan(source_accuracy([[]], [[]]))
    assert math.isnan(constant_answer_accuracy([]))


def test_answers_for_other_mixtures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"zip\(\)"):
        mixture_accuracy([["Dog"]], TRUE)
