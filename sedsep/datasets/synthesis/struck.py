"""Sounds of things that are struck: bells, hands, wood, china, keys and drums.

Axes: n samples of a line, H modes, G events on it (hits, notes).
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sedsep.datasets.synthesis.blocks import Line, Wave, tilt


def bicycle_bell(line: Line, rng: Generator) -> Wave:
    """A small steel dome struck by a ratchet: pairs of strikes so fast that they ring through each other."""
    base = line.spread(1500, 2900)
    # Each mode of a dome is a doublet, split by its imperfections: the beating is what makes the ring.
    ratios = np.array([1.0, 1.93, 2.76, 3.9]) * rng.uniform(0.95, 1.05, 4)
    freqs = base * np.concatenate([ratios, ratios * (1 + rng.uniform(0.002, 0.006, 4))])
    decays = rng.uniform(0.5, 1.3) * np.tile([1.0, 0.75, 0.5, 0.3], 2)
    heights = np.tile([1.0, 0.7, 0.5, 0.3], 2) * rng.uniform(0.5, 1.0, 8)
    ring = line.piece(1.0).struck(freqs, decays, heights)
    strikes = rng.integers(2, 7) if rng.random() < 0.7 else 2
    gap = rng.uniform(0.035, 0.09)
    pushes = line.rhythm(line.spread(0.9, 2.0), 0.15)
    times = (pushes[:, None] + np.arange(strikes) * gap).ravel()
    return line.scatter(times, lambda g: rng.uniform(0.5, 1.0) * ring)


def clapping(line: Line, rng: Generator) -> Wave:
    """One to six people clap: the hollow between two palms, a band of noise that lasts a few milliseconds."""
    short = line.piece(0.09)

    def person() -> Wave:
        hollow, time = line.spread(700, 2000), rng.uniform(0.02, 0.05)
        curve = [(100, -30), (hollow / 2, -12), (hollow, 6), (hollow * 2, -3), (6000, -12), (15000, -26)]

        def clap(_: int) -> Wave:
            burst = short.noise(line.wobbly(curve, 2.0, 1.15))
            return rng.uniform(0.6, 1.0) * burst * short.decay(time * rng.uniform(0.8, 1.3), 0.0005)

        times = line.rhythm(rng.uniform(2.6, 5.0), 0.06, start=rng.uniform(0.01, 0.2))
        return rng.uniform(0.4, 1.0) * line.scatter(times, clap)

    return np.sum([person() for _ in range(int(rng.choice([1, 1, 2, 4, 6])))], axis=0)


def cupboard(line: Line, rng: Generator) -> Wave:
    """Wood and hinges: a latch, a creak whose stick-slip rate glides, then the door's thud against its frame."""
    panel = np.sort(rng.uniform(90, 900, 9)) * rng.uniform(0.8, 1.2)
    short = line.piece(0.4)
    thud = short.struck(panel, 0.35 * (100 / panel) ** 0.35, (100 / panel) ** 0.4 * rng.uniform(0.4, 1, 9))
    knock = thud / np.abs(thud).max() + 0.35 * short.noise([(80, 0), (600, -4), (3000, -22)]) * short.decay(0.06)
    latch = line.piece(0.05).struck(rng.uniform(1200, 5000, 5), rng.uniform(0.015, 0.04, 5), 1.0)
    hinge = line.spread(500, 1400) * np.array([[1.0], [1.9], [3.1]])

    def creak() -> Wave:
        part = line.piece(rng.uniform(0.25, 0.6))
        stick = np.clip(part.drift(5.0), -1.5, 1.5)
        pulses = part.tone(line.spread(50, 140) * 2 ** (0.7 * stick), tilt(80, 1.0), pulse=True)
        pulses *= part.arch(0.3, 0.3) * np.maximum(0, 1 + 0.6 * part.drift(12.0))
        bent = part.resonant(pulses, hinge, [120, 200, 350], [1, 0.6, 0.4])
        return 0.35 * bent / (np.abs(bent).max() + 1e-9)

    sound, time = np.zeros(line.n), rng.uniform(0.02, 0.1)
    while time < line.seconds - 0.2:
        sound += line.scatter(time, lambda _: rng.uniform(0.25, 0.5) * latch)
        sound += line.scatter(time + 0.03, lambda _: creak() if rng.random() < 0.75 else 0.1 * knock)
        slam = time + rng.uniform(0.35, 0.7)
        bounces = slam + np.array([0.0, 0.07, 0.11])[: rng.integers(1, 4)] * rng.uniform(0.7, 1.3)
        sound += line.scatter(bounces, lambda g: 0.45**g * rng.uniform(0.7, 1.0) * knock)
        time = slam + rng.uniform(0.3, 0.7)
    return sound


