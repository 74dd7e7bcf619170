"""From a scene's description to its samples: the challenge's synthesis, written anew.

A scene is rendered in two steps: `Renderer.read` takes what it needs from the files, `mix` plays the sources in their
room (`sedsep.scenes.mixing`, or for whole batches on another device `sedsep.scenes.device`).

The challenge's own synthesis has quirks. Where its scenes depend on one, ours has it too; the rest is mended:

    quirk of the challenge's synthesis                        here
    a negative direct path makes a later reflection count     the same; `direct_path=absolute` takes the true peak
    an event lasts until the last tap of its response         the same; `spans=dry` ends it with its target
    lengths are cut off after a product with rounding error   the same: up to one sample short
    a background shorter than the scene is stretched          played over and over; `short_background=stretch` as there
    a background with other channels is left out              an error
    only plain PCM backgrounds can be read                    whatever libsndfile reads
    the responses' sampling rate is ignored                   responses of another rate are resampled
    positions that coincide are taken for the same            drawn scenes know the measurement; files, the nearest one
    an all-zero source keeps its label                        drawn anew (`sedsep.scenes.dataset`)

Axes: M microphones, N taps, L samples of the scene.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np

from sedsep.errors import choice
from sedsep.scenes import audio
from sedsep.scenes.kept import Kept
from sedsep.scenes.layout import Layout
from sedsep.scenes.mixing import SceneParts, Sound, gain, mix, power
from sedsep.scenes.problems import fit_problems, raise_first
from sedsep.scenes.rooms import Room, open_room
from sedsep.types import Event, FloatArray, Scene, SceneSpec

SPANS = ("wet", "dry")
DIRECT_PATHS = ("signed", "absolute")
SHORT_BACKGROUNDS = ("tile", "stretch")

DECODED = 100_000_000
"""Bytes of sources and backgrounds that a process keeps: all of a small data set, some minutes of a large one."""


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
        self._decoded = Kept(DECODED)

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
        return mix(parts)

    def read(self, spec: SceneSpec) -> SceneParts:
        """Read the part of each file that a scene needs; raises what `render` does."""
        raise_first(fit_problems(spec, f"The scene {spec.name}", self.sample_rate, self.channels))
        room = open_room(self.root / spec.dirs.rooms / spec.room, self.sample_rate, self.channels)
        length = int(spec.duration * spec.sample_rate)
        backgrounds = [self._read_background(spec, event, length) for event in spec.background]
        background = (
            sum(backgrounds[1:], backgrounds[0]) if backgrounds else np.zeros((self.channels, length), np.float32)
        )
        spans = [(0, 0)] * len(spec.slots)
        sounds = []
        for event, slot in zip(spec.foreground, spec.target_slots, strict=True):
            sound = self._read_sound(spec, event, spec.dirs.foreground, room, slot)
            sounds.append(sound)
            offset = sound.offset if self.spans == "wet" else sound.target_offset
            spans[slot] = (sound.onset, min(offset, length))
        sounds += [self._read_sound(spec, event, str(spec.dirs.interference), room) for event in spec.interference]
        return SceneParts(spec.name, spec.slots, tuple(spans), background, tuple(sounds), spec.ref_channel)

    def _read_sound(self, spec: SceneSpec, event: Event, folder: str, room: Room, slot: int | None = None) -> Sound:
        path = self.root / folder / event.source_file
        later = spec.edition >= 2026
        asked = path, event.source_time or 0.0, event.event_duration, not later
        source = self._decoded.get(asked, lambda: self._source(*asked))
        for sound in event.following:
            more = self.root / folder / sound.source_file, 0.0, sound.duration, not later
            pause = np.zeros(int(sound.pause * self.sample_rate), np.float32)
            source = np.concatenate([source, pause, self._decoded.get(more, partial(self._source, *more))])
        response = room.response_of(event)
        direct = (0, 0)
        if slot is not None:
            peaks = response[spec.ref_channel]
            if later or self.direct_path == "absolute":
                peaks = np.abs(peaks)
            direct = direct_path(peaks, spec.direct_path_ms, spec.sample_rate, closed=later)
        onset = int(event.event_time * spec.sample_rate)
        return Sound(source, response, onset, spec.ref_db + event.snr, slot, direct)

    def _source(self, path: Path, start: float, duration: float, cut: bool) -> FloatArray:
        """Part of a sound's file, mono and with peak 1 unless it is silent [F]; times in seconds. A new rate may make
        it a sample longer than it lasts, which is cut off in 2025."""
        samples, rate = audio.read(path, start, duration)
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
        source = audio.resample(mono, rate, self.sample_rate)
        source = source[: int(duration * self.sample_rate)] if cut else source
        peak = max(source.max(initial=0.0), -source.min(initial=0.0))
        return source / peak if peak > 0 else source

    def _read_background(self, spec: SceneSpec, event: Event, length: int) -> FloatArray:
        """A background at its level, [M, L]."""
        path = self.root / spec.dirs.background / event.source_file
        asked = path, event.source_time, event.event_duration, length
        return self._decoded.get(asked, lambda: self._background(*asked)) * gain(1.0, spec.ref_db + event.snr)

    def _background(self, path: Path, start: float | None, duration: float, length: int) -> FloatArray:
        """Part of a background's file, from the start over and over where `start` is `None`; of power 1 unless it is
        silent [M, L]; times in seconds."""
        samples, rate = audio.read(path, start or 0.0, None if start is None else duration)
        raise_first(audio.format_problems(path, audio.AudioInfo(len(samples), samples.shape[1], rate), self.channels))
        samples = audio.resample(samples, rate, self.sample_rate)
        if start is None:
            times, stretch = math.ceil(length / len(samples)), self.short_background == "stretch"
            samples = samples.repeat(times, axis=0) if stretch else np.tile(samples, (times, 1))
        samples = audio.fit(samples, length)
        return np.multiply(samples.T, gain(power(samples), 0.0), order="C")


def direct_path(
    peaks: FloatArray, window_ms: tuple[float, float], sample_rate: int, closed: bool = False
) -> tuple[int, int]:
    """First and last-plus-one tap of the part of a response around its direct path.

    Args:
        peaks: the response [N]; its largest value marks the direct path. With its sign, a negative direct path makes a
            later reflection count: the challenge's targets are made so.
        window_ms: kept before and after it.
        sample_rate: Hz.
        closed: whether the last sample of the window is in it, as in 2026.
    """
    before, after = (int(ms * sample_rate / 1000) for ms in window_ms)
    peak = int(peaks.argmax())
    return max(0, peak - before), min(peak + after + closed, len(peaks))
