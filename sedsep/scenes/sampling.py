"""Drawing scenes: which sounds, from where in the room, when and how loud.

The challenge's distributions, with its traps removed: lists are sorted, so a seed gives the same scene everywhere; a
source never exceeds the scene; the search for a placement ends.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from sedsep.errors import UserError
from sedsep.labels import SILENCE
from sedsep.scenes.augment import Joining
from sedsep.scenes.layout import Split
from sedsep.scenes.rooms import Room, open_room
from sedsep.types import Event, Following, SceneSpec

T = TypeVar("T")

Files = Mapping[str, list[Path]]
"""Of each label."""

Choices = dict[str, tuple[list[Path], Sequence[int]]]
"""Files of each label, and the measurements of the room that they may be played from."""

GRID = 0.1
"""Seconds between the instants at which overlaps are counted; an event counts this much before and after itself."""

ATTEMPTS = 100
"""Onsets tried for an event, and events tried for a place in the scene."""


@dataclass(frozen=True)
class Repeats:
    """How often classes sound more than once, and how such sounds differ (DCASE 2026 Task 4).

    Args:
        probability: that a scene of two or more target events has one whose class is there already.
        most: such events of a scene, at most.
        degrees: between the directions of two events of a class, more than this.
        folders_apart: whether they come from different folders right in the class's: of recordings of one object.

    Raises:
        UserError: a number that is none of its kind.
    """

    probability: float = 0.5
    most: int = 2
    degrees: float = 60.0
    folders_apart: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UserError(f"repeats.probability={self.probability:g} must lie between 0 and 1.")
        if self.most < 1:
            raise UserError(f"repeats.most={self.most} must be at least 1: set repeats to null for scenes without.")
        if not 0 <= self.degrees < 180:
            raise UserError(f"repeats.degrees={self.degrees:g} must lie between 0 and 180.")


EDITIONS: dict[int, dict[str, Any]] = {
    2025: {},
    2026: {"events": (0, 3), "interference": (0, 2), "ref_db": -55, "repeats": Repeats(), "edition": 2026},
}
"""How the challenge draws scenes, by year: what is other than `SceneSampler` has it by itself (`conf/edition`)."""


@dataclass(eq=False)
class SceneSampler:
    """Draws scenes of one split.

    Args:
        split: the files to draw from.
        duration: of a scene, seconds; longer sources and backgrounds are cut at random.
        events: fewest and most target events.
        interference: fewest and most interfering events; none where the split has no interference.
        event_snr: level of target events above the background, dB, uniform in [low, high).
        interference_snr: level of interfering events, likewise.
        ref_db: mean power of the background, dB re full scale.
        ref_channel: the microphone the dry targets are taken at.
        direct_path_ms: kept before and after the peak of the response for the dry targets, milliseconds.
        max_overlap: most events of a group that sound at once.
        slots: target slots, filled in order of onset, then with silence.
        repeats: how classes sound more than once; `None` for events of different classes alone.
        edition: the year of the challenge whose synthesis renders them.
        joining: how short sounds are followed by others of their class; `None` for single sounds.

    Raises:
        UserError: a range that cannot be drawn from, more events than slots or labels, or a room that cannot be read.
    """

    split: Split
    duration: float
    events: Sequence[int] = (1, 3)
    interference: Sequence[int] = (1, 2)
    event_snr: Sequence[float] = (5, 20)
    interference_snr: Sequence[float] = (0, 15)
    ref_db: float = -50
    ref_channel: int = 0
    direct_path_ms: Sequence[float] = (6, 50)
    max_overlap: int = 3
    slots: int = 3
    repeats: Repeats | None = None
    edition: int = 2025
    joining: Joining | None = None

    def __post_init__(self) -> None:
        split, events, (before, after) = self.split, list(self.events), self.direct_path_ms
        for name in ("events", "interference", "event_snr", "interference_snr"):
            low, high = getattr(self, name)
            if low > high:
                raise UserError(f"{name}=[{low}, {high}] is no range: give the smaller number first.")
        if self.duration <= 0 or int(self.duration * split.sample_rate) < 1:
            raise UserError(f"A scene of {self.duration:g} s cannot be drawn: set a positive duration.")
        if before < 0 or after <= 0:
            raise UserError(f"direct_path_ms=[{before}, {after}] keeps nothing of the direct path: use times above 0.")
        if min(events[0], self.interference[0]) < 0:
            raise UserError(
                f"events={events} and interference={list(self.interference)} count sounds: none may be negative."
            )
        most = min(self.slots, len(split.events))
        if events[1] > most:
            raise UserError(
                f"events={events} asks for more events than there are slots ({self.slots}) or labels in "
                f"split '{split.name}' ({len(split.events)}): use at most {most}."
            )
        # Indexed here, before workers start from this process.
        self.rooms = {path: open_room(path, split.sample_rate, split.channels) for path in split.rooms}

    def sample(self, seed: int, epoch: int, index: int, attempt: int = 0) -> SceneSpec:
        """The scene that belongs to (seed, epoch, index): a pure function, whatever was drawn before.

        Args:
            seed: of all scenes.
            epoch: counted from 0.
            index: of the scene in its epoch.
            attempt: draws another scene for the same place when not 0, for sources found to be silent.

        Raises:
            UserError: no placement keeps to `max_overlap`.
        """
        # A trailing 0 would not change the stream, so attempt 0 is left out and the others cannot meet it.
        rng = np.random.default_rng([seed, epoch, index] + [attempt] * (attempt > 0))
        path = _pick(rng, self.split.rooms)
        room = self.rooms[path]
        foreground: list[Event] = []
        count = int(rng.integers(self.events[0], self.events[1] + 1))
        different = count - self._repeated(rng, count)
        for number in range(count):
            # Where nothing can sound again, another class takes its place.
            choices = self._again(room, foreground) if number >= different else {}
            choices = choices or self._new(room, self.split.events, {event.label for event in foreground})
            foreground.append(self._draw_event(rng, room, choices, self.event_snr, foreground))
        interference: list[Event] = []
        if self.split.interference:
            choices = self._new(room, self.split.interference)
            for _ in range(int(rng.integers(self.interference[0], self.interference[1] + 1))):
                interference.append(self._draw_event(rng, room, choices, self.interference_snr, interference))
        background: list[Event] = []
        if self.split.noise:
            noise = _pick(rng, self.split.noise)
            spare = self.split.duration(noise) - self.duration
            # Whole seconds, as the challenge draws them.
            start = float(np.floor(rng.uniform(0, spare))) if spare > 0 else None
            background.append(Event(None, self.split.names[noise], start, 0.0, float(self.duration), 0.0))
        foreground.sort(key=lambda event: event.event_time)
        before, after = self.direct_path_ms
        labels = [str(event.label) for event in foreground]
        return SceneSpec(
            name=f"scene_{epoch:03d}_{index:06d}",
            dirs=self.split.dirs,
            room=path.name,
            foreground=tuple(foreground),
            background=tuple(background),
            interference=tuple(interference),
            duration=float(self.duration),
            sample_rate=self.split.sample_rate,
            ref_db=float(self.ref_db),
            ref_channel=self.ref_channel,
            direct_path_ms=(float(before), float(after)),
            slots=(*labels, *[SILENCE] * (self.slots - len(labels))),
            edition=self.edition,
        )

    def _repeated(self, rng: np.random.Generator, count: int) -> int:
        """How many of so many events have a class that is there already."""
        if self.repeats is None or count < 2 or rng.random() >= self.repeats.probability:
            return 0
        return int(rng.integers(1, min(count - 1, self.repeats.most) + 1))

    def _new(self, room: Room, files: Files, used: Container[str | None] = ()) -> Choices:
        """Any sound of other classes, anywhere."""
        everywhere = range(len(room))
        return {label: (paths, everywhere) for label, paths in files.items() if label not in used}

    def _again(self, room: Room, events: list[Event]) -> Choices:
        """Sounds of the events' classes that differ from them as `repeats` asks."""
        assert self.repeats is not None
        lengths = np.linalg.norm(room.positions, axis=1, keepdims=True)
        directions = room.positions / np.maximum(lengths, np.finfo(float).tiny)
        choices: Choices = {}
        for label in {str(event.label) for event in events}:
            own = [event for event in events if event.label == label]
            cosines = directions @ directions[[event.position_index for event in own]].T
            apart = np.flatnonzero((cosines < np.cos(np.radians(self.repeats.degrees))).all(axis=1)).tolist()
            used = {self._recorded(file) for event in own for file in event.source_files}
            files = self.split.events[label]
            paths = [path for path in files if self._recorded(self.split.names[path]) not in used]
            if paths and apart:
                choices[label] = paths, apart
        return choices

    def _recorded(self, source_file: str) -> str:
        """What two sounds of a class may not share: a folder right in the class's, or else the file."""
        assert self.repeats is not None
        parts = PurePosixPath(source_file).parts
        return parts[1] if self.repeats.folders_apart and len(parts) > 2 else source_file

    def _draw_event(
        self,
        rng: np.random.Generator,
        room: Room,
        choices: Choices,
        snr: Sequence[float],
        others: list[Event],
    ) -> Event:
        for _ in range(ATTEMPTS):
            label = _pick(rng, sorted(choices))
            paths, positions = choices[label]
            path = _pick(rng, paths)
            length, source_time = self.split.duration(path), 0.0
            if length > self.duration:
                source_time, length = float(rng.uniform(0, length - self.duration)), float(self.duration)
            single, following = length, self._following(rng, paths, length)
            length += sum(sound.pause + sound.duration for sound in following)
            for _ in range(ATTEMPTS):
                onset = float(rng.uniform(0, self.duration - length))
                if len(others) < self.max_overlap or not _crowded(onset, length, others, self.max_overlap):
                    index = _pick(rng, positions)
                    x, y, z = room.positions[index].tolist()
                    return Event(
                        label=label,
                        source_file=self.split.names[path],
                        source_time=source_time,
                        event_time=onset,
                        event_duration=single,
                        snr=float(rng.uniform(snr[0], snr[1])),
                        position=(x, y, z),
                        position_index=index,
                        following=following,
                    )
        raise UserError(
            f"No placement of {len(others) + 1} events in {self.duration:g} s keeps at most {self.max_overlap} of them "
            f"sounding at once after {ATTEMPTS} attempts: allow more overlap, fewer events or longer scenes."
        )

    def _following(self, rng: np.random.Generator, paths: list[Path], length: float) -> tuple[Following, ...]:
        """What follows a sound of so many seconds: others of its class, up to an instant that is drawn."""
        following: list[Following] = []
        if self.joining is None or length >= self.joining.shorter or rng.random() >= self.joining.probability:
            return ()
        latest = rng.uniform(length, self.duration)
        while True:
            path, pause = _pick(rng, paths), float(rng.uniform(*self.joining.pause))
            sound = Following(self.split.names[path], pause, self.split.duration(path))
            length += sound.pause + sound.duration
            if length > latest:
                return tuple(following)
            following.append(sound)


def _crowded(onset: float, length: float, others: list[Event], limit: int) -> bool:
    """Whether at some instant of the span `limit` or more of the others sound."""
    instants = np.arange(onset, onset + length, GRID)
    starts = np.array([[event.event_time] for event in others])
    ends = starts + np.array([[event.length] for event in others])
    sounding = (starts - GRID <= instants) & (instants <= ends + GRID)
    return bool((sounding.sum(axis=0) >= limit).any())


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]