def dishes(line: Line, rng: Generator) -> Wave:
    """Plates, cups and cutlery: clusters of clinks, each piece with its own inharmonic modes; now and then a scrape."""
    short, pieces = line.piece(0.3), []
    for _ in range(int(rng.integers(3, 6))):
        base = line.spread(900, 3800)
        freqs = base * np.cumprod(np.concatenate([[1.0], rng.uniform(1.18, 1.7, 7)]))
        decays = line.spread(0.08, 0.4) * (base / freqs) ** 0.5
        pieces.append(short.struck(freqs, decays, rng.uniform(0.3, 1.0, 8)))
    click = short.noise([(500, -20), (3000, 0), (10000, -3)]) * short.decay(0.012, 0.0004)

    def clink(_: int) -> Wave:
        piece = pieces[int(rng.integers(len(pieces)))]
        return rng.uniform(0.15, 1.0) ** 1.5 * (piece + rng.uniform(0.2, 0.8) * click)

    clusters = line.rhythm(line.spread(1.5, 3.5), 0.4)
    times = np.concatenate([start + np.cumsum(rng.exponential(0.045, rng.integers(1, 5))) for start in clusters])
    scrape = line.noise(line.wobbly([(800, -30), (3500, -4), (5500, 0), (9000, -10), (14000, -22)]))
    rub = np.maximum(0, line.drift(3.0) - 0.6) * (0.5 + 0.5 * np.abs(line.drift(40.0)))
    return line.scatter(times, clink) + 0.12 * scrape * rub


def doorbell(line: Line, rng: Generator) -> Wave:
    """Struck chime bars: two to four notes of a chord, falling first, each with a long nearly harmonic ring."""
    top, slow = line.spread(480, 950), rng.uniform(0.35, 0.6)
    tunes = np.array([[0, -4, 0, -4], [0, -3, 0, -3], [0, -4, -2, -9], [0, -5, 0, -5], [0, 4, 7, 4]])
    tune = 2.0 ** (tunes[rng.integers(5)] / 12)
    ratios = np.array([1.0, 2.0, 2.76, 4.07, 5.4]) * rng.uniform(0.99, 1.01, 5)
    heights = np.array([1.0, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.3), 0.08])
    decays = rng.uniform(1.2, 2.4) * np.array([1.0, 0.7, 0.45, 0.25, 0.15])
    long = line.piece(1.6)
    tap = 0.1 * long.noise([(300, -10), (2500, 0), (8000, -15)]) * long.decay(0.02)
    times = np.arange(0.01, line.seconds - 0.1, slow)
    return line.scatter(times, lambda g: long.struck(top * tune[g % 4] * ratios, decays, heights) + tap)


def footsteps(line: Line, rng: Generator) -> Wave:
    """A walk: a heel that thumps, a softer toe after it, and what the ground adds (boards, stone or gravel)."""
    floor = np.sort(rng.uniform(55, 190, 4))
    ground, short = str(rng.choice(["boards", "stone", "gravel"])), line.piece(0.3)
    loud, bright, time = {"boards": (0.2, 2200.0, 0.03), "stone": (0.45, 4200.0, 0.02), "gravel": (0.35, 3400.0, 0.16)}[
        ground
    ]
    roll = rng.uniform(0.07, 0.15)

    def contact(weight: float, grit: float) -> Wave:
        body = short.struck(floor * rng.uniform(0.95, 1.05), rng.uniform(0.1, 0.2), [1.0, 0.8, 0.6, 0.4])
        scuff = short.noise([(100, -8), (bright / 3, -3), (bright, 0), (bright * 2.5, -20)])
        crackle = 0.25 * np.abs(rng.standard_normal(short.n)) ** 3 if ground == "gravel" else 1.0
        return weight * body + grit * loud * scuff * crackle * short.decay(time * 2, 0.002)

    steps = line.rhythm(rng.uniform(1.5, 2.7), 0.05)
    heels = line.scatter(steps, lambda g: contact(rng.uniform(0.7, 1.0), 0.5))
    return heels + line.scatter(steps + roll, lambda g: contact(rng.uniform(0.15, 0.35), 0.45))


