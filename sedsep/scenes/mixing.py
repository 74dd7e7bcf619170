"""Playing the sounds of a scene in its room, and adding them up: all the arithmetic of a scene.

A scene is cut into blocks no shorter than a response, and transforms are of two blocks. They go

- there: of each block of each source, and of each response. A block with an even number lies in the first half of its
  transform, one with an odd number in the second: the sum of two spectra is that of two blocks that follow one another.
- and back: a pair of blocks, times a response, gives what is heard during the later one, because no response reaches
  back further than to the one before (overlap-save). Products are added up as spectra: however many sounds there are, a
  block is transformed back once for each microphone.

In between come the levels. The energy of a reverberant sound, tail included, is the sum over all lags of its source's
autocorrelation times its response's. Both follow from the same spectra, the source's from each block with the pair that
it begins.

On one core torch's transforms, which are MKL's on most machines, took 0.6 of the time of scipy's. They get one thread,
for the last bits depend on the number of threads, and memory of torch's own, for they depend on its alignment.

Axes: K slots, M microphones, N taps, L samples of the scene, F of a source, B of a block, S = B + 1 bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from sedsep.devices import one_thread
from sedsep.types import FloatArray, Scene

Spectra = NDArray[np.complex64]

MOST_BLOCKS = 16
"""Of a scene: where responses are short, longer blocks cost no more."""

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
        first: number of the block it begins in.
        source: spectra of its blocks [n, S].
        responses: spectra of its response and, where it has a target, the target's [M or M + 1, S].
    """

    sound: Sound
    first: int
    source: Spectra
    responses: Spectra

    def pair(self, block: int) -> Spectra:
        """The spectrum of a block of the scene and the one before [S]."""
        index = block - self.first
        return np.asarray(self.source[max(0, index - 1) : index + 1].sum(axis=0))


def mix(parts: SceneParts) -> Scene:
    """Play the sounds of a scene in its room; the background's array becomes the mixture's."""
    mixture = parts.background
    length = mixture.shape[1]
    targets = np.zeros((len(parts.labels), length), np.float32)
    if parts.sounds:
        taps = max(sound.response.shape[1] for sound in parts.sounds)
        step = next_fast_len(max(taps, math.ceil(length / MOST_BLOCKS)), real=True)
        with one_thread():
            _add(_play(parts.sounds, parts.ref_channel, step), mixture, targets, step)
    return Scene(mixture, targets, parts.labels, parts.spans, parts.name)


