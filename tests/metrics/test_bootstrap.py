"""Paired differences and rankings: what their intervals promise, seen in a simulation, and what must hold exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sedsep.metrics.bootstrap import Bootstrap, differences, ranking

Values = NDArray[np.float64]
MIXTURES, TEST_SETS = 100, 1500


def mean_parts(values_nm: Values) -> Values:
    """What mixtures add to the means of m metrics."""
    return np.stack([values_nm, np.ones_like(values_nm)], -1)


def test_intervals_of_a_paired_difference_cover_the_truth_as_often_as_they_promise() -> None:
    """Two systems like those of the challenge, on many test sets: mixtures differ far more than the systems do, scores
    are skewed, and a part of them is 0 dB where events are missed."""
    generator = np.random.default_rng(0)
    shape = (MIXTURES, TEST_SETS)  # a column a test set: each is a metric of its own
    difficulty = generator.gamma(2, 3, shape)
    a = (difficulty + generator.normal(0, 2, shape)) * (generator.random(shape) > 0.2)
    b = (1.05 * difficulty + 0.4 + generator.normal(0, 2, shape)) * (generator.random(shape) > 0.15)
    truth = 0.85 * (1.05 * 6 + 0.4) - 0.8 * 6
    found = differences(mean_parts(a), mean_parts(b), Bootstrap(1000))
    covered = np.mean([one.low <= truth <= one.high for one in found])
    print(f"coverage of 95 % intervals of {MIXTURES} mixtures: {100 * covered:.1f} %")
    assert 0.93 <= covered <= 0.97
    widths = [one.high - one.low for one in found]
    assert np.mean(widths) < 6 * np.std([one.value for one in found])


def test_the_probability_that_b_is_better_is_right_as_often_as_it_says() -> None:
    """Where nothing is known beforehand of which of two is better, of those said to be with 80 to 95 % as many are."""
    generator = np.random.default_rng(1)
    effect = generator.normal(0, 0.5, TEST_SETS)
    shared = generator.gamma(2, 3, (MIXTURES, TEST_SETS))
    a, b = (shared + generator.normal(0, 2, shared.shape) for _ in range(2))
    said = np.array([one.higher for one in differences(mean_parts(a), mean_parts(b + effect), Bootstrap(500))])
    some = (said > 0.8) & (said < 0.95)
    assert some.sum() > 100
    assert np.mean(effect[some] > 0) == pytest.approx(said[some].mean(), abs=0.06)


def test_a_system_and_itself_differ_by_exactly_nothing_whatever_the_metric_is_a_ratio_of() -> None:
    generator = np.random.default_rng(2)
    parts = np.stack([generator.normal(size=(50, 4)), generator.integers(0, 3, (50, 4))], -1)
    for one in differences(parts, parts.copy(), Bootstrap()):
        assert (one.value, one.low, one.high, one.higher) == (0, 0, 0, 0.5)


def test_pairing_tells_apart_what_intervals_of_each_alone_do_not() -> None:
    generator = np.random.default_rng(3)
    a = generator.normal(0, 10, (200, 1))
    b = a + generator.normal(0.5, 1, a.shape)
    (one,) = differences(mean_parts(a), mean_parts(b), Bootstrap())
    assert one.low > 0
    assert one.higher > 0.99
    assert one.value == pytest.approx(one.b - one.a)
    assert one.high - one.low < 0.5


def test_what_counts_in_few_mixtures_has_a_difference_and_no_interval() -> None:
    parts = np.zeros((20, 1, 2))
    parts[:4] = 1
    (one,) = differences(parts, 2 * parts, Bootstrap())
    assert (one.value, one.count) == (0, 4)
    assert all(map(math.isnan, (one.low, one.high, one.higher)))
    (none,) = differences(parts[4:], parts[4:], Bootstrap())
    assert math.isnan(none.value)
    (unresampled,) = differences(np.ones((20, 1, 2)), np.ones((20, 1, 2)), Bootstrap(0))
    assert unresampled.value == 0
    assert math.isnan(unresampled.low)


def test_a_ranking_knows_what_is_certain_what_is_not_and_what_is_alike() -> None:
    generator = np.random.default_rng(4)
    base = generator.normal(0, 5, 100)
    noise = generator.normal(0, 1, 100)
    near = base + noise - noise.mean() + 0.02
    systems = np.stack([base - 3, base, base, near])
    worst, one, other, close = ranking(np.stack([systems, np.ones_like(systems)], -1), Bootstrap())
    assert (worst.rank, worst.low, worst.high, worst.best) == (4, 4, 4, 0)
    assert one == other
    assert (one.low, one.high) == (1, 2)
    assert (close.low, close.high) == (1, 3)
    assert one.best + other.best + close.best == pytest.approx(1)
    few = ranking(np.ones((2, 3, 2)), Bootstrap())
    assert [(place.rank, place.low, place.high) for place in few] == [(1, 0, 0)] * 2
    assert math.isnan(few[0].best)
