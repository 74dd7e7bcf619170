"""Parametric sound events: each class is a small physical caricature, drawn anew for every file.

The models are textbook ones: struck bodies are sums of decaying modes, motors are wavetables under shaped noise,
voices are glottal pulses through moving formants (source and filter), bubbles are Minnaert resonators whose pitch rises
as they reach the surface. Every pitch, rate, resonance and spectral tilt is drawn per file, so that a class is a family
and not a sample.

Axes: n samples of a file, H harmonics or modes, G events on a time line (hits, bubbles, syllables), F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

from sedsep.types import FloatArray

Wave = NDArray[np.float64]
Curve = Sequence[tuple[float, float]]
SoundGenerator = Callable[[Generator, int, float], FloatArray]
"""`(rng, sample_rate, duration) -> float32 [round(duration * sample_rate)]`, mono, with a peak of 0.9."""

EVENTS: dict[str, SoundGenerator] = {}
"""The target classes, by the names of the DCASE 2025 challenge, Task 4."""
INTERFERENCE: dict[str, SoundGenerator] = {}
"""Sounds that a scene may hold and nobody asks for."""

PEAK = 0.9
TOP = 0.45
"""Nothing is synthesised above this share of the sample rate."""


def _sound(registry: dict[str, SoundGenerator], name: str) -> Callable[[Callable[..., Wave]], SoundGenerator]:
    """Register a model `(rng, rate, n) -> [n]` as the generator of class `name`.

    The generator does what all classes share: length, a microphone's colour, no DC, 3 ms fades, peak, dtype.
    """

    def register(model: Callable[[Generator, int, int], Wave]) -> SoundGenerator:
        @wraps(model)
        def generate(rng: Generator, sample_rate: int, duration: float) -> FloatArray:
            n = round(duration * sample_rate)
            wave = _recorded(rng, model(rng, sample_rate, n), sample_rate)
            wave = wave - wave.mean()
            fade = min(n // 2, max(1, round(0.003 * sample_rate)))
            ramp = np.linspace(0.0, 1.0, fade)
            wave[:fade] *= ramp
            wave[n - fade :] *= ramp[::-1]
            return (wave * (PEAK / np.abs(wave).max())).astype(np.float32)

        registry[name] = generate
        return generate

    return register


# --- building blocks ------------------------------------------------------------------------------------------


def _spread(rng: Generator, low: float, high: float) -> float:
    """A frequency, rate or time between `low` and `high`, even on a log scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _drift(rng: Generator, n: int, rate: int, speed: float) -> Wave:
    """A smooth random curve [n] of about unit variance that wanders `speed` times a second."""
    # Straight lines between knots, then a moving average over one stretch: no overshoot, and cheaper than a spline.
    width = max(1, int(rate / speed))
    knots = rng.standard_normal(n // width + 4)
    line = np.interp(np.arange(n + width), np.arange(len(knots)) * width, knots)
    total = np.cumsum(np.insert(line, 0, 0.0))
    return (total[width:] - total[:-width])[:n] / width * 1.3


def _gain(freqs: ArrayLike, curve: Curve) -> Wave:
    """Amplitudes at `freqs` (Hz) of a curve of (Hz, dB) points, straight lines on a log frequency scale."""
    points, levels = zip(*curve, strict=True)
    decibels = np.interp(np.log(np.maximum(freqs, 10.0)), np.log(points), levels)
    return np.asarray(10 ** (decibels / 20), dtype=float)


def _noise(rng: Generator, n: int, rate: int, curve: Curve) -> Wave:
    """Gaussian noise [n] of unit RMS whose spectrum follows a curve of (Hz, dB) points."""
    # A length that transforms quickly: a prime number of samples would take many times as long.
    size = fft.next_fast_len(n, real=True)
    spectrum = fft.rfft(rng.standard_normal(size)) * _gain(fft.rfftfreq(size, 1 / rate), curve)
    wave = fft.irfft(spectrum, size)[:n]
    return wave / (wave.std() + 1e-12)


def _wobbly(rng: Generator, curve: Curve, spread: float = 3.0, bend: float = 1.25) -> Curve:
    """The curve with every corner moved by up to `spread` dB and a factor of `bend` in frequency."""
    return sorted((f * _spread(rng, 1 / bend, bend), level + rng.uniform(-spread, spread)) for f, level in curve)


def _recorded(rng: Generator, wave: Wave, rate: int) -> Wave:
    """The wave [n] through some microphone: gentle bumps of up to 4 dB, no two recordings alike."""
    curve = [(hz, rng.uniform(-4, 4)) for hz in (60, 250, 1000, 4000, 12000)]
    size = fft.next_fast_len(len(wave), real=True)
    return fft.irfft(fft.rfft(wave, size) * _gain(fft.rfftfreq(size, 1 / rate), curve), size)[: len(wave)]


def _tone(pitch: ArrayLike, amplitudes: ArrayLike, n: int, rate: int, rng: Generator | None = None) -> Wave:
    """A periodic wave [n] with pitch (Hz; a number or [n]) and harmonic amplitudes [H], read from a wavetable.

    Harmonics that would pass `TOP` are left out. The phases are zero (a pulse), or random where `rng` is given.
    """
    pitches = np.broadcast_to(np.asarray(pitch, dtype=float), (n,))
    heights = np.asarray(amplitudes, dtype=float)[: max(1, int(TOP * rate / pitches.max()))]
    phases = rng.uniform(0, 2 * np.pi, len(heights)) if rng else np.zeros(len(heights))
    spectrum = np.zeros(2049, dtype=complex)
    spectrum[1 : len(heights) + 1] = (heights * np.exp(1j * phases))[:2048]
    table = np.fft.irfft(spectrum) * 2048
    turns = np.cumsum(pitches) / rate
    return np.interp(turns % 1.0 * 4096, np.arange(4097), np.append(table, table[0]))


def _tilt(count: int, slope: float) -> Wave:
    """Amplitudes [count] of harmonics that fall by `slope` dB an octave."""
    return np.asarray(np.arange(1, count + 1) ** (slope / -6.02))


def _modes(freqs: ArrayLike, decays: ArrayLike, heights: ArrayLike, n: int, rate: int) -> Wave:
    """A struck body [n]: modes at `freqs` (Hz) [H] that fall by 60 dB in `decays` (s) [H], all starting as sines."""
    f, decay, height = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (freqs, decays, heights)))
    keep = f < TOP * rate
    if not keep.any():
        return np.zeros(n)
    rotation = (2j * np.pi * f[keep] - 6.91 / decay[keep])[:, None] / rate
    # exp(r (a + b)) = exp(r a) exp(r b): two short tables stand for n exponentials of each mode.
    block = 256
    coarse = height[keep, None] * np.exp(rotation * np.arange(0, n, block))
    fine = np.exp(rotation * np.arange(block))
    return np.einsum("ha,hb->ab", coarse, fine).imag.ravel()[:n]


