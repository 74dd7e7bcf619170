from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minis import RATE, make_batch, refused

from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.sed import SedEvent, SedScene, SedScore, collar_f1, psds1, sed_scenes, segment_pauroc

LABELS = ("Bell", "Cough", "Dog")
FRAME_S = 0.04
MEASURES = [segment_pauroc, psds1, collar_f1, partial(collar_f1, threshold=None)]


def scene(events: Sequence[tuple[float, float, int]], seconds: float = 4.0, guess: float = 0.0) -> SedScene:
    """Probabilities of 0.9 where events sound and 0.05 elsewhere, `guess` of the way to noise."""
    middle = (np.arange(round(seconds / FRAME_S)) + 0.5) * FRAME_S
    said = np.full((len(middle), len(LABELS)), 0.05)
    for onset, offset, index in events:
        said[(middle > onset) & (middle < offset), index] = 0.9
    generator = np.random.default_rng(len(events) + round(100 * events[0][0]) if events else 0)
    said = (1 - guess) * said + guess * generator.uniform(size=said.shape)
    return SedScene(said.astype(np.float32), tuple(SedEvent(*event) for event in events), seconds)


EVENTS = [[(0.4, 1.6, 0), (1.0, 2.4, 1)], [(2.0, 3.2, 2)], [(0.8, 3.6, 1), (0.0, 0.8, 0)], [], [(1.2, 2.0, 2)]]
GOOD = [scene(events) for events in EVENTS]
POOR = [scene(events, guess=1.0) for events in EVENTS]


@pytest.mark.parametrize(("measure", "best"), zip(MEASURES, [1, 1, 100, 100], strict=True))
def test_whoever_finds_everything_has_the_best_score(measure: Callable[..., SedScore], best: float) -> None:
    found = measure(GOOD, LABELS)
    assert found.overall.value == pytest.approx(best)
    assert found.per_class == pytest.approx(dict.fromkeys(LABELS, best))
    assert measure(POOR, LABELS).overall.value < 0.8 * best


def test_the_partial_area_is_that_of_the_roc_curve_up_to_a_tenth_over_a_tenth() -> None:
    generator = np.random.default_rng(0)
    said = generator.uniform(size=200).astype(np.float32)
    true = np.arange(200) % 2 == 0
    said[true] += 0.3
    events = tuple(SedEvent(float(second), second + 1.0, 0) for second in range(0, 200, 2))
    # By hand: with falling threshold, a true segment is a step up and a false one a step to the right.
    order = np.argsort(-said, kind="stable")
    hits, alarms = np.cumsum(true[order]), np.cumsum(~true[order])
    area = (hits[~true[order] & (alarms <= 10)] / 100).sum() / 100
    found = segment_pauroc([SedScene(said[:, None], events, 200.0)], ["Bell"])
    assert found.overall.value == pytest.approx(area / 0.1)


def test_chance_is_a_twentieth_and_not_a_half() -> None:
    generator = np.random.default_rng(0)
    events = tuple(SedEvent(float(second), second + 1.0, 0) for second in range(0, 3000, 2))
    said = generator.uniform(size=(3000, 1)).astype(np.float32)
    assert segment_pauroc([SedScene(said, events, 3000.0)], ["Bell"]).overall.value == pytest.approx(0.05, abs=0.015)


def test_a_class_without_an_event_is_left_out() -> None:
    scenes = [scene([(0.4, 1.6, 0)]), scene([(2.0, 3.2, 2)])]
    for measure in MEASURES:
        found = measure(scenes, LABELS)
        assert list(found.per_class) == ["Bell", "Dog"]
        assert math.isfinite(found.overall.value)


def test_a_class_that_sounds_in_every_segment_has_no_roc_curve() -> None:
    scenes = [scene([(0.0, 4.0, 0), (1.0, 2.0, 1)])]
    assert list(segment_pauroc(scenes, LABELS).per_class) == ["Cough"]
    assert math.isnan(segment_pauroc([scene([(0.0, 4.0, 0)])], LABELS).overall.value)


