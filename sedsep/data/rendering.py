"""From a scene's description to its samples: the challenge's synthesis, written anew.

Axes: K slots, M microphones, N taps, L samples of the scene, F samples of a source.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy import fft

from sedsep.data import audio
from sedsep.data.layout import Layout
from sedsep.data.rooms import Room, open_room
from sedsep.errors import UserError
from sedsep.labels import SILENCE
from sedsep.types import Event, FloatArray, Scene, SceneSpec

SMALLEST_BLOCK = 16384
"""Samples of a convolution block: the transforms of all microphones stay in the processor's cache."""


class Renderer:
    """Renders scenes of one data set.

    Args:
        layout: where the files lie, and the rate and channels scenes have.
    """

    def __init__(self, layout: Layout) -> None:
        self.root = layout.root
        self.sample_rate = layout.sample_rate
        self.channels = layout.channels

    def render(self, spec: SceneSpec) -> Scene:
        """Render a scene: the mixture at every microphone, the dry sources at the reference microphone.

        A source is played from its position in the room and scaled so that its reverberant signal, tail included, lies
        `snr` dB above `ref_db` in mean power over its span and all microphones. Nothing is normalised or clipped.

        Raises:
            UserError: a file is missing or damaged, or has another rate or channel count than the scenes.
        """
        if spec.sample_rate != self.sample_rate:
            raise UserError(
                f"The scene {spec.name} is at {spec.sample_rate} Hz, not at {self.sample_rate} Hz: prepare it again."
            )
        if not -self.channels <= spec.ref_channel < self.channels:
            raise UserError(
                f"The scene {spec.name} has its targets at channel {spec.ref_channel}, but only {self.channels} "
                "channels: choose one of them."
            )
        room = open_room(self.root / spec.dirs.rooms / spec.room, self.sample_rate, self.channels)
        mixture = np.zeros((self.channels, int(spec.duration * spec.sample_rate)), np.float32)
        targets = np.zeros((len(spec.slots), mixture.shape[1]), np.float32)
        spans = [(0, 0)] * len(spec.slots)

        for event in spec.background:
            self._add_background(spec, event, mixture)
        for event in spec.foreground:
            slot = spec.slots.index(str(event.label))
            spans[slot] = self._add_source(spec, event, spec.dirs.foreground, room, mixture, targets[slot])
        for event in spec.interference:
            self._add_source(spec, event, str(spec.dirs.interference), room, mixture)
        return Scene(mixture, targets, spec.slots, tuple(spans), spec.name)

    def _add_source(
        self,
        spec: SceneSpec,
        event: Event,
        folder: str,
        room: Room,
        mixture: FloatArray,
        target: FloatArray | None = None,
    ) -> tuple[int, int]:
        """Add an event to the mixture [M, L] and its dry signal to `target` [L]; returns its span in samples."""
        source = self._read_source(self.root / folder / event.source_file, event)
        response = room.response(_position_index(spec, event, room)).astype(np.float32)
        wet = convolve(source, response)
        gain = _gain(wet, spec.ref_db + event.snr)
        onset = int(event.event_time * spec.sample_rate)
        offset = _add(mixture, wet, gain, onset)
        if target is not None:
            start, kernel = direct_path(response[spec.ref_channel], spec.direct_path_ms, spec.sample_rate)
            _add(target[None], convolve(source, kernel[None]), gain, onset + start)
        return onset, offset

    def _read_source(self, path: Path, event: Event) -> FloatArray:
        """The event's sound: mono, at the scene's rate, peak 1 (all zeros stay so); float32 [F]."""
        samples, rate = audio.read(path, event.source_time or 0.0, event.event_duration)
        source = audio.resample(samples.mean(axis=1), rate, self.sample_rate)
        source = source[: int(event.event_duration * self.sample_rate)]
        peak = np.abs(source).max(initial=0.0)
        return source / peak if peak > 0 else source

    def _add_background(self, spec: SceneSpec, event: Event, mixture: FloatArray) -> None:
        path = self.root / spec.dirs.background / event.source_file
        if event.source_time is None:
            samples, rate = audio.read(path)
        else:
            samples, rate = audio.read(path, event.source_time, event.event_duration)
        if samples.shape[1] != self.channels:
            raise UserError(
                f"The background {path} has {samples.shape[1]} channels, not {self.channels}: "
                "use a recording with one channel for each microphone."
            )
        samples = audio.resample(samples, rate, self.sample_rate)
        length = mixture.shape[1]
        if event.source_time is None:
            # Played over and over when shorter than the scene; the reference stretches it instead, which is no sound
            # anybody recorded.
            samples = np.tile(samples, (math.ceil(length / len(samples)), 1))
        samples = audio.fit(samples, length)
        mixture += (_gain(samples, spec.ref_db + event.snr) * samples).T


def convolve(source: FloatArray, response: FloatArray) -> FloatArray:
    """The full linear convolution of [F] with each row of [M, N]: [M, F + N - 1], by overlap-add."""
    taps, length = response.shape[1], len(source) + response.shape[1] - 1
    # Two responses long is near the optimum: longer blocks leave the cache, shorter ones mostly repeat the tail.
    blocks = max(1, round(len(source) / max(2 * taps, SMALLEST_BLOCK)))
    step = math.ceil(len(source) / blocks)
    size = fft.next_fast_len(step + taps - 1, real=True)
    spectrum = fft.rfft(response, size)
    result = np.zeros((len(response), length), np.float32)
    for start in range(0, len(source), step):
        end = min(start + step + taps - 1, length)
        part = fft.irfft(fft.rfft(source[start : start + step], size) * spectrum, size, overwrite_x=True)
        result[:, start:end] += part[:, : end - start]
    return result


def direct_path(response: FloatArray, window_ms: tuple[float, float], sample_rate: int) -> tuple[int, FloatArray]:
    """The part of a response [N] around its direct path: where it starts, and its taps.

    The peak is the largest value with its sign: a negative direct path makes a later reflection count. The challenge's
    targets are made so, and ours must agree with them.
    """
    before, after = (int(ms * sample_rate / 1000) for ms in window_ms)
    peak = int(response.argmax())
    start = max(0, peak - before)
    return start, response[start : peak + after]


def silent_labels(scene: Scene) -> list[str]:
    """The labels whose target holds nothing but zeros, as a silent stretch of a source file gives."""
    return [
        label
        for label, target in zip(scene.labels, scene.targets, strict=True)
        if label != SILENCE and not target.any()
    ]


def _position_index(spec: SceneSpec, event: Event, room: Room) -> int:
    if event.position_index is not None:
        return event.position_index
    if event.position is None:
        raise UserError(f"The scene {spec.name} gives {event.source_file} no position: add one.")
    return room.nearest(event.position)


def _gain(signal: FloatArray, level_db: float) -> np.float32:
    """The factor that brings the mean power of all samples to `level_db`; 1 for silence."""
    power = float(np.square(signal).mean(dtype=np.float64))
    return np.float32(10 ** (level_db / 20) / math.sqrt(power)) if power > 0 else np.float32(1)


def _add(track: FloatArray, signal: FloatArray, gain: np.float32, onset: int) -> int:
    """Add `signal` [M, F] to `track` [M, L] from `onset` on, as far as it fits; returns where it ends."""
    offset = max(onset, min(onset + signal.shape[1], track.shape[1]))
    track[:, onset:offset] += gain * signal[:, : offset - onset]
    return offset
