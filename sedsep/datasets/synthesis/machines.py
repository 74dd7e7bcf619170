"""Sounds of machines: motors, fans, buzzers, sirens.

Axes: n samples of a line, H harmonics or resonances, G events on it (beeps).
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sedsep.datasets.synthesis.blocks import Line, Wave, tilt


def alarm_clock(line: Line, rng: Generator) -> Wave:
    """A piezo sounder: groups of two to four short beeps, the groups evenly spaced."""
    pitch, count = line.spread(1900, 4200), int(rng.integers(2, 5))
    beep, pause = rng.uniform(0.045, 0.11), rng.uniform(0.035, 0.08)
    period = count * (beep + pause) + rng.uniform(0.15, 0.45)
    overtones = np.array([1.0, rng.uniform(0, 0.15), rng.uniform(0.15, 0.5), 0.05, rng.uniform(0.0, 0.2)])
    starts = np.arange(0.01, line.seconds, period)[:, None] + np.arange(count) * (beep + pause)
    pitches = (pitch, pitch * (1.0 if rng.random() < 0.6 else rng.uniform(0.75, 0.9)))
    short = line.piece(beep)
    return line.scatter(starts.ravel(), lambda g: short.tone(pitches[g % 2], overtones) * short.arch(0.06, 0.15))


def blender(line: Line, rng: Generator) -> Wave:
    """A motor under a changing load, blades that chop: rasping harmonics and noise beaten at the blades' rate."""
    speed, loud = line.motor(rng.uniform(0.15, 0.5), rng.choice([0.0, rng.uniform(0.2, 0.5)]))
    load = np.clip(line.drift(5.0), -1.5, 1.5)
    pitch = line.spread(160, 300) * speed * (1 - rng.uniform(0.03, 0.08) * load)
    motor = line.tone(pitch, tilt(40, rng.uniform(2, 4)) * rng.uniform(0.2, 1.0, 40))
    chop = np.maximum(0, line.tone(pitch / 4, [1.0, 0.6, 0.3])) ** 1.5
    curve = line.wobbly([(100, -25), (500, -6), (1500, 0), (4000, -4), (9000, -16), (16000, -30)])
    noise = line.noise(curve) * (0.35 + 0.6 * chop) * (1 + 0.35 * load)
    return loud * (motor / motor.std() + rng.uniform(0.5, 0.9) * noise)


def buzzer(line: Line, rng: Generator) -> Wave:
    """An electromagnetic buzzer: a plate beaten at a constant low pitch, long presses, no pitch glide at all."""
    pitch = float(rng.choice([100.0, 120.0, line.spread(85, 330)]))
    plate = line.spread(1200, 3200)
    harmonics = pitch * np.arange(1, 121)
    body = 0.12 + np.exp(-0.5 * (np.log2(harmonics / plate) / rng.uniform(0.4, 0.8)) ** 2)
    buzz = line.tone(pitch * (1 + 0.002 * line.drift(6.0)), tilt(120, rng.uniform(0.5, 3)) * body, pulse=True)
    press, pause = rng.uniform(0.35, 1.2), rng.uniform(0.12, 0.3)
    gate = (line.times % (press + pause)) < press
    edge = line.piece(0.012).n
    return buzz * np.convolve(gate, np.full(edge, 1 / edge), mode="same")


def hair_dryer(line: Line, rng: Generator) -> Wave:
    """Air through a narrow pipe: bright steady hiss shaped by the pipe, and the thin whine of a small fast motor."""
    speed, loud = line.motor(rng.uniform(0.25, 0.7), rng.choice([0.0, rng.uniform(0.3, 0.6)]), slip=0.002)
    curve = [(100, -30), (600, -14), (2500, 0), (6000, -1), (11000, -6), (15000, -14)]
    hiss = line.noise(line.wobbly(curve, 5.0))
    pipe = line.spread(900, 1600) * np.array([[1.0], [3.0], [5.0]])
    airy = line.resonant(hiss, pipe, [500, 800, 1200], [1, 0.8, 0.6], dry=0.5)
    whine = line.tone(line.spread(480, 1100) * speed, tilt(14, rng.uniform(2, 5)) * rng.uniform(0.1, 1, 14))
    return loud * speed * (airy / airy.std() + rng.uniform(0.15, 0.5) * whine / whine.std())


