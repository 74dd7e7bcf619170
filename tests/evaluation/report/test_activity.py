from __future__ import annotations

import re

import numpy as np

from sedsep.evaluation.report.activity import COLUMNS, _columns, activity_figure

LABELS = [f"Class{index}" for index in range(9)]


def draw(seconds: float, chosen: list[str]) -> str:
    activity = np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None] * np.ones((1, int(seconds * 25)), np.float32)
    return activity_figure(activity, LABELS, seconds, [("Class0", 1.0, 2.0)], chosen).decode()


def test_what_was_separated_is_drawn_with_the_likeliest_others() -> None:
    drawn = re.findall(r">(Class\d)<", draw(10, ["Class0"]))
    assert sorted(drawn) == ["Class0", "Class4", "Class5", "Class6", "Class7", "Class8"]
    assert len(re.findall(r">(Class\d)<", draw(10, LABELS))) == 9
    assert "Time (s)" in draw(10, [])


def test_long_recordings_stay_small_and_lose_no_moment() -> None:
    hour = draw(3600, ["Class0"])
    assert "Time (min:s)" in hour
    assert len(hour) < 100_000
    curve = np.zeros(90_001, np.float32)
    curve[77_777] = 1
    assert len(_columns(curve)) == COLUMNS
    assert _columns(curve).max() == 1