def _play(sounds: Sequence[Sound], ref_channel: int, step: int) -> list[Played]:
    """Sounds at their levels, transformed there."""
    firsts = [sound.onset // step for sound in sounds]
    rows: list[int] = []
    for sound, first in zip(sounds, firsts, strict=True):
        blocks = math.ceil((sound.onset + len(sound.source)) / step) - first
        rows += [blocks, len(sound.response) + (sound.slot is not None)]
    ends = np.cumsum(rows)[:-1]
    signals = torch.zeros(sum(rows), 2 * step)
    laid = np.split(signals.numpy(), ends)
    for sound, first, source, responses in zip(sounds, firsts, laid[::2], laid[1::2], strict=True):
        for block, row in enumerate(source, first):
            start = block * step - sound.onset
            samples = sound.source[max(0, start) : start + step]
            row[_half(block, step)][max(0, -start) :][: len(samples)] = samples
        channels, taps = sound.response.shape
        responses[:channels, :taps] = sound.response
        if sound.slot is not None:
            # The target is played through one microphone's response, zero but for its direct path.
            part = slice(*sound.direct)
            responses[channels, part] = sound.response[ref_channel, part]
    spectra = np.split(torch.fft.rfft(signals).numpy(), ends)
    played = [Played(*row) for row in zip(sounds, firsts, spectra[::2], spectra[1::2], strict=True)]
    for playing, mean in zip(played, _powers(played), strict=True):
        scaled = playing.responses.view(np.float32)  # as such: numpy would take the gain for a complex number
        scaled *= gain(mean, playing.sound.level_db)
    return played


def _powers(played: Sequence[Played]) -> list[float]:
    """Mean powers over all samples and microphones."""
    spectra = torch.empty(2 * len(played), played[0].source.shape[1], dtype=torch.complex64)
    rows = spectra.numpy()
    for source, response, playing in zip(rows[::2], rows[1::2], played, strict=True):
        later = enumerate(playing.source, playing.first + 1)
        _products(((playing.pair(number), np.conj(block)) for number, block in later), source)
        channels = len(playing.sound.response)
        _products(((row, np.conj(row)) for row in playing.responses[:channels]), response)
    lags = torch.fft.irfft(spectra).numpy()
    powers = []
    for source, response, playing in zip(lags[::2], lags[1::2], played, strict=True):
        channels, taps = playing.sound.response.shape
        unrelated = float(source[0]) * float(response[0])
        energy = 2 * inner(source[:taps], response[:taps]) - unrelated
        if energy < CANCELLED * unrelated:
            energy = _energy(playing)
        powers.append(energy / (channels * (playing.sound.offset - playing.sound.onset)))
    return powers


def _energy(playing: Played) -> float:
    """The energy of a sound at all microphones, added up sample by sample."""
    channels, step = len(playing.sound.response), playing.source.shape[1] - 1
    spectra = torch.empty(channels, step + 1, dtype=torch.complex64)
    energy = 0.0
    for block in range(playing.first, playing.first + len(playing.source) + 1):
        np.multiply(playing.pair(block), playing.responses[:channels], out=spectra.numpy())
        energy += sum(inner(track, track) for track in torch.fft.irfft(spectra).numpy()[:, _half(block, step)])
    return energy


def _add(played: Sequence[Played], mixture: FloatArray, targets: FloatArray, step: int) -> None:
    """Add sounds to the mixture [M, L], and their targets to silence [K, L]."""
    channels, length = mixture.shape
    blocks = math.ceil(length / step)
    most = blocks * channels + sum(len(playing.source) + 1 for playing in played if playing.sound.slot is not None)
    spectra = torch.empty(most, step + 1, dtype=torch.complex64)
    places: list[tuple[FloatArray, slice]] = []  # parts of tracks, and where they lie in their transforms

    def transform(track: FloatArray, block: int, start: int, stop: int, terms: list[tuple[Spectra, Spectra]]) -> None:
        """Have a sum of products transformed back, to be added to a track between two samples."""
        _products(terms, spectra[len(places)].numpy())
        start = max(start, block * step)
        part = track[start : min(stop, (block + 1) * step)]
        first = start - block * step + _half(block, step).start
        places.append((part, slice(first, first + len(part))))

    for block in range(blocks):
        heard = [(p, p.pair(block)) for p in played if p.first <= block < p.sound.offset / step]
        if not heard:
            continue
        start, stop = min(p.sound.onset for p, _ in heard), max(p.sound.offset for p, _ in heard)
        for microphone, track in enumerate(mixture):
            transform(track, block, start, stop, [(pair, p.responses[microphone]) for p, pair in heard])
        for p, pair in heard:
            if p.sound.slot is not None and block < p.sound.target_offset / step:
                track, terms = targets[p.sound.slot], [(pair, p.responses[channels])]
                transform(track, block, p.sound.onset + p.sound.direct[0], p.sound.target_offset, terms)

    signals = torch.fft.irfft(spectra[: len(places)]).numpy()
    for (part, where), signal in zip(places, signals, strict=True):
        np.add(part, signal[where], out=part)


def _half(block: int, step: int) -> slice:
    """Where a block lies in its transform."""
    return slice(block % 2 * step, (block % 2 + 1) * step)


def _products(terms: Iterable[tuple[Spectra, Spectra]], total: Spectra) -> None:
    """The sum of products [S], written to `total`."""
    for number, (one, other) in enumerate(terms):
        if number:
            total += one * other
        else:
            np.multiply(one, other, out=total)


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