def mechanical_fan(line: Line, rng: Generator) -> Wave:
    """A slow fan: dark air noise, the low tone of passing blades, an unbalanced sway and a click each turn."""
    turn = line.spread(8, 22)
    blades = int(rng.integers(3, 8))
    pitch = turn * (1 + 0.004 * line.drift(1.0))
    sway = 1 + rng.uniform(0.1, 0.4) * line.tone(pitch, [1.0, 0.3])
    blade = line.tone(pitch * blades, tilt(10, rng.uniform(3, 6)) * rng.uniform(0.3, 1, 10))
    curve = [(40, -3), (180, 0), (500, -6), (1500, -17), (4000, -29), (12000, -48)]
    air = line.noise(line.wobbly(curve, 6.0, 1.4))
    tick = line.piece(0.04).struck(rng.uniform(700, 2600, 3), 0.03, 1.0)
    ticks = line.scatter(np.arange(0, line.seconds, 1 / turn), tick)
    mains = float(rng.choice([100.0, 120.0]))
    hum = line.tone(mains, tilt(8, 4) * rng.uniform(0.1, 1, 8))
    steady = rng.uniform(0.4, 1.2) * blade / blade.std() + rng.uniform(0.1, 0.6) * hum / hum.std()
    return air * sway + steady + rng.uniform(0.0, 0.25) * ticks


def vacuum_cleaner(line: Line, rng: Generator) -> Wave:
    """A big motor that takes a second to reach speed, a strong howl, and suction whose colour moves with the nozzle."""
    speed, loud = line.motor(rng.uniform(0.6, 1.4), rng.choice([0.0, rng.uniform(0.4, 0.8)]))
    pitch = line.spread(210, 380) * speed
    heights = tilt(30, rng.uniform(4, 7)) * rng.uniform(0.2, 1, 30)
    heights[int(rng.integers(4, 8))] += rng.uniform(0.4, 0.9)  # the impeller's blades: one harmonic howls
    motor = line.tone(pitch, heights)
    air = line.noise(line.wobbly([(60, -12), (250, -2), (700, 0), (1600, -5), (4000, -15), (12000, -34)]))
    nozzle = line.spread(500, 1000) * 2 ** (0.35 * line.drift(1.3))
    suction = line.resonant(air, nozzle[None], [350], [2.0], dry=0.5)
    return loud * (rng.uniform(0.6, 1.0) * motor / motor.std() + suction / suction.std())


def engine(line: Line, rng: Generator) -> Wave:
    """Firing pulses, not one like the other, through the resonances of an exhaust; the revs wander."""
    revs = line.spread(22, 60) * (1 + 0.2 * line.drift(0.8))
    pulses = line.tone(revs, tilt(100, 1.5), pulse=True) + 0.5 * line.tone(revs / 4, rng.uniform(0, 1, 40))
    exhaust = line.spread(90, 170) * np.array([[1.0], [2.1], [3.3], [6.0]])
    boom = line.resonant(pulses, exhaust, [60, 90, 150, 400], [1, 0.7, 0.5, 0.3])
    rattle = line.noise([(100, -12), (900, 0), (3000, -8), (9000, -22)]) * np.maximum(0, pulses / pulses.max())
    return boom / boom.std() + rng.uniform(0.5, 1.5) * rattle


def siren(line: Line, rng: Generator) -> Wave:
    """A wail that sweeps, or two tones in turn."""
    low, high, swing = line.spread(420, 650), line.spread(800, 1500), line.spread(0.35, 3.0)
    phase = line.times * swing + rng.random()
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    shape = sweep if rng.random() < 0.6 else np.clip(20 * (sweep - 0.5), 0, 1)
    return line.tone(low * (high / low) ** shape, tilt(20, rng.uniform(5, 9)))
