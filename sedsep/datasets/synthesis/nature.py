"""Sounds of nature: people and animals, water and air.

Axes: n samples of a line, H formants or resonances, G events on it (syllables, barks), F bins, T frames.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sedsep.datasets.synthesis.blocks import Line, Wave, formants, tilt

VOWELS = np.array(
    # F1, F2, F3 (Hz) of an adult male, after Peterson and Barney, JASA 24 (1952), table II.
    [[270, 2290, 3010], [530, 1840, 2480], [730, 1090, 2440], [570, 840, 2410], [300, 870, 2240], [660, 1720, 2410]],
    dtype=float,
)


def cough(line: Line, rng: Generator) -> Wave:
    """The three phases of a cough: a burst, breath noise through the throat, then a short hoarse voice that falls."""
    voice, tract = line.spread(110, 300), rng.uniform(0.85, 1.2)
    centres = np.array([650.0, 1500.0, 2600.0, 3900.0])[:, None] * tract

    def once(_: int) -> Wave:
        part = line.piece(rng.uniform(0.26, 0.42))
        t = part.times
        burst = 2.2 * part.decay(rng.uniform(0.07, 0.12), 0.002)
        breath = 0.7 * part.arch(0.08, 0.7)
        hoarse = part.tone(voice * np.exp(-t * 1.5) * (1 + 0.04 * part.drift(60)), tilt(50, 5), pulse=True)
        voiced = np.clip((t - 0.1) / 0.05, 0, 1) * part.arch(0.1, 0.4) * rng.uniform(0.1, 0.9)
        source = (burst + breath) * part.noise(line.wobbly([(100, -12), (800, 0), (5000, -3), (14000, -14)]))
        source += voiced * hoarse / hoarse.std()
        move = 1 + 0.15 * rng.uniform(-1, 1)

        def throat(f: Wave, at: Wave) -> Wave:
            moved = centres * (1 + (move - 1) * at / at[-1])
            return 0.12 + formants(f, moved, [250, 350, 450, 600], [1, 0.8, 0.5, 0.3])

        return rng.uniform(0.6, 1.0) * part.filtered(source, throat)

    # Coughs come in fits of two to four, with a breath between the fits.
    fit = line.rhythm(rng.uniform(1.9, 2.8), 0.15)
    return line.scatter([time for g, time in enumerate(fit) if g % 4 != 3], once)


def speech(line: Line, rng: Generator) -> Wave:
    """Glottal pulses through formants that glide from vowel to vowel, hissing consonants, phrases with a pause."""
    voice, tract = line.spread(90, 260), rng.uniform(0.95, 1.22)
    syllable = 1 / rng.uniform(3.6, 5.8)
    starts = line.rhythm(1 / syllable, 0.18)
    vowels = VOWELS[rng.integers(0, len(VOWELS), len(starts))] * tract
    level, hiss = _syllables(line, rng, starts)
    # Intonation: declination over the phrase, an accent here and there, and the larynx's own jitter.
    pitch = voice * 2 ** (-0.12 * line.times + 0.12 * line.drift(3.0) + 0.008 * line.drift(40.0))
    glottis = line.tone(pitch, tilt(90, rng.uniform(9, 12)), pulse=True)
    aspirated = glottis / glottis.std() + rng.uniform(0.01, 0.05) * rng.standard_normal(line.n)
    middles = starts + 0.5 * syllable

    def throat(f: Wave, at: Wave) -> Wave:
        glides = [np.interp(at, middles, vowels[:, k]) for k in range(3)]
        centres = np.array([*glides, np.full(len(at), 3500.0 * tract)])
        # Radiation at the lips: the source loses 6 dB an octave less.
        return formants(f, centres, [80, 110, 170, 250], [1.0, 0.8, 0.5, 0.3]) * (f / 500 + 0.1)

    voiced = line.filtered(aspirated * level, throat)
    sibilant = line.spread(4000, 6500)
    fricative = line.noise([(800, -35), (sibilant / 2, -14), (sibilant, 0), (sibilant * 1.7, -6)]) * hiss
    return voiced / voiced.std() + 1.2 * fricative


def _syllables(line: Line, rng: Generator, starts: Wave) -> tuple[Wave, Wave]:
    """Loudness [n] of the voice, and of the consonants that open syllables; a breath after every few of them."""
    level, hiss = np.zeros(line.n), np.zeros(line.n)
    for g, (start, end) in enumerate(zip(starts, [*starts[1:], line.seconds], strict=True)):
        a, b = int(start * line.rate), min(line.n, int(end * line.rate))
        if g % 7 == 5 or b - a < 16:
            continue
        onset = int((b - a) * rng.uniform(0.1, 0.3)) if rng.random() < 0.6 else 0
        level[a + onset : b] = rng.uniform(0.5, 1.0) * Line(rng, line.rate, b - a - onset).arch(0.2, 0.45)
        if onset > 8:
            hiss[a : a + onset] = rng.uniform(0.2, 0.7) * Line(rng, line.rate, onset).arch(rng.uniform(0.05, 0.5), 0.3)
    return level, hiss


def dog_bark(line: Line, rng: Generator) -> Wave:
    """Barks in bouts: a rough voice that rises and falls within a fifth of a second."""
    voice, throat = line.spread(250, 650), rng.uniform(0.8, 1.4)

    def bark(_: int) -> Wave:
        part = line.piece(rng.uniform(0.13, 0.24))
        glide = 1 + 0.5 * np.sin(np.pi * np.linspace(0, 1, part.n) ** 0.7)
        rough = part.tone(voice * glide * (1 + 0.03 * part.drift(90)), tilt(30, 3), pulse=True)
        source = rough / rough.std() + 0.5 * rng.standard_normal(part.n)
        centres = np.array([[800.0], [1700.0], [3100.0]]) * throat
        shaped = part.resonant(source, centres, [300, 500, 700], [1, 0.7, 0.3], dry=0.1)
        return rng.uniform(0.6, 1.0) * shaped * part.arch(0.12, 0.5)

    return line.scatter(line.rhythm(rng.uniform(1.6, 3.2), 0.3), bark)


def birds(line: Line, rng: Generator) -> Wave:
    """Two or three birds, each repeating its own short whistled motif."""

    def bird() -> Wave:
        part = line.piece(rng.uniform(0.05, 0.14))
        centre, x = line.spread(2600, 5600), np.linspace(0, 1, part.n)
        bends = rng.uniform(-0.3, 0.3, (3, 1)) * x
        bends += rng.uniform(0, 0.08, (3, 1)) * np.sin(2 * np.pi * rng.uniform(1, 5, (3, 1)) * x)
        motif = [part.tone(centre * (1 + bend), [1.0, 0.08], pulse=True) * part.arch(0.3, 0.4) for bend in bends]
        songs = line.rhythm(rng.uniform(0.8, 1.6), 0.3, start=rng.uniform(0.0, 0.4))
        times = (songs[:, None] + np.arange(4) * rng.uniform(0.08, 0.16)).ravel()
        return rng.uniform(0.3, 1.0) * line.scatter(times, lambda g: motif[g % 3])

    return np.sum([bird() for _ in range(int(rng.integers(2, 4)))], axis=0)


def crickets(line: Line, rng: Generator) -> Wave:
    """Chirps of a few wing strokes near one high pitch, several insects out of step."""

    def insect() -> Wave:
        part, strokes = line.piece(rng.uniform(0.012, 0.02)), int(rng.integers(3, 6))
        stroke = part.tone(line.spread(4000, 5600), [1.0, 0.05], pulse=True) * part.arch(0.4, 0.4)
        chirps = line.rhythm(rng.uniform(1.8, 3.2), 0.08, start=rng.uniform(0.0, 0.3))
        times = (chirps[:, None] + np.arange(strokes) * rng.uniform(0.022, 0.032)).ravel()
        return rng.uniform(0.3, 1.0) * line.scatter(times, stroke)

    field = line.noise([(200, -10), (3000, 0), (9000, -10)])
    return np.sum([insect() for _ in range(int(rng.integers(2, 5)))], axis=0) + 0.01 * field


def pour(line: Line, rng: Generator) -> Wave:
    """Water fills a vessel: bubbles and splash through the air column above, whose resonance climbs as it shortens."""
    column = line.spread(280, 650) * np.geomspace(1.0, line.spread(2.0, 4.0), line.n)
    column *= 1 + 0.02 * line.drift(4.0)
    stream = 1 + 0.25 * line.drift(8.0)
    water = line.bubbles(line.spread(120, 300), 500, 3500)
    splash = line.noise(line.wobbly([(150, -14), (800, 0), (3000, -6), (8000, -14), (14000, -24)]))
    wet = (water / water.std() + rng.uniform(0.2, 0.5) * splash) * np.maximum(0.1, stream)
    air = np.array([[1.0], [3.0], [5.0]])  # a closed pipe sounds its odd multiples
    gain = rng.uniform(4, 8)
    return line.resonant(wet, air * column, [70, 150, 250], [1, 0.5, 0.3], dry=0.25, wet=gain) * line.arch(0.06, 0.08)


def rain(line: Line, rng: Generator) -> Wave:
    """Drops too many to count under a wide hiss."""
    hiss = line.noise(line.wobbly([(100, -18), (1000, -5), (4000, 0), (9000, -3), (15000, -9)]))
    drops = line.bubbles(line.spread(60, 220), 1500, 9000)
    return hiss * (1 + 0.12 * line.drift(2.0)) + rng.uniform(0.5, 1.5) * drops / drops.std()


def wind(line: Line, rng: Generator) -> Wave:
    """Gusts: rumble, and a whistle around an edge whose pitch follows the strength (Strouhal)."""
    gust = np.exp(0.5 * line.drift(1.2))
    whistle = line.spread(300, 700) * gust
    rumble = line.noise(line.wobbly([(30, 0), (120, -4), (500, -18), (3000, -40), (10000, -65)]))
    edge = line.resonant(line.noise([(100, -20), (500, 0), (3000, -10)]), whistle[None], [60], [1.0])
    return (rumble + rng.uniform(0.3, 1.0) * edge / edge.std()) * gust


def thunder(line: Line, rng: Generator) -> Wave:
    """A crack, then rumble that rolls away and darkens."""
    roll = np.exp(0.7 * line.drift(4.0) - line.times * rng.uniform(0.6, 1.5))
    rumble = line.noise(line.wobbly([(25, -3), (60, 0), (160, -8), (600, -26), (4000, -55)]))
    crack = line.noise([(60, -6), (300, 0), (1500, -6), (8000, -25)]) * line.decay(rng.uniform(0.5, 1.2), 0.01)
    crackle = np.maximum(0, 1 + 0.9 * line.drift(30.0))
    return rumble * roll + rng.uniform(0.3, 1.2) * crack * crackle
