"""From a scene's description to its samples: the challenge's synthesis, written anew.

A scene is rendered in two steps: `Renderer.read` takes what it needs from the files, `mix` plays the sources in their
room. The second step also exists for whole batches on another device (`sedsep.scenes.device`).

The challenge's own synthesis has quirks. Where its scenes depend on one, ours has it too; the rest is mended:

    quirk of the challenge's synthesis                        here
    a negative direct path makes a later reflection count     the same; `direct_path=absolute` takes the true peak
    an event lasts until the last tap of its response         the same; `spans=dry` ends it with its target
    lengths are cut off after a product with rounding error   the same: up to one sample short
    a background shorter than the scene is stretched          played over and over; `short_background=stretch` as there
    a background with other channels is left out              an error
    only plain PCM backgrounds can be read                    whatever libsndfile reads
    the responses' sampling rate is ignored                   an error where it differs from the scenes'
    positions that coincide are taken for the same            drawn scenes know the measurement; files, the nearest one
    an all-zero source keeps its label                        drawn anew (`sedsep.scenes.dataset`)

Axes: K slots, M microphones, N taps, L samples of the scene, F samples of a source, R responses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft

from sedsep.errors import choice
from sedsep.scenes import audio
from sedsep.scenes.layout import Layout
from sedsep.scenes.problems import fit_problems, raise_first
from sedsep.scenes.rooms import Room, open_room
from sedsep.types import Event, FloatArray, Scene, SceneSpec

SPANS = ("wet", "dry")
DIRECT_PATHS = ("signed", "absolute")
SHORT_BACKGROUNDS = ("tile", "stretch")

TOGETHER = 4
"""Transforms of real float32 rows that scipy computes at the price of little more than one."""

STRETCH = 8192
"""Samples whose squares are added up in float32, before the sums are added up in float64; more would be shared among
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


class Renderer:
    """Renders scenes of one data set.

    Args:
        layout: where the files lie, and the rate and channels scenes have.
        spans: `wet` ends an event with its reverberation, as the challenge does; `dry` with its target.
        direct_path: `signed` takes the largest value of a response for its direct path, as the challenge does;
            `absolute` the largest magnitude.
        short_background: `tile` plays a background shorter than the scene over and over; `stretch` repeats each of
            its samples, as the challenge does.

    Raises:
        UserError: an unknown choice.
    """

    def __init__(
        self, layout: Layout, spans: str = "wet", direct_path: str = "signed", short_background: str = "tile"
    ) -> None:
        self.root = layout.root
        self.sample_rate = layout.sample_rate
        self.channels = layout.channels
        self.spans = choice(spans, SPANS, "data.rendering.spans")
        self.direct_path = choice(direct_path, DIRECT_PATHS, "data.rendering.direct_path")
        self.short_background = choice(short_background, SHORT_BACKGROUNDS, "data.rendering.short_background")

    def render(self, spec: SceneSpec) -> Scene:
        """Render a scene: the mixture at every microphone, the dry sources at the reference microphone.

        A source is played from its position in the room and scaled so that its reverberant signal, tail included, lies
        `snr` dB above `ref_db` in mean power over its span and all microphones. Nothing is normalised or clipped.

        Raises:
            FileError: a file is missing or damaged, or has another rate or channel count than the scenes.
            UserError: the scene does not fit the data set.
        """
        return self.mix(self.read(spec))

    def mix(self, parts: SceneParts) -> Scene:
        """Play the sounds of a scene in its room; the background's array becomes the mixture's."""
        mixture = parts.background
        channels, length = mixture.shape
        targets = np.zeros((len(parts.labels), length), np.float32)
        for sound in parts.sounds:
            responses = sound.response
            if sound.slot is not None:
                # The target is played through one microphone's response, zero but for its direct path.
                start, end = sound.direct
                direct = np.zeros((1, responses.shape[1]), np.float32)
                direct[0, start:end] = responses[parts.ref_channel, start:end]
                responses = np.concatenate([responses, direct])
            tracks = self.play(sound.source, responses)
            tracks *= _gain(tracks[:channels], sound.level_db)
            offset = max(sound.onset, min(sound.onset + tracks.shape[1], length))
            tracks = tracks[:, : offset - sound.onset]
            mixture[:, sound.onset : offset] += tracks[:channels]
            if sound.slot is not None:
                targets[sound.slot, sound.onset : offset] = tracks[channels]
        return Scene(mixture, targets, parts.labels, parts.spans, parts.name)

    def play(self, source: FloatArray, responses: FloatArray) -> FloatArray:
        """A source [F] as heard through each response [R, N]: [R, F + N - 1], up to a factor common to all."""
        return convolve(source, responses)

    def read(self, spec: SceneSpec) -> SceneParts:
        """Read the part of each file that a scene needs; raises what `render` does."""
        raise_first(fit_problems(spec, f"The scene {spec.name}", self.sample_rate, self.channels))
        room = open_room(self.root / spec.dirs.rooms / spec.room, self.sample_rate, self.channels)
        length = int(spec.duration * spec.sample_rate)
        background = np.zeros((self.channels, length), np.float32)
        for event in spec.background:
            background += self._read_background(spec, event, length).T
        spans = [(0, 0)] * len(spec.slots)
        sounds = []
        for event in spec.foreground:
            slot = spec.slots.index(str(event.label))
            sound = self._read_sound(spec, event, spec.dirs.foreground, room, slot)
            sounds.append(sound)
            taps = sound.response.shape[1] if self.spans == "wet" else sound.direct[1]
            spans[slot] = (sound.onset, min(sound.onset + len(sound.source) + taps - 1, length))
        sounds += [self._read_sound(spec, event, str(spec.dirs.interference), room) for event in spec.interference]
        return SceneParts(spec.name, spec.slots, tuple(spans), background, tuple(sounds), spec.ref_channel)

    def _read_sound(self, spec: SceneSpec, event: Event, folder: str, room: Room, slot: int | None = None) -> Sound:
        path = self.root / folder / event.source_file
        samples, rate = audio.read(path, event.source_time or 0.0, event.event_duration)
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
        source = audio.resample(mono, rate, self.sample_rate)[: int(event.event_duration * self.sample_rate)]
        peak = max(source.max(initial=0.0), -source.min(initial=0.0))
        if peak > 0:
            source = source / peak
        response = room.response_of(event)
        direct = (0, 0)
        if slot is not None:
            peaks = response[spec.ref_channel]
            if self.direct_path == "absolute":
                peaks = np.abs(peaks)
            direct = direct_path(peaks, spec.direct_path_ms, spec.sample_rate)
        onset = int(event.event_time * spec.sample_rate)
        return Sound(source, response, onset, spec.ref_db + event.snr, slot, direct)

    def _read_background(self, spec: SceneSpec, event: Event, length: int) -> FloatArray:
        """A background at its level, [L, M]."""
        path = self.root / spec.dirs.background / event.source_file
        short = event.source_time is None
        samples, rate = audio.read(path, event.source_time or 0.0, None if short else event.event_duration)
        raise_first(audio.format_problems(path, audio.AudioInfo(len(samples), samples.shape[1], rate), self.channels))
        samples = audio.resample(samples, rate, self.sample_rate)
        if short:
            times, stretch = math.ceil(length / len(samples)), self.short_background == "stretch"
            samples = samples.repeat(times, axis=0) if stretch else np.tile(samples, (times, 1))
        samples = audio.fit(samples, length)
        return samples * _gain(samples, spec.ref_db + event.snr)


