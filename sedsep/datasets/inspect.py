"""What some scenes of a split are made of, as a page shows it.

Axes: M microphones, N taps, L samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from sedsep.dsp import snr_db
from sedsep.evaluation.report import Curve, PlacedSound, SceneSheet
from sedsep.labels import SILENCE
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.dataset import GeneratedScenes
from sedsep.scenes.decay import direct_to_reverberant, energy_decay, reverberation_time
from sedsep.scenes.layout import Layout
from sedsep.scenes.recorded import RecordedScenes
from sedsep.scenes.rooms import open_room
from sedsep.types import Event, FloatArray, Scene, SceneSpec

Role = Literal["target", "interference", "background"]

FLOOR_DB = -70.0
"""Where the drawn decay ends: rooms are not heard further down."""


def scene_sheets(data: SceneDataModule, split: str, count: int, seed: int) -> tuple[list[SceneSheet], int]:
    """Up to `count` scenes that training draws from its split, or that another is scored with.

    Drawn scenes are as good as random from the first on; among fixed ones the seed chooses.

    Returns:
        The scenes, and how many the split has.

    Raises:
        UserError: the split is missing, or a file of its scenes cannot be used.
    """
    scenes = data.train_dataset() if split == data.train_split else data.eval_dataset(split)
    chosen = list(range(min(count, len(scenes))))
    if not isinstance(scenes, GeneratedScenes):
        chosen = sorted(np.random.default_rng(seed).choice(len(scenes), len(chosen), replace=False).tolist())
    if isinstance(scenes, RecordedScenes):
        sheets = [recorded_sheet(scenes[index], data.layout.sample_rate) for index in chosen]
    else:
        specs = [scenes.spec(index) for index in chosen]
        sheets = [_rendered_sheet(spec, scenes.renderer.render(spec), data.layout) for spec in specs]
    return sheets, len(scenes)


def recorded_sheet(scene: Scene, sample_rate: int) -> SceneSheet:
    """What a recording tells: its targets, and when they sound."""
    mixture = scene.mixture[0]
    sounds = [
        PlacedSound(
            label=label,
            role="target",
            onset=onset / sample_rate,
            offset=offset / sample_rate,
            level_in_mixture=_level_in_mixture(target, mixture),
            target=target,
        )
        for label, target, (onset, offset) in zip(scene.labels, scene.targets, scene.spans, strict=True)
        if label != SILENCE
    ]
    return SceneSheet(scene.name, sample_rate, mixture, sounds)


def _rendered_sheet(spec: SceneSpec, scene: Scene, layout: Layout) -> SceneSheet:
    """What went into a scene: targets and interference by onset, each with the room's response, then the background."""
    dirs, mixture = spec.dirs, scene.mixture[spec.ref_channel]
    targets = zip(spec.foreground, spec.target_slots, strict=True)
    events: list[tuple[Role, str | None, Event, int | None]] = [
        ("target", dirs.foreground, event, slot) for event, slot in targets
    ]
    events += [("interference", dirs.interference, event, None) for event in spec.interference]
    events.sort(key=lambda item: item[2].event_time)
    events += [("background", dirs.background, event, None) for event in spec.background]
    sounds: list[PlacedSound] = []
    decays = {}
    for role, folder, event, slot in events:
        label, target, reverberation, direct = str(event.label), None, None, None
        if role == "background":
            label = role
        else:
            room = open_room(layout.root / dirs.rooms / spec.room, layout.sample_rate, layout.channels)
            response = room.response_of(event)[spec.ref_channel].astype(np.float32)
            reverberation = reverberation_time(response, spec.sample_rate)
            direct = direct_to_reverberant(response, spec.sample_rate)
            curve = energy_decay(response)
            audible = curve[curve > FLOOR_DB]
            times = 1000 * np.arange(len(audible)) / spec.sample_rate
            # Sounds of a class may begin together: a number tells them apart.
            decays[f"{len(sounds) + 1}. {label} from {event.event_time:.1f} s"] = (times.tolist(), audible.tolist())
        if slot is not None:
            target = scene.targets[slot]
        sound = PlacedSound(
            label=label,
            role=role,
            file=f"{folder}/{event.source_file}" + (f" from {event.source_time:.2f} s" if event.source_time else ""),
            onset=event.event_time,
            offset=min(event.event_time + event.event_duration, spec.duration),
            level=event.snr,
            level_in_mixture=None if target is None else _level_in_mixture(target, mixture),
            position=event.position or (),
            reverberation=reverberation,
            direct=direct,
            target=target,
        )
        sounds.append(sound)
    decay = Curve("Energy left of each response", "Time (ms)", "Energy left (dB)", decays) if decays else None
    return SceneSheet(spec.name, spec.sample_rate, mixture, sounds, spec.room, decay)


def _level_in_mixture(target: FloatArray, mixture: FloatArray) -> float:
    """A target's power over that of all else in the mixture, dB."""
    return float(snr_db(torch.from_numpy(target), torch.from_numpy(mixture)))
