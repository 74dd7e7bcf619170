from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pytest
import torch
from minis import refused

from sedsep.labelling import Expected, Floats, PerClass, best_set, check_classes, expected_scores
from sedsep.labels import LabelRule, choose_labels

NAMES = ("Bell", "Cough", "Dog", "Door")


def per_class(*thresholds: float) -> PerClass:
    return PerClass(dict(zip(NAMES, thresholds, strict=True)))


def expected(gains: tuple[float, ...], temperature: float = 1.0, offset: float = 0.0) -> Expected:
    gain_of = dict(zip(NAMES, gains, strict=True))
    return Expected(dict.fromkeys(NAMES, temperature), dict.fromkeys(NAMES, offset), gain_of)


def drawn(classes: int, seed: int) -> tuple[Floats, Floats]:
    """Probabilities, most of them small, and gains."""
    generator = np.random.default_rng(seed)
    return generator.uniform(size=classes) ** 2, generator.uniform(0, 8, classes)


def score_by_counting(probability_n: Floats, gain_n: Floats, named: tuple[int, ...]) -> float:
    """The mean over everything that may sound, each as often as it does."""
    mean = 0.0
    for sounds in product([False, True], repeat=len(probability_n)):
        share = np.prod(np.where(sounds, probability_n, 1 - probability_n))
        true = {index for index, it_sounds in enumerate(sounds) if it_sounds}
        if entries := true | set(named):
            mean += share * sum(gain_n[index] for index in true & set(named)) / len(entries)
    return float(mean)


@pytest.mark.parametrize("named", [(0,), (5,), (1, 3), (0, 2, 6)])
def test_the_expected_score_is_the_mean_over_all_that_may_sound(named: tuple[int, ...]) -> None:
    probability_n, gain_n = drawn(7, 1)
    score = expected_scores(probability_n, probability_n * gain_n, np.array([named]))
    assert score == pytest.approx([score_by_counting(probability_n, gain_n, named)])


@pytest.mark.parametrize("seed", range(20))
def test_the_best_set_is_the_best_of_all(seed: int) -> None:
    probability_n, gain_n = drawn(5, seed)
    every = chain.from_iterable(combinations(range(5), size) for size in (1, 2, 3))
    best = max(every, key=lambda named: score_by_counting(probability_n, gain_n, named))
    assert sorted(best_set(probability_n, gain_n, 3)) == sorted(best)


def test_the_best_set_is_the_best_of_all_where_nothing_is_left_out_beforehand() -> None:
    probability_n, gain_n = drawn(18, 3)
    gain_n = 1 / (0.01 + probability_n**2)  # the likelier, the less to gain: no class beats another in both
    sets = [np.array(list(combinations(range(18), size))) for size in (1, 2, 3)]
    highest = max(expected_scores(probability_n, probability_n * gain_n, group).max() for group in sets)
    chosen = np.array([best_set(probability_n, gain_n, 3)])
    assert expected_scores(probability_n, probability_n * gain_n, chosen) == pytest.approx([highest])


def test_of_equal_thresholds_labels_are_those_of_one_for_all() -> None:
    clips = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    one = choose_labels(clips, LabelRule(0.4, at_least=1, at_most=3))
    assert choose_labels(clips, LabelRule(0.9, 1, 3, per_class(0.4, 0.4, 0.4, 0.4))) == one


def test_each_class_has_its_own_threshold() -> None:
    clips = torch.tensor([[0.3, 0.3, 0.3, 0.8], [0.1, 0.1, 0.1, 0.1]])
    rule = LabelRule(at_least=0, labelling=per_class(0.2, 0.3, 0.4, 0.9))
    assert choose_labels(clips, rule) == [[0, 1], []]


def test_where_there_are_too_many_or_too_few_those_stay_that_exceed_their_threshold_most() -> None:
    clips = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.1, 0.05, 0.1, 0.1]])
    assert choose_labels(clips, LabelRule(at_most=2, labelling=per_class(0.4, 0.1, 0.2, 0.3))) == [[1, 2], [1]]


def test_a_class_that_gains_more_is_named_before_a_likelier_one() -> None:
    clips = torch.tensor([[0.5, 0.4, 0.01, 0.01]])
    assert choose_labels(clips, LabelRule(at_most=1, labelling=expected((1, 1, 1, 1)))) == [[0]]
    assert choose_labels(clips, LabelRule(at_most=1, labelling=expected((1, 9, 1, 1)))) == [[1]]


def test_a_doubtful_second_label_costs_more_than_it_is_worth() -> None:
    sure, doubtful = torch.tensor([[0.95, 0.2, 0.01, 0.01]]), torch.tensor([[0.95, 0.6, 0.01, 0.01]])
    rule = LabelRule(labelling=expected((4, 4, 4, 4)))
    assert (choose_labels(sure, rule), choose_labels(doubtful, rule)) == ([[0]], [[0, 1]])


def test_nothing_is_named_where_most_likely_nothing_sounds_unless_something_must() -> None:
    clips = torch.tensor([[0.2, 0.1, 0.05, 0.05]])
    assert choose_labels(clips, LabelRule(at_least=0, labelling=expected((1, 1, 1, 1)))) == [[]]
    assert choose_labels(clips, LabelRule(at_least=1, labelling=expected((1, 1, 1, 1)))) == [[0]]


def test_temperatures_and_offsets_calibrate_log_odds() -> None:
    clips = torch.tensor([[0.9, 0.5, 0.1, 0.5]])
    assert expected((1, 1, 1, 1), 2.0).calibrated(clips) == pytest.approx(np.array([[0.75, 0.5, 0.25, 0.5]]))
    assert expected((1, 1, 1, 1), 2.0, np.log(3)).calibrated(clips) == pytest.approx(np.array([[0.9, 0.75, 0.5, 0.75]]))


def test_a_labelling_of_other_classes_is_refused() -> None:
    with refused("other classes than the tagger has"):
        check_classes(per_class(0.1, 0.2, 0.3, 0.4), NAMES[::-1])