def convolve(source: FloatArray, responses: FloatArray) -> FloatArray:
    """The full linear convolution of [F] with each row of [R, N]: [R, F + N - 1], by overlap-add.

    All responses share the transforms of the source's blocks. Spectra are not kept from scene to scene: those of all
    responses of a data set fill gigabytes, and are a fifth of the work.
    """
    rows, taps = responses.shape
    length = len(source) + taps - 1
    blocks, step, size = partition(len(source), taps)
    padded = np.zeros((blocks + rows, size), np.float32)
    padded[:blocks, :step] = audio.fit(source, blocks * step).reshape(blocks, step)
    padded[blocks:, :taps] = responses
    spectra = fft.rfft(padded)
    result = np.zeros((rows, length), np.float32)
    for track, spectrum in zip(result, spectra[blocks:], strict=True):
        parts = fft.irfft(spectra[:blocks] * spectrum, size, overwrite_x=True)
        for start, part in zip(range(0, len(source), step), parts, strict=False):
            end = min(start + size, length)
            track[start:end] += part[: end - start]
    return result


def partition(length: int, taps: int) -> tuple[int, int, int]:
    """How a source is cut up to be convolved with responses: number of blocks, their samples, and the transforms'."""
    # Near this number, more but shorter blocks need as much arithmetic as fewer, longer ones.
    blocks = TOGETHER * max(1, round(math.sqrt(length / taps) / TOGETHER))
    step = math.ceil(length / blocks)
    return blocks, step, fft.next_fast_len(step + taps - 1, real=True)


def direct_path(peaks: FloatArray, window_ms: tuple[float, float], sample_rate: int) -> tuple[int, int]:
    """First and last-plus-one tap of the part of a response around its direct path.

    Args:
        peaks: the response [N]; its largest value marks the direct path. With its sign, a negative direct path makes a
            later reflection count: the challenge's targets are made so.
        window_ms: kept before and after it.
        sample_rate: Hz.
    """
    before, after = (int(ms * sample_rate / 1000) for ms in window_ms)
    peak = int(peaks.argmax())
    return max(0, peak - before), min(peak + after, len(peaks))


def power(signal: FloatArray) -> float:
    """Mean of the squares of an array; all but short stretches are added up in float64."""
    flat = signal.reshape(-1)
    stretches = (flat[start : start + STRETCH] for start in range(0, flat.size, STRETCH))
    return math.fsum(float(stretch @ stretch) for stretch in stretches) / flat.size


def _gain(signal: FloatArray, level_db: float) -> np.float32:
    """The factor that brings the mean power of all samples to `level_db`; 1 for silence."""
    mean = power(signal)
    return np.float32(10 ** (level_db / 20) / math.sqrt(mean)) if mean > 0 else np.float32(1)
