from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from minis import refused

from sedsep.events import EventRule

FRAME_S = 0.04


def runs(active: np.ndarray) -> list[tuple[int, int]]:
    """First and last but one frame of each run."""
    return np.flatnonzero(np.diff(active, prepend=False, append=False)).reshape(-1, 2).tolist()


def by_hand(curve: np.ndarray, threshold: float, gap: int, event: int) -> np.ndarray:
    """The rule on a curve that was cut at a threshold: runs one after the other."""
    active = curve >= threshold
    for start, stop in runs(~active):
        active[start:stop] |= start > 0 and stop < len(curve) and stop - start < gap
    for start, stop in runs(active.copy()):
        active[start:stop] &= start == 0 or stop == len(curve) or stop - start >= event
    return active


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=40), st.integers(0, 8), st.integers(0, 8))
def test_curves_without_flicker_give_the_events_of_every_threshold(levels: list[float], gap: int, event: int) -> None:
    curve = np.array(levels, np.float32)
    smooth = EventRule(0, {}, gap * FRAME_S, event * FRAME_S).smooth(curve[None], ["Bell"], FRAME_S)[0]
    for threshold in (0.2, 0.5, 0.8):
        np.testing.assert_array_equal(smooth >= threshold, by_hand(curve, threshold, gap, event))


def test_a_class_may_have_a_median_of_its_own() -> None:
    curve = np.zeros((2, 20), np.float32)
    curve[:, 5:8] = 0.9
    rule = EventRule(0.0, {"Dog": 0.28}, 0.0, 0.0)
    np.testing.assert_array_equal(rule.smooth(curve, ["Bell", "Dog"], FRAME_S), [curve[0], np.zeros(20)])
    with refused("medians names Cat, which is no class: use Bell"):
        EventRule(medians={"Cat": 1.0}).smooth(curve, ["Bell", "Dog"], FRAME_S)
    with refused("shortest_gap=nan is no duration"):
        EventRule(shortest_gap=float("nan"))
