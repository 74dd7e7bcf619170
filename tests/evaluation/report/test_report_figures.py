"""Figures: things lie where they belong, in the page's own colours, and stay small."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from pages import RATE, tone

from sedsep.evaluation.report import Curve, Measured, drawing, figures, spectrograms, timelines

LABELS = ["Bird", "Phone", "Speech", "Tabla"]


def test_a_tone_lies_at_its_frequency_and_time() -> None:
    wave = np.concatenate([np.zeros(RATE, np.float32), tone(2000, 0.5)])
    levels = spectrograms.spectrogram(wave, RATE)
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    height = float(spectrograms._mel(2000) / spectrograms._mel(RATE / 2))
    assert abs((row + 0.5) / len(levels) - height) < 2 / len(levels)
    assert column > levels.shape[1] / 2 - 2
    onset = np.flatnonzero(levels[row] > levels.max() - 10)[0] / levels.shape[1] * 2
    assert onset == pytest.approx(1.0, abs=0.06)


def test_spectrogram_levels_do_not_hang_on_length() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * RATE).astype(np.float32)
    long, short = spectrograms.spectrogram(noise, RATE), spectrograms.spectrogram(noise[:RATE], RATE)
    assert long.shape == (spectrograms.SPECTROGRAM_ROWS, spectrograms.SPECTROGRAM_COLUMNS)
    assert long.mean() == pytest.approx(short.mean(), abs=1.5)
    assert spectrograms.spectrogram(noise[:1], RATE).shape[1] >= 1


def test_the_timeline_shows_the_classes_that_matter() -> None:
    probabilities = np.array([[0.1], [0.9], [0.3], [0.0]])
    assert timelines.timeline_labels(probabilities, LABELS, ["Tabla"], ["Bird"], 3) == ["Tabla", "Bird", "Phone"]
    assert timelines.timeline_labels(probabilities, LABELS, LABELS, [], 2) == LABELS


def test_drawing_leaves_the_callers_style_alone() -> None:
    before = dict(mpl.rcParams)
    svg = figures.bar_figure(["1", "2"], {"passes": [Measured(1.0, 0.5, 1.5), Measured(None)]}, "CA-SDRi (dB)")
    assert dict(mpl.rcParams) == before
    assert b"currentColor" in svg
    assert drawing.INK.encode() not in svg


def test_figures_stay_small() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    levels = spectrograms.spectrogram(noise, RATE)
    assert len(spectrograms.spectrogram_figure(levels, 10.0, RATE, spectrograms.shared_limits([levels]))) < 60_000


def test_a_legend_stays_within_its_figure() -> None:
    """What lies beyond the edge of the figure is not seen."""
    names = ["CupboardOpenClose from 9.2 s", "Speech from 0.0 s", "Rain from 1.1 s", "Dog from 2.5 s"]
    svg = figures.curve_figure(Curve("t", "x", "y", {name: ([0.0, 1.0], [0.0, 1.0]) for name in names})).decode()
    starts = {text: float(x) for x, text in re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>([^<]*)', svg)}
    assert max(starts[name] + 3.8 * len(name) for name in names) < 72 * drawing.WIDE[0]


def test_a_label_source_has_one_colour_on_all_figures() -> None:
    everyone = drawing.colours(["tagger", "baseline", "mine", "oracle"])
    assert len(set(everyone.values())) == 4
    for name in ("tagger", "baseline", "oracle"):
        assert drawing.colours([name]) == {name: everyone[name]}


def test_more_lines_than_colours_are_drawn() -> None:
    names = [f"line {index}" for index in range(9)]
    svg = figures.curve_figure(Curve("t", "x", "y", {name: ([0.0, 1.0], [0.0, 1.0]) for name in names}))
    assert all(name.encode() in svg for name in names)


def test_a_mark_and_bounds_are_drawn() -> None:
    plain = Curve("t", "Passes", "dB", {"tagger": ([1.0, 2.0], [3.0, float("nan")])})
    told = replace(plain, bounds={"tagger": ([2.5, float("nan")], [3.5, float("nan")])}, mark=(3.0, "3 as trained"))
    assert b"3 as trained" in figures.curve_figure(told)
    assert b"as trained" not in figures.curve_figure(plain)
    assert figures.curve_figure(replace(told, bounds={})) != figures.curve_figure(told)
