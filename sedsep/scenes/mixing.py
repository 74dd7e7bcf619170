"""Playing the sounds of a scene in its room, and adding them up: all the arithmetic of a scene.

Scenes, sources and responses are cut into blocks of one length, and transforms are of two: a block, then zeros. They go

- there: of each block of each source and of each response, and
- back: the product of a source's block and a response's is what is heard in two blocks of the scene. All products that
  begin with the same block are added up as spectra: however many sounds there are, and however long they are heard, a
  block of the scene is transformed back once for each microphone. Targets go back on their own: the response of one is
  as short as a direct path and takes one block.

In between come the levels. The energy of a reverberant sound, tail included, is the sum over all lags of its source's
autocorrelation times its response's. Both follow from the same spectra, so that no tail is transformed back.

On one core torch's transforms, which are MKL's on most machines, took 0.6 of the time of scipy's. They get one thread,
for the last bits depend on the number of threads, and memory of torch's own, for they depend on its alignment.

Axes: K slots, M microphones, N taps, L samples of the scene, F of a source, B of a block, S = B + 1 bins, Q blocks
of a source, P of a response, D of a target's response, T of a scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import oaconvolve

from sedsep.devices import one_thread
from sedsep.types import FloatArray, Scene

Spectra = NDArray[np.complex64]

MOST_BLOCKS = 16
"""Of a scene: where responses are short, longer blocks cost no more."""

LONGEST = 90_000
"""Samples of a block. With responses of 5.5 s, whole ones (blocks of 175 000) took 1.2 of the time of halves; thirds
took as long as halves, for transforms become cheaper and products more."""

BINS = 8192
"""Of spectra that are multiplied at a time: few enough for sums and products to stay in the cache."""

CANCELLED = 0.01
"""Of the energy that a sound would have if its source were noise: where it has less, since the room swallows what the
source consists of, terms cancel each other, and its energy is added up from what is heard."""

STRETCH = 8192
"""Samples whose products are added up in float32, before the sums are added up in float64; more would be shared among
the threads of a BLAS library, and the sum would depend on their number."""


@dataclass(frozen=True)
class Sound:
    """A source and the response it is played through.

    Attributes:
        source: mono, peak 1 (or all zeros), float32 [F].
        response: float32 [M, N].
        onset: sample of the scene.
        level_db: mean power of the reverberant sound over F + N - 1 samples and all microphones, dB re full scale.
        slot: of its target; `None` for interference.
        direct: first and last-plus-one tap of the target's response; (0, 0) for interference.
    """

    source: FloatArray
    response: FloatArray
    onset: int
    level_db: float
    slot: int | None = None
    direct: tuple[int, int] = (0, 0)

    @property
    def offset(self) -> int:
        """The sample after the last one of its reverberation."""
        return self.onset + len(self.source) + self.response.shape[1] - 1

    @property
    def target_offset(self) -> int:
        """The sample after the last one of its target."""
        return self.onset + len(self.source) + self.direct[1] - 1


@dataclass(frozen=True)
class SceneParts:
    """What a scene is mixed from.

    Attributes:
        name: the scene's.
        labels: as in `Scene`.
        spans: as in `Scene`.
        background: at its level, float32 [M, L]; zeros where there is none.
        sounds: the events with targets, then the interference.
        ref_channel: the microphone of the targets.
    """

    name: str
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    background: FloatArray
    sounds: tuple[Sound, ...]
    ref_channel: int

    @property
    def silent(self) -> list[str]:
        """The labels whose source holds nothing but zeros, as a silent stretch of a file gives."""
        return [self.labels[sound.slot] for sound in self.sounds if sound.slot is not None and not sound.source.any()]


@dataclass(frozen=True)
class Played:
    """A sound between the transforms.

    Attributes:
        sound: the sound.
        first: number of the block of the scene that its first block lies in.
        source: spectra of its blocks [Q, S].
        response: spectra of its response's blocks [P, M, S].
        direct: likewise of the target's response, from the first tap that counts on [D, 1, S]; D = 0 where there is no
            target.
    """

    sound: Sound
    first: int
    source: Spectra
    response: Spectra
    direct: Spectra


def mix(parts: SceneParts) -> Scene:
    """Play the sounds of a scene in its room; the background's array becomes the mixture's."""
    mixture = parts.background
    length = mixture.shape[1]
    targets = np.zeros((len(parts.labels), length), np.float32)
    if parts.sounds:
        step = block_length(max(sound.response.shape[1] for sound in parts.sounds), length)
        with one_thread():
            played = list(_transform(parts.sounds, parts.ref_channel, step))
            _set_levels(played, step)
            _add(played, mixture, targets, step)
    return Scene(mixture, targets, parts.labels, parts.spans, parts.name)


def block_length(taps: int, length: int) -> int:
    """Samples of a block where the longest response has so many taps and the scene so many samples."""
    part = math.ceil(taps / math.ceil(taps / LONGEST))
    return int(next_fast_len(max(part, min(LONGEST, math.ceil(length / MOST_BLOCKS))), real=True))


def _transform(sounds: Sequence[Sound], ref_channel: int, step: int) -> Iterator[Played]:
    """Cut sounds into blocks and transform them there."""
    signals = torch.empty(0, 2 * step)
    for sound in sounds:
        # A target is played through one microphone's response, as much of it as belongs to its direct path.
        taps = sound.response[[] if sound.slot is None else [ref_channel], slice(*sound.direct)]
        cuts = [(sound.source[None], sound.onset % step), (sound.response, 0), (taps, 0)]
        shapes = [(math.ceil((before + rows.shape[1]) / step), len(rows)) for rows, before in cuts]
        ends = np.cumsum([blocks * rows for blocks, rows in shapes])
        if len(signals) < ends[-1]:
            signals = torch.zeros(int(ends[-1]), 2 * step)  # the second halves stay so
        laid = np.split(signals.numpy()[:, :step], ends)
        for (rows, before), shape, blocks in zip(cuts, shapes, laid, strict=False):
            blocks[:] = 0
            for number, block in enumerate(blocks.reshape(*shape, step)):
                samples = rows[:, max(0, number * step - before) : (number + 1) * step - before]
                block[:, before if number == 0 else 0 :][:, : samples.shape[1]] = samples
        spectra = np.split(torch.fft.rfft(signals[: ends[-1]]).numpy(), ends[:-1])
        source, response, direct = (rows.reshape(*shape, step + 1) for rows, shape in zip(spectra, shapes, strict=True))
        yield Played(sound, sound.onset // step, source[:, 0], response, direct)


def _set_levels(played: Sequence[Played], step: int) -> None:
    """Bring sounds to their levels."""
    counts = [min(len(playing.source), len(playing.response)) for playing in played]
    spectra = torch.zeros(2 * sum(counts), step + 1, dtype=torch.complex64)
    ends = np.cumsum(np.repeat(counts, 2))[:-1]
    halves = np.split(spectra.numpy(), ends)
    for playing, source, response in zip(played, halves[::2], halves[1::2], strict=True):
        _correlate(playing.source[:, None], source)
        _correlate(playing.response, response)
    lags = np.split(torch.fft.irfft(spectra)[:, :step].numpy(), ends)
    for playing, source, response in zip(played, lags[::2], lags[1::2], strict=True):
        unrelated = float(source[0, 0]) * float(response[0, 0])
        energy = 2 * sum(map(inner, source, response)) - unrelated
        sound = playing.sound
        if energy < CANCELLED * unrelated:
            energy = float(np.square(oaconvolve(sound.source[None].astype(float), sound.response, axes=1)).sum())
        mean = energy / (len(sound.response) * (sound.offset - sound.onset))
        scaled = playing.source.view(np.float32)  # as such: numpy would take the gain for a complex number
        scaled *= gain(mean, sound.level_db)


def _correlate(blocks: Spectra, lags: Spectra) -> None:
    """Add the spectra of the autocorrelation of blocks [Q, R, S], summed over rows, to zeros [n, S]: the lags of one
    block after the other, each in the first half of its transform."""
    for start in range(0, blocks.shape[-1], BINS):
        rows, sums = blocks[..., start : start + BINS], lags[:, start : start + BINS]
        squares = np.square(rows.view(np.float32)).sum(axis=(0, 1))  # of real and imaginary parts
        sums.real[0] = squares[::2] + squares[1::2]
        for lag in range(1, min(len(lags) + 1, len(rows))):
            total = (rows[lag:] * np.conj(rows[:-lag])).sum(axis=(0, 1))
            # Lags before the block lie in the second half of the transform of the block after it.
            sums[lag - 1, ::2] += total[::2]
            sums[lag - 1, 1::2] -= total[1::2]
            if lag < len(lags):
                sums[lag] += total


def _add(played: Sequence[Played], mixture: FloatArray, targets: FloatArray, step: int) -> None:
    """Add sounds to the mixture [M, L], and their targets to silence [K, L]."""
    channels, length = mixture.shape
    blocks = math.ceil(length / step)
    with_target = [p for p in played if p.sound.slot is not None]
    rows = [blocks * channels, *[len(p.source) + len(p.direct) - 1 for p in with_target]]
    ends = np.cumsum(rows)[:-1]
    spectra = torch.zeros(sum(rows), step + 1, dtype=torch.complex64)
    wet, *dry = np.split(spectra.numpy(), ends)
    wet = wet.reshape(blocks, channels, -1)
    for start in range(0, step + 1, BINS):
        bins = slice(start, start + BINS)
        for p in played:
            _convolve(p.source[:, bins], p.response[..., bins], wet[p.first :, :, bins])
        for p, total in zip(with_target, dry, strict=True):
            _convolve(p.source[:, bins], p.direct[..., bins], total[:, None, bins])

    wet, *dry = np.split(torch.fft.irfft(spectra).numpy(), ends)
    start, stop = min(p.sound.onset for p in played), max(p.sound.offset for p in played)
    for number, block in enumerate(wet.reshape(blocks, channels, -1)):
        for signal, track in zip(block, mixture, strict=True):
            _overlap_add(signal, track, number * step, start, stop)
    for p, signals in zip(with_target, dry, strict=True):
        assert p.sound.slot is not None
        before, track = p.sound.direct[0], targets[p.sound.slot]
        for number, signal in enumerate(signals, p.first):
            _overlap_add(signal, track, number * step + before, p.sound.onset + before, p.sound.target_offset)


def _convolve(source: Spectra, response: Spectra, total: Spectra) -> None:
    """Add the products of blocks of a source [Q, S] and a response [P, M, S] to those of what is heard [T, M, S]."""
    for number, block in enumerate(source[: len(total)]):
        heard = total[number : number + len(response)]
        heard += block * response[: len(heard)]


def _overlap_add(signal: FloatArray, track: FloatArray, first: int, start: int, stop: int) -> None:
    """Add a signal to a track from sample `first` on, but only between two samples: elsewhere it is rounding errors."""
    start, stop = max(first, start), min(first + len(signal), stop, len(track))
    if start < stop:
        track[start:stop] += signal[start - first : stop - first]


def inner(one: FloatArray, other: FloatArray) -> float:
    """Inner product of two signals [L]; all but short stretches are added up in float64."""
    starts = range(0, one.size, STRETCH)
    return math.fsum(float(one[start : start + STRETCH] @ other[start : start + STRETCH]) for start in starts)


def power(signal: FloatArray) -> float:
    """Mean of the squares of an array."""
    flat = signal.reshape(-1)
    return inner(flat, flat) / flat.size


def gain(mean: float, level_db: float) -> np.float32:
    """The factor that brings a mean power to a level; 1 for silence."""
    return np.float32(10 ** (level_db / 20) / math.sqrt(mean)) if mean > 0 else np.float32(1)