@pytest.mark.parametrize("scenes", [[], [scene([])]])
def test_nothing_that_sounds_has_no_score(scenes: list[SedScene]) -> None:
    for measure in MEASURES:
        found = measure(scenes, LABELS, bootstrap=Bootstrap(resamples=3))
        assert math.isnan(found.overall.value)
        assert found.per_class == {}


def test_events_of_a_class_that_touch_or_overlap_are_one() -> None:
    one = [scene([(0.4, 2.4, 1)])]
    for pieces in ([(0.4, 1.2, 1), (1.2, 2.4, 1)], [(1.0, 2.0, 1), (0.4, 2.4, 1)]):
        for measure in MEASURES:
            assert measure([scene(pieces)], LABELS).overall.value == measure(one, LABELS).overall.value


@pytest.mark.parametrize(("late", "expected"), [(0.16, 100), (0.24, 0)])
def test_an_event_found_too_late_is_missed(late: float, expected: float) -> None:
    said = scene([(0.4 + late, 1.6, 0)])
    shifted = SedScene(said.probabilities, (SedEvent(0.4, 1.6, 0),), said.duration)
    assert collar_f1([shifted], LABELS).overall.value == expected


def test_the_threshold_decides_what_is_said_to_sound() -> None:
    assert collar_f1(GOOD, LABELS, threshold=0.95).overall.value == 0
    assert collar_f1(GOOD, LABELS, threshold=0.02).overall.value < 50


def test_scenes_of_other_lengths_and_frames_take_part() -> None:
    longer = [*GOOD, scene([(0.4, 1.6, 0), (5.2, 6.0, 2)], seconds=6.4)]
    for measure, best in zip(MEASURES, [1, 1, 100, 100], strict=True):
        assert measure(longer, LABELS).overall.value == pytest.approx(best)


@pytest.mark.parametrize("measure", MEASURES)
def test_intervals_come_from_resampled_scenes(measure: Callable[..., SedScore]) -> None:
    deaf = [replace(heard, probabilities=np.full_like(heard.probabilities, 0.1)) for heard in GOOD]
    scenes = GOOD + deaf + GOOD
    found = measure(scenes, LABELS, bootstrap=Bootstrap(resamples=30)).overall
    assert found.low < found.value < found.high
    assert found.count == len(scenes)
    assert measure(scenes, LABELS, bootstrap=Bootstrap(resamples=30)).overall == found
    assert math.isnan(measure(GOOD[:1], LABELS, bootstrap=Bootstrap(resamples=3)).overall.low)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.integers(1, 7), st.integers(0, 2)), max_size=3),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_scores_stay_within_their_bounds(drawn: list[list[tuple[int, int, int]]], guess: float) -> None:
    scenes = [scene([(0.5 * on, 0.5 * max(on + 1, off), c) for on, off, c in rows], guess=guess) for rows in drawn]
    for measure, best in zip(MEASURES, [1, 1, 100, 100], strict=True):
        found = measure(scenes, LABELS)
        assert all(0 <= value <= best + 1e-9 for value in (found.overall.value, *found.per_class.values())) or (
            math.isnan(found.overall.value) and not found.per_class
        )


def test_the_scenes_of_a_batch_are_in_seconds() -> None:
    batch = make_batch([[0, 2, None], [None, None, None]])
    length = batch.mixture.shape[-1]
    probabilities = torch.rand(2, 5, 7)
    one, other = sed_scenes(probabilities, batch, RATE)
    quarter = length / RATE / 4
    assert one.events == (SedEvent(quarter, 3 * quarter, 0), SedEvent(quarter, 3 * quarter, 2))
    assert other.events == ()
    assert one.duration == length / RATE
    np.testing.assert_array_equal(one.probabilities, probabilities[0].T.numpy())


def test_probabilities_that_are_none_are_named() -> None:
    broken = SedScene(np.full((4, 3), np.nan, np.float32), (SedEvent(0.0, 1.0, 0),), 1.0)
    with refused("probabilities that are not finite"):
        segment_pauroc([broken], LABELS)