def _decay(n: int, rate: int, time: float, attack: float = 0.001) -> Wave:
    """An envelope [n] that rises in `attack` and falls by 60 dB in `time` (s)."""
    t = np.arange(n) / rate
    return np.minimum(1.0, t / attack) * np.exp(-6.91 * t / time)


def _arch(n: int, attack: float, release: float) -> Wave:
    """An envelope [n] with smooth flanks that take the shares `attack` and `release` of it."""
    x = np.linspace(0.0, 1.0, n)
    rise = np.clip(np.minimum(x / attack, (1 - x) / release), 0.0, 1.0)
    return np.sin(0.5 * np.pi * rise) ** 2


def _length(seconds: float, rate: int) -> int:
    return max(8, round(seconds * rate))


def _train(rng: Generator, seconds: float, hits_per_second: float, jitter: float, start: float = 0.02) -> Wave:
    """Times [G] of a rhythm with relative `jitter` of each interval (0: a clock; above 0.5: quite irregular)."""
    count = int(seconds * hits_per_second * 2) + 2
    steps = np.maximum(0.15, 1 + jitter * rng.standard_normal(count)) / hits_per_second
    times = start + np.concatenate([[0.0], np.cumsum(steps)])
    return times[times < max(seconds - 0.05, start + 1e-6)]


def _scatter(n: int, rate: int, times: ArrayLike, piece: Callable[[int], Wave]) -> Wave:
    """The time line [n] with `piece(g)` added at the g-th of `times` (s), cut at the end."""
    line = np.zeros(n)
    for g, time in enumerate(np.atleast_1d(times)):
        start = int(time * rate)
        if 0 <= start < n:
            part = piece(g)[: n - start]
            line[start : start + len(part)] += part
    return line