def musical_keyboard(line: Line, rng: Generator) -> Wave:
    """Melody over soft chords on a piano, an electric piano or an organ, in one key, on an even beat."""
    kind = str(rng.choice(["piano", "electric", "organ"]))
    tonic, beat = rng.integers(48, 61), rng.uniform(2.2, 5.0)
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) if rng.random() < 0.6 else np.array([0, 2, 3, 5, 7, 8, 10])
    bright, ring = rng.uniform(4, 8), rng.uniform(1.5, 4)

    def note(degree: int, seconds: float) -> Wave:
        key = tonic + 12 * (degree // 7) + scale[degree % 7]
        pitch, held = 440 * 2 ** ((key - 69) / 12), line.piece(seconds)
        order = np.arange(1, 17)
        if kind == "organ":
            return 0.6 * held.tone(pitch, [1, 0.8, 0.4, 0.6, 0, 0.3, 0, 0.4]) * held.arch(0.04, 0.1)
        # Stiff strings: partials stretched by sqrt(1 + B k^2), the high ones die first.
        stretched = pitch * order * np.sqrt(1 + (4e-4 if kind == "piano" else 0) * order**2)
        heights = tilt(16, bright) if kind == "piano" else np.array([1, 0.1, 0.5, 0.05, 0.02, 0.01, 0.15] + [0.0] * 9)
        string = held.struck(stretched, ring * (200 / pitch) ** 0.4 / order**0.7, heights)
        return string * np.minimum(1, np.arange(held.n)[::-1] / (0.05 * held.rate))

    def chord(g: int) -> Wave:
        return sum((note((root + 3 * g) % 6 + step, 4 / beat) for step in (0, 2, 4)), np.zeros(1))

    times = np.arange(0.01, line.seconds - 0.08, 1 / beat)
    walk = 7 + np.cumsum(rng.integers(-2, 3, len(times)))
    melody = line.scatter(times, lambda g: note(int(np.clip(walk[g], 3, 15)), 1.3 / beat))
    root = int(rng.integers(0, 5))
    return melody + 0.35 * line.scatter(times[::4], chord)


def percussion(line: Line, rng: Generator) -> Wave:
    """A drum pattern: kick, snare, hi-hat and toms on a grid of sixteenths that repeats."""
    step = 60 / rng.uniform(85, 150) / 4
    short = line.piece(0.35)
    t = short.times

    def skin(low: float, drop: float, time: float) -> Wave:
        # A skin slackens after the blow: its pitch falls from low * (1 + drop) to low.
        return np.sin(2 * np.pi * low * (t + drop * 0.03 * (1 - np.exp(-t / 0.03)))) * short.decay(time)

    metal = short.noise([(3000, -40), (6000, -6), (9000, 0), (15000, -3)])
    rattle = short.noise([(200, -20), (1500, -3), (5000, 0), (12000, -10)])
    kit = [
        1.0 * skin(line.spread(45, 65), rng.uniform(1.5, 3), rng.uniform(0.2, 0.4)),
        0.5 * skin(line.spread(160, 230), 0.4, 0.15) + 0.3 * rattle * short.decay(rng.uniform(0.12, 0.28)),
        0.16 * metal * short.decay(rng.uniform(0.04, 0.12), 0.0005),
        0.7 * skin(line.spread(90, 180), 0.5, rng.uniform(0.2, 0.45)),
    ]
    grid = rng.random((4, 16)) < np.array([0.2, 0.1, 0.35, 0.15])[:, None]
    grid[0, ::8] = grid[1, 4::8] = grid[2, :: int(rng.choice([2, 4]))] = True

    def part(drum: Wave, row: NDArray[np.bool_]) -> Wave:
        steps = np.arange(int(line.seconds / step))
        return line.scatter(steps[row[steps % 16]] * step + 0.005, lambda g: rng.uniform(0.6, 1.0) * drum)

    return np.sum([part(drum, row) for drum, row in zip(kit, grid, strict=True)], axis=0)


def typing(line: Line, rng: Generator) -> Wave:
    """Keys go down with a click and come up with a fainter one, in bursts; now and then the deeper space bar."""
    short = line.piece(0.06)
    case = rng.uniform(350, 1100, 3)
    spark = line.spread(2300, 5000)
    sharp = rng.uniform(0.008, 0.02)

    def key(weight: float, depth: float) -> Wave:
        click = short.noise([(500, -16), (spark * 0.6, -4), (spark, 0), (11000, -10), (15000, -18)])
        body = short.struck(case * depth * rng.uniform(0.9, 1.1), rng.uniform(0.02, 0.05), 1.0)
        return weight * (0.8 * click * short.decay(sharp * rng.uniform(0.8, 1.4), 0.0004) + 0.3 * body)

    downs = line.rhythm(line.spread(5.5, 10.0), 0.45)
    downs = downs[rng.random(len(downs)) > 0.12]  # the fingers hesitate
    space = rng.random(len(downs)) < 0.15
    ups = downs + rng.uniform(0.05, 0.11, len(downs))
    sound = line.scatter(downs, lambda g: key(rng.uniform(0.6, 1.0), 0.55 if space[g] else 1.0))
    return sound + line.scatter(ups, lambda g: key(rng.uniform(0.15, 0.4), 1.2))
