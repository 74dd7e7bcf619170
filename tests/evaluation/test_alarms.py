from __future__ import annotations

import numpy as np
import pytest
import torch

from sedsep.evaluation.alarms import Alarms
from sedsep.labels import LabelRule, choose_labels
from sedsep.types import FloatArray

LABELS = ("Bell", "Dog")


def probabilities(count: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).uniform(size=(count, 2)).astype(np.float32)


def alarms(hours: float = 2.0) -> Alarms:
    true = np.array([[True, False]] * 30 + [[True, True]] * 10)
    return Alarms(LABELS, hours, probabilities(720, 0), probabilities(40, 1), true)


@pytest.mark.parametrize("rate", [0.4, 1.0, 7.5, 300.0])
def test_thresholds_for_a_rate_let_as_many_windows_through_and_no_more(rate: float) -> None:
    of = alarms()
    for index, one in enumerate(of.wanted(rate).values()):
        assert one.alarms_per_hour == int(rate * 2) / 2
        lower = np.nextafter(np.float32(one.threshold), np.float32(0))
        assert np.count_nonzero(of.windows[:, index] >= lower) / 2 > rate


def test_labels_chosen_by_these_thresholds_alarm_as_often() -> None:
    of = alarms()
    rule = LabelRule(at_least=0, labelling=of.labelling(20))
    named = choose_labels(torch.from_numpy(of.windows), rule)
    assert sum(0 in classes for classes in named) == sum(1 in classes for classes in named) == 40


def test_curves_begin_without_alarms_and_rise_in_both() -> None:
    points = alarms().curve("Dog")
    assert points[0].alarms_per_hour == 0
    assert points[-1].alarms_per_hour == 360
    for name in ("alarms_per_hour", "recall"):
        values = [getattr(point, name) for point in points]
        assert values == sorted(values)


def test_recall_is_of_the_scenes_with_the_class() -> None:
    of = alarms()
    found = np.mean(of.scenes[30:, 1] >= 0.5)
    assert of.at("Dog", 0.5).recall == pytest.approx(100 * found)


def test_where_every_window_may_alarm_everything_is_named() -> None:
    assert all(one.recall == 100 for one in alarms().wanted(1000).values())