def _morph(wave: Wave, rate: int, gain: Callable[[Wave, Wave], Wave]) -> Wave:
    """Filter `wave` [n] by a gain that moves: `gain(freqs [F, 1] Hz, times [T] s) -> [F, T]` amplitudes."""
    window = _length(0.02, rate)
    freqs, times, frames = signal.stft(wave, rate, nperseg=window, noverlap=window - window // 4)
    _, out = signal.istft(frames * gain(freqs[:, None], times), rate, nperseg=window, noverlap=window - window // 4)
    return np.resize(out, len(wave))


def _formants(freqs: Wave, centres: Wave, widths: ArrayLike, heights: ArrayLike) -> Wave:
    """Amplitudes [F, T] of parallel resonances: centres [H, T] (Hz), widths and heights [H]."""
    width, height = (np.asarray(a, dtype=float)[:, None, None] for a in (widths, heights))
    return np.asarray((height / np.sqrt(1 + ((freqs[None] - centres[:, None, :]) / (width / 2)) ** 2)).sum(axis=0))


def _follow(curve: Wave, rate: int) -> Callable[[Wave], Wave]:
    """The samples of `curve` [n] at times in seconds, held at its ends."""
    return lambda times: curve[np.clip((times * rate).astype(int), 0, len(curve) - 1)]


def _bubbles(rng: Generator, n: int, rate: int, per_second: float, low: float, high: float) -> Wave:
    """Bubbles [n]: damped sines whose pitch rises, radii log-uniform between the pitches `low` and `high` (Hz).

    After van den Doel, Physically based models for liquid sounds, ACM TAP 2005: damping d = 0.13 f + 0.0072 f^1.5,
    pitch f (1 + slope t).
    """

    def bubble(_: int) -> Wave:
        f = _spread(rng, low, high)
        damping = 0.13 * f + 0.0072 * f**1.5
        t = np.arange(_length(min(0.12, 5 / damping), rate)) / rate
        rise = rng.uniform(0.05, 0.3) * damping * t
        loud = rng.uniform(0.1, 1.0) ** 2 * (low / f) ** 0.5
        return loud * np.sin(2 * np.pi * f * t * (1 + 0.5 * rise)) * np.exp(-damping * t)

    return _scatter(n, rate, np.sort(rng.uniform(0, n / rate, max(1, int(per_second * n / rate)))), bubble)


def _spin(
    rng: Generator, n: int, rate: int, start_time: float, stop_time: float, slip: float = 0.006
) -> tuple[Wave, Wave]:
    """Speed and loudness [n] of a motor switched on, left alone and (if `stop_time` > 0) switched off; times in s."""
    t = np.arange(n) / rate
    end = n / rate
    up = 1 - np.exp(-4 * t / start_time)
    down = np.exp(-3 * np.maximum(0, t - (end - stop_time)) / stop_time) if stop_time else np.ones(n)
    speed = (0.35 + 0.65 * up) * (0.3 + 0.7 * down) * (1 + slip * _drift(rng, n, rate, 3.0))
    return speed, up * down**1.5


# --- the 18 classes -------------------------------------------------------------------------------------------


@_sound(EVENTS, "AlarmClock")
def _alarm_clock(rng: Generator, rate: int, n: int) -> Wave:
    """A piezo sounder: groups of two to four short beeps, the groups evenly spaced."""
    pitch, count = _spread(rng, 1900, 4200), int(rng.integers(2, 5))
    beep, pause = rng.uniform(0.045, 0.11), rng.uniform(0.035, 0.08)
    period = count * (beep + pause) + rng.uniform(0.15, 0.45)
    overtones = np.array([1.0, rng.uniform(0, 0.15), rng.uniform(0.15, 0.5), 0.05, rng.uniform(0.0, 0.2)])
    starts = np.arange(0.01, n / rate, period)[:, None] + np.arange(count) * (beep + pause)
    second = pitch * (1.0 if rng.random() < 0.6 else rng.uniform(0.75, 0.9))
    length = _length(beep, rate)
    return _scatter(
        n,
        rate,
        starts.ravel(),
        lambda g: _tone((pitch, second)[g % 2], overtones, length, rate, rng) * _arch(length, 0.06, 0.15),
    )


@_sound(EVENTS, "BicycleBell")
def _bicycle_bell(rng: Generator, rate: int, n: int) -> Wave:
    """A small steel dome struck by a ratchet: pairs of strikes so fast that they ring through each other."""
    base = _spread(rng, 1500, 2900)
    # Each mode of a dome is a doublet, split by its imperfections: the beating is what makes the ring.
    ratios = np.array([1.0, 1.93, 2.76, 3.9]) * rng.uniform(0.95, 1.05, 4)
    freqs = base * np.concatenate([ratios, ratios * (1 + rng.uniform(0.002, 0.006, 4))])
    decays = rng.uniform(0.5, 1.3) * np.tile([1.0, 0.75, 0.5, 0.3], 2)
    heights = np.tile([1.0, 0.7, 0.5, 0.3], 2) * rng.uniform(0.5, 1.0, 8)
    ring = _modes(freqs, decays, heights, _length(1.0, rate), rate)
    strikes = rng.integers(2, 7) if rng.random() < 0.7 else 2
    gap = rng.uniform(0.035, 0.09)
    pushes = _train(rng, n / rate, _spread(rng, 0.9, 2.0), 0.15)
    times = (pushes[:, None] + np.arange(strikes) * gap).ravel()
    return _scatter(n, rate, times, lambda g: rng.uniform(0.5, 1.0) * ring)


@_sound(EVENTS, "Blender")
def _blender(rng: Generator, rate: int, n: int) -> Wave:
    """A motor under a changing load, blades that chop: rasping harmonics and noise beaten at the blades' rate."""
    speed, loud = _spin(rng, n, rate, rng.uniform(0.15, 0.5), rng.choice([0.0, rng.uniform(0.2, 0.5)]))
    load = np.clip(_drift(rng, n, rate, 5.0), -1.5, 1.5)
    pitch = _spread(rng, 160, 300) * speed * (1 - rng.uniform(0.03, 0.08) * load)
    motor = _tone(pitch, _tilt(40, rng.uniform(2, 4)) * rng.uniform(0.2, 1.0, 40), n, rate, rng)
    chop = np.maximum(0, _tone(pitch / 4, [1.0, 0.6, 0.3], n, rate, rng)) ** 1.5
    curve = _wobbly(rng, [(100, -25), (500, -6), (1500, 0), (4000, -4), (9000, -16), (16000, -30)])
    noise = _noise(rng, n, rate, curve) * (0.35 + 0.6 * chop) * (1 + 0.35 * load)
    return loud * (motor / motor.std() + rng.uniform(0.5, 0.9) * noise)


@_sound(EVENTS, "Buzzer")
def _buzzer(rng: Generator, rate: int, n: int) -> Wave:
    """An electromagnetic buzzer: a plate beaten at a constant low pitch, long presses, no pitch glide at all."""
    pitch = float(rng.choice([100.0, 120.0, _spread(rng, 85, 330)]))
    plate = _spread(rng, 1200, 3200)
    harmonics = pitch * np.arange(1, 121)
    body = 0.12 + np.exp(-0.5 * (np.log2(harmonics / plate) / rng.uniform(0.4, 0.8)) ** 2)
    buzz = _tone(pitch * (1 + 0.002 * _drift(rng, n, rate, 6.0)), _tilt(120, rng.uniform(0.5, 3)) * body, n, rate)
    press, pause = rng.uniform(0.35, 1.2), rng.uniform(0.12, 0.3)
    gate = (np.arange(n) / rate % (press + pause)) < press
    edge = _length(0.012, rate)
    return buzz * np.convolve(gate, np.full(edge, 1 / edge), mode="same")


@_sound(EVENTS, "Clapping")
def _clapping(rng: Generator, rate: int, n: int) -> Wave:
    """One to six people clap: the hollow between two palms, a band of noise that lasts a few milliseconds."""
    length = _length(0.09, rate)

    def person() -> Wave:
        hollow, time = _spread(rng, 700, 2000), rng.uniform(0.02, 0.05)
        curve = [(100, -30), (hollow / 2, -12), (hollow, 6), (hollow * 2, -3), (6000, -12), (15000, -26)]

        def clap(_: int) -> Wave:
            burst = _noise(rng, length, rate, _wobbly(rng, curve, 2.0, 1.15))
            return rng.uniform(0.6, 1.0) * burst * _decay(length, rate, time * rng.uniform(0.8, 1.3), 0.0005)

        times = _train(rng, n / rate, rng.uniform(2.6, 5.0), 0.06, start=rng.uniform(0.01, 0.2))
        return rng.uniform(0.4, 1.0) * _scatter(n, rate, times, clap)

    return np.sum([person() for _ in range(int(rng.choice([1, 1, 2, 4, 6])))], axis=0)


@_sound(EVENTS, "Cough")
def _cough(rng: Generator, rate: int, n: int) -> Wave:
    """The three phases of a cough: a burst, breath noise through the throat, then a short hoarse voice that falls."""
    voice, tract = _spread(rng, 110, 300), rng.uniform(0.85, 1.2)
    centres = np.array([650.0, 1500.0, 2600.0, 3900.0])[:, None] * tract

    def cough(_: int) -> Wave:
        size = _length(rng.uniform(0.26, 0.42), rate)
        t = np.arange(size) / rate
        burst = 2.2 * _decay(size, rate, rng.uniform(0.07, 0.12), 0.002)
        breath = 0.7 * _arch(size, 0.08, 0.7)
        hoarse = _tone(voice * np.exp(-t * 1.5) * (1 + 0.04 * _drift(rng, size, rate, 60)), _tilt(50, 5), size, rate)
        voiced = np.clip((t - 0.1) / 0.05, 0, 1) * _arch(size, 0.1, 0.4) * rng.uniform(0.1, 0.9)
        source = (burst + breath) * _noise(
            rng, size, rate, _wobbly(rng, [(100, -12), (800, 0), (5000, -3), (14000, -14)])
        )
        source += voiced * hoarse / hoarse.std()
        move = 1 + 0.15 * rng.uniform(-1, 1)
        return rng.uniform(0.6, 1.0) * _morph(
            source,
            rate,
            lambda f, at: (
                0.12 + _formants(f, centres * (1 + (move - 1) * at / at[-1]), [250, 350, 450, 600], [1, 0.8, 0.5, 0.3])
            ),
        )

    # Coughs come in fits of two to four, with a breath between the fits.
    fit = _train(rng, n / rate, rng.uniform(1.9, 2.8), 0.15)
    return _scatter(n, rate, [time for g, time in enumerate(fit) if g % 4 != 3], cough)


@_sound(EVENTS, "CupboardOpenClose")
def _cupboard(rng: Generator, rate: int, n: int) -> Wave:
    """Wood and hinges: a latch, a creak whose stick-slip rate glides, then the door's thud against its frame."""
    panel = np.sort(rng.uniform(90, 900, 9)) * rng.uniform(0.8, 1.2)
    thud = _modes(
        panel, 0.35 * (100 / panel) ** 0.35, (100 / panel) ** 0.4 * rng.uniform(0.4, 1, 9), _length(0.4, rate), rate
    )
    size = len(thud)
    knock = thud / np.abs(thud).max() + 0.35 * _noise(rng, size, rate, [(80, 0), (600, -4), (3000, -22)]) * _decay(
        size, rate, 0.06
    )
    latch = _modes(rng.uniform(1200, 5000, 5), rng.uniform(0.015, 0.04, 5), 1.0, _length(0.05, rate), rate)
    hinge = _spread(rng, 500, 1400) * np.array([[1.0], [1.9], [3.1]])

    def creak() -> Wave:
        size = _length(rng.uniform(0.25, 0.6), rate)
        stick = np.clip(_drift(rng, size, rate, 5.0), -1.5, 1.5)
        pulses = _tone(_spread(rng, 50, 140) * 2 ** (0.7 * stick), _tilt(80, 1.0), size, rate)
        pulses *= _arch(size, 0.3, 0.3) * np.maximum(0, 1 + 0.6 * _drift(rng, size, rate, 12.0))
        bent = _morph(
            pulses, rate, lambda f, at: _formants(f, hinge * np.ones_like(at), [120, 200, 350], [1, 0.6, 0.4])
        )
        return 0.35 * bent / (np.abs(bent).max() + 1e-9)

    line, time, total = np.zeros(n), rng.uniform(0.02, 0.1), n / rate
    while time < total - 0.2:
        line += _scatter(n, rate, [time], lambda _: rng.uniform(0.25, 0.5) * latch)
        line += _scatter(n, rate, [time + 0.03], lambda _: creak() if rng.random() < 0.75 else 0.1 * knock)
        slam = time + rng.uniform(0.35, 0.7)
        bounces = slam + np.array([0.0, 0.07, 0.11])[: rng.integers(1, 4)] * rng.uniform(0.7, 1.3)
        line += _scatter(n, rate, bounces, lambda g: 0.45**g * rng.uniform(0.7, 1.0) * knock)
        time = slam + rng.uniform(0.3, 0.7)
    return line


@_sound(EVENTS, "Dishes")
def _dishes(rng: Generator, rate: int, n: int) -> Wave:
    """Plates, cups and cutlery: clusters of clinks, each piece with its own inharmonic modes; now and then a scrape."""
    pieces = []
    for _ in range(int(rng.integers(3, 6))):
        base = _spread(rng, 900, 3800)
        freqs = base * np.cumprod(np.concatenate([[1.0], rng.uniform(1.18, 1.7, 7)]))
        decays = _spread(rng, 0.08, 0.4) * (base / freqs) ** 0.5
        pieces.append(_modes(freqs, decays, rng.uniform(0.3, 1.0, 8), _length(0.3, rate), rate))
    size = _length(0.3, rate)
    click = _noise(rng, size, rate, [(500, -20), (3000, 0), (10000, -3)]) * _decay(size, rate, 0.012, 0.0004)

    def clink(_: int) -> Wave:
        piece = pieces[int(rng.integers(len(pieces)))]
        return rng.uniform(0.15, 1.0) ** 1.5 * (piece + rng.uniform(0.2, 0.8) * click)

    clusters = _train(rng, n / rate, _spread(rng, 1.5, 3.5), 0.4)
    times = np.concatenate([start + np.cumsum(rng.exponential(0.045, rng.integers(1, 5))) for start in clusters])
    scrape = _noise(rng, n, rate, _wobbly(rng, [(800, -30), (3500, -4), (5500, 0), (9000, -10), (14000, -22)]))
    rub = np.maximum(0, _drift(rng, n, rate, 3.0) - 0.6) * (0.5 + 0.5 * np.abs(_drift(rng, n, rate, 40.0)))
    return _scatter(n, rate, times, clink) + 0.12 * scrape * rub


@_sound(EVENTS, "Doorbell")
def _doorbell(rng: Generator, rate: int, n: int) -> Wave:
    """Struck chime bars: two to four notes of a chord, falling first, each with a long nearly harmonic ring."""
    top, slow = _spread(rng, 480, 950), rng.uniform(0.35, 0.6)
    tune = 2.0 ** (
        np.array([[0, -4, 0, -4], [0, -3, 0, -3], [0, -4, -2, -9], [0, -5, 0, -5], [0, 4, 7, 4]])[rng.integers(5)] / 12
    )
    ratios = np.array([1.0, 2.0, 2.76, 4.07, 5.4]) * rng.uniform(0.99, 1.01, 5)
    heights = np.array([1.0, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.3), 0.08])
    decays = rng.uniform(1.2, 2.4) * np.array([1.0, 0.7, 0.45, 0.25, 0.15])
    size = _length(1.6, rate)
    tap = 0.1 * _noise(rng, size, rate, [(300, -10), (2500, 0), (8000, -15)]) * _decay(size, rate, 0.02)
    return _scatter(
        n,
        rate,
        np.arange(0.01, n / rate - 0.1, slow),
        lambda g: _modes(top * tune[g % 4] * ratios, decays, heights, size, rate) + tap,
    )


@_sound(EVENTS, "FootSteps")
def _footsteps(rng: Generator, rate: int, n: int) -> Wave:
    """A walk: a heel that thumps, a softer toe after it, and what the ground adds (boards, stone or gravel)."""
    floor = np.sort(rng.uniform(55, 190, 4))
    ground, size = rng.choice(["boards", "stone", "gravel"]), _length(0.3, rate)
    grit = {"boards": (0.2, 2200.0, 0.03), "stone": (0.45, 4200.0, 0.02), "gravel": (0.35, 3400.0, 0.16)}[str(ground)]
    roll = rng.uniform(0.07, 0.15)

    def contact(weight: float, bright: float) -> Wave:
        body = _modes(floor * rng.uniform(0.95, 1.05), rng.uniform(0.1, 0.2), [1.0, 0.8, 0.6, 0.4], size, rate)
        scuff = _noise(rng, size, rate, [(100, -8), (grit[1] / 3, -3), (grit[1], 0), (grit[1] * 2.5, -20)])
        crackle = 0.25 * np.abs(rng.standard_normal(size)) ** 3 if ground == "gravel" else 1.0
        return weight * body + bright * grit[0] * scuff * crackle * _decay(size, rate, grit[2] * 2, 0.002)

    steps = _train(rng, n / rate, rng.uniform(1.5, 2.7), 0.05)
    line = _scatter(n, rate, steps, lambda g: contact(rng.uniform(0.7, 1.0), 0.5))
    return line + _scatter(n, rate, steps + roll, lambda g: contact(rng.uniform(0.15, 0.35), 0.45))


@_sound(EVENTS, "HairDryer")
def _hair_dryer(rng: Generator, rate: int, n: int) -> Wave:
    """Air through a narrow pipe: bright steady hiss shaped by the pipe, and the thin whine of a small fast motor."""
    speed, loud = _spin(rng, n, rate, rng.uniform(0.25, 0.7), rng.choice([0.0, rng.uniform(0.3, 0.6)]), slip=0.002)
    hiss = _noise(
        rng, n, rate, _wobbly(rng, [(100, -30), (600, -14), (2500, 0), (6000, -1), (11000, -6), (15000, -14)], 5.0)
    )
    pipe = _spread(rng, 900, 1600) * np.array([[1.0], [3.0], [5.0]])
    airy = _morph(
        hiss, rate, lambda f, at: 0.5 + _formants(f, pipe * np.ones_like(at), [500, 800, 1200], [1, 0.8, 0.6])
    )
    whine = _tone(_spread(rng, 480, 1100) * speed, _tilt(14, rng.uniform(2, 5)) * rng.uniform(0.1, 1, 14), n, rate, rng)
    return loud * speed * (airy / airy.std() + rng.uniform(0.15, 0.5) * whine / whine.std())


@_sound(EVENTS, "MechanicalFans")
def _mechanical_fan(rng: Generator, rate: int, n: int) -> Wave:
    """A slow fan: dark air noise, the low tone of passing blades, an unbalanced sway and a click each turn."""
    turn = _spread(rng, 8, 22)
    blades = int(rng.integers(3, 8))
    pitch = turn * (1 + 0.004 * _drift(rng, n, rate, 1.0))
    sway = 1 + rng.uniform(0.1, 0.4) * _tone(pitch, [1.0, 0.3], n, rate, rng)
    blade = _tone(pitch * blades, _tilt(10, rng.uniform(3, 6)) * rng.uniform(0.3, 1, 10), n, rate, rng)
    air = _noise(
        rng, n, rate, _wobbly(rng, [(40, -3), (180, 0), (500, -6), (1500, -17), (4000, -29), (12000, -48)], 6.0, 1.4)
    )
    tick = _modes(rng.uniform(700, 2600, 3), 0.03, 1.0, _length(0.04, rate), rate)
    ticks = _scatter(n, rate, np.arange(0, n / rate, 1 / turn), lambda g: tick)
    mains = float(rng.choice([100.0, 120.0]))
    hum = _tone(mains, _tilt(8, 4) * rng.uniform(0.1, 1, 8), n, rate, rng)
    steady = rng.uniform(0.4, 1.2) * blade / blade.std() + rng.uniform(0.1, 0.6) * hum / hum.std()
    return air * sway + steady + rng.uniform(0.0, 0.25) * ticks


@_sound(EVENTS, "MusicalKeyboard")
def _musical_keyboard(rng: Generator, rate: int, n: int) -> Wave:
    """Melody over soft chords on a piano, an electric piano or an organ, in one key, on an even beat."""
    kind = str(rng.choice(["piano", "electric", "organ"]))
    tonic, beat = rng.integers(48, 61), rng.uniform(2.2, 5.0)
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) if rng.random() < 0.6 else np.array([0, 2, 3, 5, 7, 8, 10])
    bright, ring = rng.uniform(4, 8), rng.uniform(1.5, 4)

    def note(degree: int, seconds: float) -> Wave:
        key = tonic + 12 * (degree // 7) + scale[degree % 7]
        pitch, size = 440 * 2 ** ((key - 69) / 12), _length(seconds, rate)
        order = np.arange(1, 17)
        if kind == "organ":
            pipes = np.array([1, 0.8, 0.4, 0.6, 0, 0.3, 0, 0.4])
            return 0.6 * _tone(pitch, pipes, size, rate, rng) * _arch(size, 0.04, 0.1)
        # Stiff strings: partials stretched by sqrt(1 + B k^2), the high ones die first.
        stretched = pitch * order * np.sqrt(1 + (4e-4 if kind == "piano" else 0) * order**2)
        heights = _tilt(16, bright) if kind == "piano" else np.array([1, 0.1, 0.5, 0.05, 0.02, 0.01, 0.15] + [0.0] * 9)
        string = _modes(stretched, ring * (200 / pitch) ** 0.4 / order**0.7, heights, size, rate)
        return string * np.minimum(1, np.arange(size)[::-1] / (0.05 * rate))

    times = np.arange(0.01, n / rate - 0.08, 1 / beat)
    walk = 7 + np.cumsum(rng.integers(-2, 3, len(times)))
    melody = _scatter(n, rate, times, lambda g: note(int(np.clip(walk[g], 3, 15)), 1.3 / beat))
    root = int(rng.integers(0, 5))
    return melody + 0.35 * _scatter(
        n,
        rate,
        times[::4],
        lambda g: sum((note((root + 3 * g) % 6 + step, 4 / beat) for step in (0, 2, 4)), np.zeros(1)),
    )


@_sound(EVENTS, "Percussion")
def _percussion(rng: Generator, rate: int, n: int) -> Wave:
    """A drum pattern: kick, snare, hi-hat and toms on a grid of sixteenths that repeats."""
    step = 60 / rng.uniform(85, 150) / 4
    size = _length(0.35, rate)
    t = np.arange(size) / rate

    def skin(low: float, drop: float, time: float) -> Wave:
        # A skin slackens after the blow: its pitch falls from low * (1 + drop) to low.
        return np.sin(2 * np.pi * low * (t + drop * 0.03 * (1 - np.exp(-t / 0.03)))) * _decay(size, rate, time)

    metal = _noise(rng, size, rate, [(3000, -40), (6000, -6), (9000, 0), (15000, -3)])
    rattle = _noise(rng, size, rate, [(200, -20), (1500, -3), (5000, 0), (12000, -10)])
    kit = [
        1.0 * skin(_spread(rng, 45, 65), rng.uniform(1.5, 3), rng.uniform(0.2, 0.4)),
        0.5 * skin(_spread(rng, 160, 230), 0.4, 0.15) + 0.3 * rattle * _decay(size, rate, rng.uniform(0.12, 0.28)),
        0.16 * metal * _decay(size, rate, rng.uniform(0.04, 0.12), 0.0005),
        0.7 * skin(_spread(rng, 90, 180), 0.5, rng.uniform(0.2, 0.45)),
    ]
    grid = rng.random((4, 16)) < np.array([0.2, 0.1, 0.35, 0.15])[:, None]
    grid[0, ::8] = grid[1, 4::8] = grid[2, :: int(rng.choice([2, 4]))] = True

    def part(drum: Wave, row: NDArray[np.bool_]) -> Wave:
        steps = np.arange(int(n / rate / step))
        hits = steps[row[steps % 16]] * step + 0.005
        return _scatter(n, rate, hits, lambda g: rng.uniform(0.6, 1.0) * drum)

    return np.sum([part(drum, row) for drum, row in zip(kit, grid, strict=True)], axis=0)


@_sound(EVENTS, "Pour")
def _pour(rng: Generator, rate: int, n: int) -> Wave:
    """Water fills a vessel: bubbles and splash through the air column above, whose resonance climbs as it shortens."""
    column = _spread(rng, 280, 650) * np.geomspace(1.0, _spread(rng, 2.0, 4.0), n)
    column *= 1 + 0.02 * _drift(rng, n, rate, 4.0)
    stream = 1 + 0.25 * _drift(rng, n, rate, 8.0)
    water = _bubbles(rng, n, rate, _spread(rng, 120, 300), 500, 3500)
    splash = _noise(rng, n, rate, _wobbly(rng, [(150, -14), (800, 0), (3000, -6), (8000, -14), (14000, -24)]))
    wet = (water / water.std() + rng.uniform(0.2, 0.5) * splash) * np.maximum(0.1, stream)
    at_time = _follow(column, rate)
    air = np.array([[1.0], [3.0], [5.0]])  # a closed pipe sounds its odd multiples
    gain = rng.uniform(4, 8)
    filled = _morph(
        wet, rate, lambda f, at: 0.25 + gain * _formants(f, air * at_time(at), [70, 150, 250], [1, 0.5, 0.3])
    )
    return filled * _arch(n, 0.06, 0.08)


_VOWELS = np.array(
    # F1, F2, F3 (Hz) of an adult male, after Peterson and Barney, JASA 24 (1952), table II.
    [[270, 2290, 3010], [530, 1840, 2480], [730, 1090, 2440], [570, 840, 2410], [300, 870, 2240], [660, 1720, 2410]],
    dtype=float,
)


@_sound(EVENTS, "Speech")
def _speech(rng: Generator, rate: int, n: int) -> Wave:
    """Glottal pulses through formants that glide from vowel to vowel, hissing consonants, phrases with a pause."""
    voice, tract = _spread(rng, 90, 260), rng.uniform(0.95, 1.22)
    syllable = 1 / rng.uniform(3.6, 5.8)
    starts = _train(rng, n / rate, 1 / syllable, 0.18)
    spoken = [g % 7 != 5 for g in range(len(starts))]  # a breath after every few syllables
    vowels = _VOWELS[rng.integers(0, len(_VOWELS), len(starts))] * tract
    level, hiss = np.zeros(n), np.zeros(n)
    for start, speaks, end in zip(starts, spoken, [*starts[1:], n / rate], strict=True):
        a, b = int(start * rate), min(n, int(end * rate))
        if not speaks or b - a < 16:
            continue
        onset = int((b - a) * rng.uniform(0.1, 0.3)) if rng.random() < 0.6 else 0
        level[a + onset : b] = rng.uniform(0.5, 1.0) * _arch(b - a - onset, 0.2, 0.45)
        if onset > 8:
            hiss[a : a + onset] = rng.uniform(0.2, 0.7) * _arch(onset, rng.uniform(0.05, 0.5), 0.3)
    t = np.arange(n) / rate
    # Intonation: declination over the phrase, an accent here and there, and the larynx's own jitter.
    pitch = voice * 2 ** (-0.12 * t + 0.12 * _drift(rng, n, rate, 3.0) + 0.008 * _drift(rng, n, rate, 40.0))
    glottis = _tone(pitch, _tilt(90, rng.uniform(9, 12)), n, rate)
    aspirated = glottis / glottis.std() + rng.uniform(0.01, 0.05) * rng.standard_normal(n)
    middles = starts + 0.5 * syllable
    widths = np.array([80.0, 110.0, 170.0, 250.0])

    def tract_gain(f: Wave, at: Wave) -> Wave:
        centres = np.array(
            [np.interp(at, middles, vowels[:, k]) for k in range(3)] + [np.full(len(at), 3500.0 * tract)]
        )
        # Radiation at the lips: the source loses 6 dB an octave less.
        return _formants(f, centres, widths, [1.0, 0.8, 0.5, 0.3]) * (f / 500 + 0.1)

    voiced = _morph(aspirated * level, rate, tract_gain)
    sibilant = _spread(rng, 4000, 6500)
    fricative = _noise(rng, n, rate, [(800, -35), (sibilant / 2, -14), (sibilant, 0), (sibilant * 1.7, -6)]) * hiss
    return voiced / voiced.std() + 1.2 * fricative


@_sound(EVENTS, "Typing")
def _typing(rng: Generator, rate: int, n: int) -> Wave:
    """Keys go down with a click and come up with a fainter one, in bursts; now and then the deeper space bar."""
    size = _length(0.06, rate)
    case = rng.uniform(350, 1100, 3)
    spark = _spread(rng, 2300, 5000)
    sharp = rng.uniform(0.008, 0.02)

    def key(weight: float, depth: float) -> Wave:
        click = _noise(rng, size, rate, [(500, -16), (spark * 0.6, -4), (spark, 0), (11000, -10), (15000, -18)])
        body = _modes(case * depth * rng.uniform(0.9, 1.1), rng.uniform(0.02, 0.05), 1.0, size, rate)
        return weight * (0.8 * click * _decay(size, rate, sharp * rng.uniform(0.8, 1.4), 0.0004) + 0.3 * body)

    downs = _train(rng, n / rate, _spread(rng, 5.5, 10.0), 0.45)
    downs = downs[rng.random(len(downs)) > 0.12]  # the fingers hesitate
    space = rng.random(len(downs)) < 0.15
    ups = downs + rng.uniform(0.05, 0.11, len(downs))
    line = _scatter(n, rate, downs, lambda g: key(rng.uniform(0.6, 1.0), 0.55 if space[g] else 1.0))
    return line + _scatter(n, rate, ups, lambda g: key(rng.uniform(0.15, 0.4), 1.2))


@_sound(EVENTS, "VacuumCleaner")
def _vacuum_cleaner(rng: Generator, rate: int, n: int) -> Wave:
    """A big motor that takes a second to reach speed, a strong howl, and suction whose colour moves with the nozzle."""
    speed, loud = _spin(rng, n, rate, rng.uniform(0.6, 1.4), rng.choice([0.0, rng.uniform(0.4, 0.8)]))
    pitch = _spread(rng, 210, 380) * speed
    heights = _tilt(30, rng.uniform(4, 7)) * rng.uniform(0.2, 1, 30)
    heights[int(rng.integers(4, 8))] += rng.uniform(0.4, 0.9)  # the impeller's blades: one harmonic howls
    motor = _tone(pitch, heights, n, rate, rng)
    air = _noise(rng, n, rate, _wobbly(rng, [(60, -12), (250, -2), (700, 0), (1600, -5), (4000, -15), (12000, -34)]))
    nozzle = _follow(_spread(rng, 500, 1000) * 2 ** (0.35 * _drift(rng, n, rate, 1.3)), rate)
    suction = _morph(air, rate, lambda f, at: 0.5 + _formants(f, nozzle(at)[None], [350], [2.0]))
    return loud * (rng.uniform(0.6, 1.0) * motor / motor.std() + suction / suction.std())


# --- what nobody asks for -------------------------------------------------------------------------------------


@_sound(INTERFERENCE, "Rain")
def _rain(rng: Generator, rate: int, n: int) -> Wave:
    """Drops too many to count under a wide hiss."""
    hiss = _noise(rng, n, rate, _wobbly(rng, [(100, -18), (1000, -5), (4000, 0), (9000, -3), (15000, -9)]))
    drops = _bubbles(rng, n, rate, _spread(rng, 60, 220), 1500, 9000)
    return hiss * (1 + 0.12 * _drift(rng, n, rate, 2.0)) + rng.uniform(0.5, 1.5) * drops / drops.std()


@_sound(INTERFERENCE, "Wind")
def _wind(rng: Generator, rate: int, n: int) -> Wave:
    """Gusts: rumble, and a whistle around an edge whose pitch follows the strength (Strouhal)."""
    gust = np.exp(0.5 * _drift(rng, n, rate, 1.2))
    whistle = _follow(_spread(rng, 300, 700) * gust, rate)
    rumble = _noise(rng, n, rate, _wobbly(rng, [(30, 0), (120, -4), (500, -18), (3000, -40), (10000, -65)]))
    edge = _morph(
        _noise(rng, n, rate, [(100, -20), (500, 0), (3000, -10)]),
        rate,
        lambda f, at: _formants(f, whistle(at)[None], [60], [1.0]),
    )
    return (rumble + rng.uniform(0.3, 1.0) * edge / edge.std()) * gust


@_sound(INTERFERENCE, "Engine")
def _engine(rng: Generator, rate: int, n: int) -> Wave:
    """Firing pulses, not one like the other, through the resonances of an exhaust; the revs wander."""
    revs = _spread(rng, 22, 60) * (1 + 0.2 * _drift(rng, n, rate, 0.8))
    pulses = _tone(revs, _tilt(100, 1.5), n, rate) + 0.5 * _tone(revs / 4, rng.uniform(0, 1, 40), n, rate, rng)
    exhaust = _spread(rng, 90, 170) * np.array([[1.0], [2.1], [3.3], [6.0]])
    boom = _morph(
        pulses, rate, lambda f, at: _formants(f, exhaust * np.ones_like(at), [60, 90, 150, 400], [1, 0.7, 0.5, 0.3])
    )
    rattle = _noise(rng, n, rate, [(100, -12), (900, 0), (3000, -8), (9000, -22)]) * np.maximum(
        0, pulses / pulses.max()
    )
    return boom / boom.std() + rng.uniform(0.5, 1.5) * rattle


@_sound(INTERFERENCE, "DogBark")
def _dog_bark(rng: Generator, rate: int, n: int) -> Wave:
    """Barks in bouts: a rough voice that rises and falls within a fifth of a second."""
    voice, throat = _spread(rng, 250, 650), rng.uniform(0.8, 1.4)

    def bark(_: int) -> Wave:
        size = _length(rng.uniform(0.13, 0.24), rate)
        glide = 1 + 0.5 * np.sin(np.pi * np.linspace(0, 1, size) ** 0.7)
        rough = _tone(voice * glide * (1 + 0.03 * _drift(rng, size, rate, 90)), _tilt(30, 3), size, rate)
        source = rough / rough.std() + 0.5 * rng.standard_normal(size)
        centres = np.array([[800.0], [1700.0], [3100.0]]) * throat
        shaped = _morph(
            source, rate, lambda f, at: 0.1 + _formants(f, centres * np.ones_like(at), [300, 500, 700], [1, 0.7, 0.3])
        )
        return rng.uniform(0.6, 1.0) * shaped * _arch(size, 0.12, 0.5)

    return _scatter(n, rate, _train(rng, n / rate, rng.uniform(1.6, 3.2), 0.3), bark)


@_sound(INTERFERENCE, "Birds")
def _birds(rng: Generator, rate: int, n: int) -> Wave:
    """Two or three birds, each repeating its own short whistled motif."""

    def bird() -> Wave:
        size = _length(rng.uniform(0.05, 0.14), rate)
        centre, x = _spread(rng, 2600, 5600), np.linspace(0, 1, size)
        bends = rng.uniform(-0.3, 0.3, (3, 1)) * x
        bends += rng.uniform(0, 0.08, (3, 1)) * np.sin(2 * np.pi * rng.uniform(1, 5, (3, 1)) * x)
        motif = [_tone(centre * (1 + bend), [1.0, 0.08], size, rate) * _arch(size, 0.3, 0.4) for bend in bends]
        songs = _train(rng, n / rate, rng.uniform(0.8, 1.6), 0.3, start=rng.uniform(0.0, 0.4))
        times = (songs[:, None] + np.arange(4) * rng.uniform(0.08, 0.16)).ravel()
        return rng.uniform(0.3, 1.0) * _scatter(n, rate, times, lambda g: motif[g % 3])

    return np.sum([bird() for _ in range(int(rng.integers(2, 4)))], axis=0)


@_sound(INTERFERENCE, "Thunder")
def _thunder(rng: Generator, rate: int, n: int) -> Wave:
    """A crack, then rumble that rolls away and darkens."""
    t = np.arange(n) / rate
    roll = np.exp(0.7 * _drift(rng, n, rate, 4.0) - t * rng.uniform(0.6, 1.5))
    rumble = _noise(rng, n, rate, _wobbly(rng, [(25, -3), (60, 0), (160, -8), (600, -26), (4000, -55)]))
    crack = _noise(rng, n, rate, [(60, -6), (300, 0), (1500, -6), (8000, -25)]) * _decay(
        n, rate, rng.uniform(0.5, 1.2), 0.01
    )
    crackle = np.maximum(0, 1 + 0.9 * _drift(rng, n, rate, 30.0))
    return rumble * roll + rng.uniform(0.3, 1.2) * crack * crackle


@_sound(INTERFERENCE, "Siren")
def _siren(rng: Generator, rate: int, n: int) -> Wave:
    """A wail that sweeps, or two tones in turn."""
    low, high, swing = _spread(rng, 420, 650), _spread(rng, 800, 1500), _spread(rng, 0.35, 3.0)
    phase = np.arange(n) / rate * swing + rng.random()
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    shape = sweep if rng.random() < 0.6 else np.clip(20 * (sweep - 0.5), 0, 1)
    return _tone(low * (high / low) ** shape, _tilt(20, rng.uniform(5, 9)), n, rate, rng)


@_sound(INTERFERENCE, "Crickets")
def _crickets(rng: Generator, rate: int, n: int) -> Wave:
    """Chirps of a few wing strokes near one high pitch, several insects out of step."""

    def insect() -> Wave:
        size, strokes = _length(rng.uniform(0.012, 0.02), rate), int(rng.integers(3, 6))
        stroke = _tone(_spread(rng, 4000, 5600), [1.0, 0.05], size, rate) * _arch(size, 0.4, 0.4)
        chirps = _train(rng, n / rate, rng.uniform(1.8, 3.2), 0.08, start=rng.uniform(0.0, 0.3))
        times = (chirps[:, None] + np.arange(strokes) * rng.uniform(0.022, 0.032)).ravel()
        return rng.uniform(0.3, 1.0) * _scatter(n, rate, times, lambda g: stroke)

    field = _noise(rng, n, rate, [(200, -10), (3000, 0), (9000, -10)])
    return np.sum([insect() for _ in range(int(rng.integers(2, 5)))], axis=0) + 0.01 * field
