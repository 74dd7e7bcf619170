"""Scenes of one year of the challenge in the format of the other, and what that cannot carry over.

What a scene is made of is the same in both; the challenge's synthesis is not, so that the same scene may sound
different. Where it does is told of each scene, but for a sample in all of them: 2026 keeps the last one of the window
around the direct path, and the one that a new rate adds to a sound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from sedsep.errors import UserError
from sedsep.files import read_json
from sedsep.scenes import audio
from sedsep.scenes.metadata import AGAIN, in_order_of_onset, read_index, read_spec, write_index
from sedsep.scenes.official import SceneEntry
from sedsep.scenes.problems import scene_problems
from sedsep.scenes.rooms import open_room
from sedsep.types import SceneSpec

ABSOLUTE, RELATIVE = 1e-6, 1e-5
"""How close to each coordinate of a sound that of its measurement has to be for the challenge's synthesis of 2026."""


@dataclass(frozen=True)
class ConvertedScenes:
    """An index that was converted, with its scenes.

    Attributes:
        target: the index that was written.
        scenes: how many it lists.
        losses: what could not be carried over, and what comes of it: sentences that begin with the scene's name.
        unseen: why the room and the sounds of a scene were not looked at, a sentence a scene.
    """

    target: Path
    scenes: int
    losses: list[str]
    unseen: list[str]

    def account(self) -> Iterator[str]:
        """What was done and lost, a line each."""
        yield f"{self.scenes} scenes are written to {self.target}."
        yield from self.losses
        if self.unseen:
            count = f"Rooms and sounds of {len(self.unseen)} of them were not looked at"
            yield f"{count}, which may differ between the years as well: {self.unseen[0]}"


def convert_scenes(source: Path, edition: int, channels: int, target: Path | None = None) -> list[ConvertedScenes]:
    """Write scenes in the format of a year.

    Args:
        source: an index, beside which its data set lies (`<root>/metadata/<split>.json`), or a folder of some.
        edition: the year.
        channels: microphones.
        target: an index, or a folder where the source is one; `None` for one beside it, `<name>_<edition>`.

    Raises:
        UserError: there are no scenes, one cannot be read, all are in that format already, or the target would
            overwrite the source.
    """
    folder = source / "metadata" if (source / "metadata").is_dir() else source
    target = target or folder.with_name(f"{folder.stem}_{edition}{folder.suffix}")
    if target.resolve() == folder.resolve():
        raise UserError(f"task.target={target} would overwrite the source: give another name.")
    if not folder.is_dir() and target.suffix != ".json":
        raise UserError(f"task.target={target} is no name of an index: give one that ends in .json.")
    indices = sorted(folder.glob("*.json")) if folder.is_dir() else [folder]
    if not indices:
        raise UserError(f"{folder} holds no index of scenes (such as valid.json): give one, or the folder that does.")
    read = {index: [(path, read_spec(path, slots)) for path, slots in read_index(index)] for index in indices}
    if all(spec.edition == edition for _, spec in chain(*read.values())):
        raise UserError(f"{source} is in the format of {edition} already: nothing is left to convert.")
    done = []
    for index, scenes in read.items():
        losses, unseen = [], []
        for path, spec in scenes:
            root = index.parent.parent
            faults = [problem.text for problem in scene_problems(spec, path, root, spec.sample_rate, channels)]
            unseen += faults[:1]
            if spec.edition != edition:
                entry = read_json(path, SceneEntry, AGAIN)
                told = chain(_losses(spec, entry, edition), () if faults else _heard(spec, root, channels))
                losses += [f"{spec.name} {sentence}" for sentence in told]
        place = target / index.name if folder.is_dir() else target
        write_index([converted(spec, edition) for _, spec in scenes], place)
        done.append(ConvertedScenes(place, len(scenes), losses, unseen))
    return done


def converted(spec: SceneSpec, edition: int) -> SceneSpec:
    """A scene as one of a year, without what that cannot hold."""
    if edition == spec.edition or edition < 2026:
        return replace(spec, edition=edition)
    return replace(spec, edition=edition, ref_channel=0, slots=in_order_of_onset(spec.foreground))


def _losses(spec: SceneSpec, entry: SceneEntry, edition: int) -> Iterator[str]:
    """What a format has no words for."""
    for event in (*entry.fg_events, *(entry.int_events or ()), *(entry.bg_events or ())):
        for key, value in (("pitch_shift", event.pitch_shift), ("time_stretch", event.time_stretch)):
            if edition >= 2026 and value is not None:
                yield f"plays {event.source_file} with {key} {value}, which 2026 does not know: it is played as it is."
    for event in (*entry.fg_events, *(entry.int_events or ())):
        if (places := len(event.event_position)) > 1:
            yield f"moves {event.source_file} through {places} positions: both years play it from the first alone."
    if edition >= 2026:
        if spec.ref_channel:
            yield f"has its targets at channel {spec.ref_channel}: those of 2026 are at channel 0, which are others."
        if (slots := in_order_of_onset(spec.foreground)) != spec.slots:
            order, later = ", ".join(spec.slots), ", ".join(slots)
            yield f"has its targets in the order {order}: those of 2026 are in order of onset, {later}."
        if spec.dirs.interference is None:
            yield "names no interference_dir: the challenge's reader of 2026 refuses it until its config has one."
        return
    if not spec.foreground:
        yield "has no target, and scenes of 2025 have one at least: what was made for them has no score for it."
    for label, count in Counter(event.label for event in spec.foreground).items():
        if count > 1:
            yield (
                f"has {count} targets of {label}, and scenes of 2025 have each class once: what was made for them "
                "keeps or scores one of these."
            )


def _heard(spec: SceneSpec, root: Path, channels: int) -> Iterator[str]:
    """Where the two years make other samples of the same files."""
    for event in spec.background:
        lasts = audio.info(root / spec.dirs.background / event.source_file).duration
        if event.source_time is None and lasts < spec.duration:
            yield (
                f"has the background {event.source_file}, which is shorter than the scene: 2025 repeats each of its "
                "samples, 2026 plays it over and over."
            )
    room = open_room(root / spec.dirs.rooms / spec.room, spec.sample_rate, channels)
    if room.stored_rate != spec.sample_rate:
        rates = f"{room.stored_rate} Hz: 2025 takes them for responses at {spec.sample_rate} Hz, 2026 resamples them"
        yield f"is in {spec.room}, whose responses are at {rates}."
    if room.is_spherical:
        yield f"is in {spec.room}, whose positions are angles: 2025 takes them for metres and may play other responses."
    for event in (*spec.foreground, *spec.interference):
        assert event.position is not None
        if not np.isclose(event.position, room.positions, RELATIVE, ABSOLUTE).all(axis=1).any():
            place = ", ".join(f"{coordinate:g}" for coordinate in event.position)
            yield (
                f"plays {event.source_file} from ({place}), where {spec.room} has no measurement: 2025 takes the "
                "nearest, the challenge's synthesis of 2026 fails."
            )
    for event in spec.foreground:
        response = room.response_of(event)[spec.ref_channel]
        if away := abs(int(np.abs(response).argmax()) - int(response.argmax())):
            yield (
                f"has the target {event.source_file}, whose direct path 2025 takes for the response's largest value "
                f"and 2026 for its largest magnitude, {1000 * away / spec.sample_rate:.1f} ms away: it differs."
            )
