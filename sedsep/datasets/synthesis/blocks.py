"""What parametric sounds are built of: noises, tones, struck bodies, envelopes, rhythms and resonances on a time line.

The models are textbook ones: struck bodies are sums of decaying modes, motors are wavetables under shaped noise,
voices are glottal pulses through moving formants (source and filter), bubbles are Minnaert resonators whose pitch rises
as they reach the surface.

Axes: n samples of a line, H harmonics, modes or resonances, G events on a line (hits, bubbles, syllables), F bins,
T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

from sedsep.types import FloatArray

Wave = NDArray[np.float64]
Curve = Sequence[tuple[float, float]]
"""A spectrum as (Hz, dB) points, with straight lines between them on a log frequency scale."""
Piece = Callable[[int], Wave]
"""Gives what sounds at the g-th time of a rhythm."""

PEAK = 0.9
TOP = 0.45
"""Nothing is synthesised above this share of the sample rate."""


def gain(freqs: ArrayLike, curve: Curve) -> Wave:
    """Amplitudes of a curve at `freqs` (Hz)."""
    points, levels = zip(*curve, strict=True)
    decibels = np.interp(np.log(np.maximum(freqs, 10.0)), np.log(points), levels)
    return np.asarray(10 ** (decibels / 20), dtype=float)


def tilt(count: int, slope: float) -> Wave:
    """Amplitudes [count] of harmonics that fall by `slope` dB an octave."""
    return np.asarray(np.arange(1, count + 1) ** (slope / -6.02))


def formants(freqs: Wave, centres: Wave, widths: ArrayLike, heights: ArrayLike) -> Wave:
    """Amplitudes [F, T] of parallel resonances, for `freqs` [F, 1], centres [H, T], widths and heights [H]."""
    width, height = (np.asarray(a, dtype=float)[:, None, None] for a in (widths, heights))
    return np.asarray((height / np.sqrt(1 + ((freqs[None] - centres[:, None, :]) / (width / 2)) ** 2)).sum(axis=0))


@dataclass(frozen=True)
class Line:
    """A stretch of time to fill with sound.

    Attributes:
        rng: decides everything that is drawn.
        rate: samples a second.
        n: samples.
    """

    rng: Generator
    rate: int
    n: int

    def piece(self, seconds: float) -> Line:
        """A shorter line with the same generator."""
        return Line(self.rng, self.rate, max(8, round(seconds * self.rate)))

    @property
    def seconds(self) -> float:
        return self.n / self.rate

    @property
    def times(self) -> Wave:
        """Of the samples, seconds [n]."""
        return np.arange(self.n) / self.rate

    # Draws.

    def spread(self, low: float, high: float) -> float:
        """A frequency, rate or time between `low` and `high`, even on a log scale."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def wobbly(self, curve: Curve, spread: float = 3.0, bend: float = 1.25) -> Curve:
        """The curve with every corner moved by up to `spread` dB and a factor of `bend` in frequency."""
        return sorted(
            (f * self.spread(1 / bend, bend), level + self.rng.uniform(-spread, spread)) for f, level in curve
        )

    def drift(self, speed: float) -> Wave:
        """A smooth random curve [n] of about unit variance that wanders `speed` times a second."""
        # Straight lines between knots, then a moving average over one stretch: no overshoot, and cheaper than a spline.
        width = max(1, int(self.rate / speed))
        knots = self.rng.standard_normal(self.n // width + 4)
        line = np.interp(np.arange(self.n + width), np.arange(len(knots)) * width, knots)
        total = np.cumsum(np.insert(line, 0, 0.0))
        return (total[width:] - total[:-width])[: self.n] / width * 1.3

    def rhythm(self, per_second: float, jitter: float, start: float = 0.02) -> Wave:
        """Times [G] in seconds with relative `jitter` of each interval (0: a clock; above 0.5: quite irregular)."""
        count = int(self.seconds * per_second * 2) + 2
        steps = np.maximum(0.15, 1 + jitter * self.rng.standard_normal(count)) / per_second
        times = start + np.concatenate([[0.0], np.cumsum(steps)])
        return times[times < max(self.seconds - 0.05, start + 1e-6)]

    # Envelopes.

    def decay(self, time: float, attack: float = 0.001) -> Wave:
        """An envelope [n] that rises in `attack` and falls by 60 dB in `time` (s)."""
        return np.minimum(1.0, self.times / attack) * np.exp(-6.91 * self.times / time)

    def arch(self, attack: float, release: float) -> Wave:
        """An envelope [n] with smooth flanks that take the shares `attack` and `release` of it."""
        x = np.linspace(0.0, 1.0, self.n)
        rise = np.clip(np.minimum(x / attack, (1 - x) / release), 0.0, 1.0)
        return np.sin(0.5 * np.pi * rise) ** 2

    def motor(self, start_time: float, stop_time: float, slip: float = 0.006) -> tuple[Wave, Wave]:
        """Speed and loudness [n] of a motor switched on, left alone and, unless `stop_time` is 0, switched off."""
        up = 1 - np.exp(-4 * self.times / start_time)
        down = np.ones(self.n)
        if stop_time:
            down = np.exp(-3 * np.maximum(0, self.times - (self.seconds - stop_time)) / stop_time)
        speed = (0.35 + 0.65 * up) * (0.3 + 0.7 * down) * (1 + slip * self.drift(3.0))
        return speed, up * down**1.5

    # Sources.

    def noise(self, curve: Curve) -> Wave:
        """Gaussian noise [n] of unit RMS whose spectrum follows a curve."""
        # A length that transforms quickly: a prime number of samples would take many times as long.
        size = fft.next_fast_len(self.n, real=True)
        spectrum = fft.rfft(self.rng.standard_normal(size)) * gain(fft.rfftfreq(size, 1 / self.rate), curve)
        wave = fft.irfft(spectrum, size)[: self.n]
        return wave / (wave.std() + 1e-12)

    def tone(self, pitch: ArrayLike, amplitudes: ArrayLike, pulse: bool = False) -> Wave:
        """A periodic wave [n] with pitch (Hz; a number or [n]) and harmonic amplitudes [H], read from a wavetable.

        Harmonics that would pass `TOP` are left out. The phases are random, or zero for a `pulse`.
        """
        pitches = np.broadcast_to(np.asarray(pitch, dtype=float), (self.n,))
        heights = np.asarray(amplitudes, dtype=float)[: max(1, int(TOP * self.rate / pitches.max()))]
        phases = np.zeros(len(heights)) if pulse else self.rng.uniform(0, 2 * np.pi, len(heights))
        spectrum = np.zeros(2049, dtype=complex)
        spectrum[1 : len(heights) + 1] = (heights * np.exp(1j * phases))[:2048]
        table = np.fft.irfft(spectrum) * 2048
        turns = np.cumsum(pitches) / self.rate
        return np.interp(turns % 1.0 * 4096, np.arange(4097), np.append(table, table[0]))

    def struck(self, freqs: ArrayLike, decays: ArrayLike, heights: ArrayLike) -> Wave:
        """A struck body [n]: modes at `freqs` (Hz) that fall by 60 dB in `decays` (s) [H], all starting as sines."""
        f, decay, height = np.broadcast_arrays(*(np.asarray(a, dtype=float) for a in (freqs, decays, heights)))
        keep = f < TOP * self.rate
        if not keep.any():
            return np.zeros(self.n)
        rotation = (2j * np.pi * f[keep] - 6.91 / decay[keep])[:, None] / self.rate
        # exp(r (a + b)) = exp(r a) exp(r b): two short tables stand for n exponentials of each mode.
        block = 256
        coarse = height[keep, None] * np.exp(rotation * np.arange(0, self.n, block))
        fine = np.exp(rotation * np.arange(block))
        return np.einsum("ha,hb->ab", coarse, fine).imag.ravel()[: self.n]

    def bubbles(self, per_second: float, low: float, high: float) -> Wave:
        """Bubbles [n]: damped sines whose pitch rises, radii log-uniform between the pitches `low` and `high` (Hz).

        After van den Doel, Physically based models for liquid sounds, ACM TAP 2005: damping d = 0.13 f + 0.0072 f^1.5,
        pitch f (1 + slope t).
        """

        def bubble(_: int) -> Wave:
            f = self.spread(low, high)
            damping = 0.13 * f + 0.0072 * f**1.5
            t = self.piece(min(0.12, 5 / damping)).times
            rise = self.rng.uniform(0.05, 0.3) * damping * t
            loud = self.rng.uniform(0.1, 1.0) ** 2 * (low / f) ** 0.5
            return loud * np.sin(2 * np.pi * f * t * (1 + 0.5 * rise)) * np.exp(-damping * t)

        count = max(1, int(per_second * self.n / self.rate))
        return self.scatter(np.sort(self.rng.uniform(0, self.seconds, count)), bubble)

    # Arrangements.

    def scatter(self, times: ArrayLike, piece: Piece | Wave) -> Wave:
        """The line [n] with a piece added at each of `times` (s, [G]), cut at the end."""
        line = np.zeros(self.n)
        for g, time in enumerate(np.atleast_1d(times)):
            start = int(time * self.rate)
            if 0 <= start < self.n:
                part = (piece(g) if callable(piece) else piece)[: self.n - start]
                line[start : start + len(part)] += part
        return line

    def filtered(self, wave: Wave, amplitudes: Callable[[Wave, Wave], Wave]) -> Wave:
        """`wave` [n] through a filter that moves: `amplitudes(freqs [F, 1] Hz, times [T] s) -> [F, T]`."""
        window = self.piece(0.02).n
        grid = {"nperseg": window, "noverlap": window - window // 4}
        freqs, times, frames = signal.stft(wave, self.rate, **grid)
        _, out = signal.istft(frames * amplitudes(freqs[:, None], times), self.rate, **grid)
        return np.resize(out, len(wave))

    def resonant(
        self, wave: Wave, centres: Wave, widths: ArrayLike, heights: ArrayLike, dry: float = 0.0, wet: float = 1.0
    ) -> Wave:
        """`wave` [n] through parallel resonances, whose centres move [H, n] or stand still [H, 1], and beside them."""

        def amplitudes(freqs: Wave, times: Wave) -> Wave:
            samples = np.clip((times * self.rate).astype(int), 0, centres.shape[1] - 1)
            return dry + wet * formants(freqs, centres[:, samples], widths, heights)

        return self.filtered(wave, amplitudes)


def recording(
    model: Callable[[Line, Generator], Wave], rng: Generator, sample_rate: int, duration: float
) -> FloatArray:
    """What a file holds of a model's sound: float32 [n] through some microphone, with 3 ms fades, no DC, a set peak."""
    line = Line(rng, sample_rate, round(duration * sample_rate))
    wave = model(line, rng)
    microphone = [(hz, rng.uniform(-4, 4)) for hz in (60, 250, 1000, 4000, 12000)]
    size = fft.next_fast_len(line.n, real=True)
    wave = fft.irfft(fft.rfft(wave, size) * gain(fft.rfftfreq(size, 1 / sample_rate), microphone), size)[: line.n]
    wave = wave - wave.mean()
    fade = min(line.n // 2, max(1, round(0.003 * sample_rate)))
    ramp = np.linspace(0.0, 1.0, fade)
    wave[:fade] *= ramp
    wave[line.n - fade :] *= ramp[::-1]
    return (wave * (PEAK / np.abs(wave).max())).astype(np.float32)
