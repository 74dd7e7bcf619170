"""Figures: things lie where they belong, in the page's own colours, and stay small."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from pages import LABELS, RATE, tone

from sedsep.evaluation.report import Curve, clips, drawing
from sedsep.evaluation.report.figures import bar_figure, curve_figure
from sedsep.evaluation.report.timelines import COLUMNS, condensed, timeline_figure, timeline_labels
from sedsep.metrics.bootstrap import Estimate

CLASSES = [f"Class{index}" for index in range(9)]


def test_a_tone_lies_at_its_frequency_and_time() -> None:
    wave = np.concatenate([np.zeros(RATE, np.float32), tone(2000, 0.5)])
    levels = clips.spectrogram(wave, RATE)
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    height = clips.mel(2000) / clips.mel(RATE / 2)
    assert abs((row + 0.5) / len(levels) - height) < 2 / len(levels)
    assert column > levels.shape[1] / 2 - 2
    onset = np.flatnonzero(levels[row] > levels.max() - 10)[0] / levels.shape[1] * 2
    assert onset == pytest.approx(1.0, abs=0.06)


def test_spectrograms_do_not_hang_on_length_and_stay_small() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * RATE).astype(np.float32)
    long, short = clips.spectrogram(noise, RATE), clips.spectrogram(noise[:RATE], RATE)
    assert long.shape == (clips.SPECTROGRAM_ROWS, clips.SPECTROGRAM_COLUMNS)
    assert long.mean() == pytest.approx(short.mean(), abs=1.5)
    assert clips.spectrogram(noise[:1], RATE).shape[1] >= 1
    assert len(clips.spectrogram_figure(long, float(long.max()), 40.0, 40.0, RATE)) < 60_000


def test_the_timeline_shows_the_classes_that_matter() -> None:
    probabilities = np.array([[0.1], [0.9], [0.3], [0.0]], np.float32)
    assert timeline_labels(probabilities, LABELS, ["Tabla", "Phone"], 3) == ["Tabla", "Phone", "Speech"]
    assert timeline_labels(probabilities, LABELS, LABELS, 2) == list(LABELS)


def activity(seconds: float, chosen: list[str]) -> str:
    probabilities = np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None] * np.ones((1, int(seconds * 25)), np.float32)
    return timeline_figure(probabilities, CLASSES, seconds, [("Class0", 1.0, 2.0)], chosen, alone=True).decode()


def test_what_was_separated_is_drawn_with_the_likeliest_others() -> None:
    names = re.findall(r">(Class\d)<", activity(10, ["Class0"]))
    assert sorted(names) == ["Class0", "Class4", "Class5", "Class6", "Class7", "Class8"]
    assert len(re.findall(r">(Class\d)<", activity(10, CLASSES))) == 9
    assert "Time (s)" in activity(10, [])


def test_long_recordings_stay_small_and_lose_no_moment() -> None:
    hour = activity(3600, ["Class0"])
    assert "Time (min:s)" in hour
    assert len(hour) < 100_000
    curves = np.zeros((2, 90_001), np.float32)
    curves[1, 77_777] = 1
    assert condensed(curves).shape == (2, COLUMNS)
    assert condensed(curves).max(1).tolist() == [0, 1]


def test_drawing_leaves_the_callers_style_alone() -> None:
    before = dict(mpl.rcParams)
    svg = bar_figure({"1": {"passes": Estimate(1.0, 0.5, 1.5, 9)}, "2": {}}, ["passes"], "CA-SDRi (dB)")
    assert dict(mpl.rcParams) == before
    assert b"currentColor" in svg
    assert drawing.INK.encode() not in svg


def test_a_legend_stays_within_its_figure() -> None:
    """What lies beyond the edge of the figure is not seen."""
    names = ["CupboardOpenClose from 9.2 s", "Speech from 0.0 s", "Rain from 1.1 s", "Dog from 2.5 s"]
    svg = curve_figure(Curve("t", "x", "y", {name: ([0.0, 1.0], [0.0, 1.0]) for name in names})).decode()
    starts = {text: float(x) for x, text in re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>([^<]*)', svg)}
    assert max(starts[name] + 3.8 * len(name) for name in names) < 72 * drawing.WIDE[0]


def test_a_label_source_has_one_colour_on_all_figures() -> None:
    everyone = drawing.colours(["tagger", "baseline", "mine", "oracle"])
    assert len(set(everyone.values())) == 4
    for name in ("tagger", "baseline", "oracle"):
        assert drawing.colours([name]) == {name: everyone[name]}


def test_more_lines_than_colours_are_drawn() -> None:
    names = [f"line {index}" for index in range(9)]
    svg = curve_figure(Curve("t", "x", "y", {name: ([0.0, 1.0], [0.0, 1.0]) for name in names}))
    assert all(name.encode() in svg for name in names)


def test_a_mark_and_bounds_are_drawn() -> None:
    plain = Curve("t", "Passes", "dB", {"tagger": ([1.0, 2.0], [3.0, float("nan")])})
    bounds = {"tagger": ([2.5, float("nan")], [3.5, float("nan")])}
    marked = replace(plain, bounds=bounds, mark=(3.0, "3 as trained"))
    assert b"3 as trained" in curve_figure(marked)
    assert b"as trained" not in curve_figure(plain)
    assert curve_figure(replace(marked, bounds={})) != curve_figure(marked)


def widths(**series: tuple[list[float], list[float]]) -> list[str]:
    """Of the lines in the axes, in the order they are drawn."""
    svg = curve_figure(Curve("Loss", "step", "dB", series)).decode()
    return re.findall(r'clip-path="[^"]*" style="fill: none;[^"]*#(?:0072b2|d55e00)[^"]*stroke-width: ([\d.]+)', svg)


def test_lines_on_one_another_can_be_told_apart() -> None:
    flat = ([0.1, 0.5, 0.9], [0.0, 0.0, 0.0])
    below, above = widths(tagger=flat, baseline=flat)
    assert float(below) > float(above) + 1


def test_two_measurements_are_no_line() -> None:
    assert len(widths(tagger=([1, 2, 3], [1.0, 2.0, 3.0]))) == 1
    assert widths(tagger=([1, 2], [1.0, 2.0])) == []
