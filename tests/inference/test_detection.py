from __future__ import annotations

import numpy as np
import pytest

from sedsep.inference.chunks import spans
from sedsep.inference.detection import FRAME_S, Detection, combine

RATE = 1000
NAMES = ("Bell", "Dog")
PIECES = list(spans(lambda frames: min(frames, 10_000), 4000, 400, 200, 160))


def detection(activity: np.ndarray) -> Detection:
    seconds = activity.shape[1] * FRAME_S
    return Detection(NAMES, activity.astype(np.float32), FRAME_S, seconds, activity.max(axis=1, keepdims=True))


def test_events_are_where_the_curve_is_high() -> None:
    activity = np.zeros((2, 100))
    activity[0, 10:30] = 0.8
    activity[1, 80:] = 0.6
    events = detection(activity).events(dict.fromkeys(NAMES, 0.5))
    assert [(e.label, round(e.onset, 6), round(e.offset, 6)) for e in events] == [("Bell", 0.4, 1.2), ("Dog", 3.2, 4.0)]
    assert [e.probability for e in events] == pytest.approx([0.8, 0.6])
    assert [e.label for e in detection(activity).events(dict.fromkeys(NAMES, 0.7))] == ["Bell"]
    assert detection(activity).events({}) == []


def test_flicker_is_no_event_and_no_gap() -> None:
    activity = np.zeros((2, 100))
    activity[0, 10:50] = 0.9
    activity[0, 30:32] = 0.1
    activity[0, 70:72] = 0.9
    assert [(e.onset, e.offset) for e in detection(activity).events(dict.fromkeys(NAMES, 0.5))] == [(0.4, 2.0)]


@pytest.mark.parametrize("resolution", [0.04, 0.16, 0.02])
def test_curves_of_pieces_become_one(resolution: float) -> None:
    assert len(PIECES) > 2
    strong = []
    for piece in PIECES:
        count = round((piece.stop - piece.start) / RATE / resolution)
        times = piece.start / RATE + (np.arange(count) + 0.5) * (piece.stop - piece.start) / RATE / count
        strong.append(np.stack([times / 10, 1 - times / 10]).astype(np.float32))
    clips = [np.array([0.1 * number, 0.3], np.float32) for number in range(len(PIECES))]
    whole = combine(NAMES, clips, strong, PIECES, RATE)
    expected = (np.arange(250) + 0.5) * FRAME_S / 10
    np.testing.assert_allclose(whole.activity, [expected, 1 - expected], atol=resolution / 10)
    assert list(whole.probabilities) == (["Bell", "Dog"] if 0.1 * (len(PIECES) - 1) > 0.3 else ["Dog", "Bell"])


def test_a_tagger_that_names_clips_alone_gives_steps() -> None:
    clips = [np.array([0.2, 0.1 * number], np.float32) for number in range(len(PIECES))]
    whole = combine(NAMES, clips, [clip[:, None] for clip in clips], PIECES, RATE)
    assert sorted(set(whole.activity[1].tolist())) == pytest.approx([0.1 * number for number in range(len(PIECES))])
