"""task=inspect: some scenes of a split on one page, to look at and to listen to.

Axes: M microphones, N taps, L samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from omegaconf import DictConfig

from sedsep.dsp import snr_db
from sedsep.errors import UserError
from sedsep.evaluation.report import Curve, PlacedSound, SceneSheet, write_scenes
from sedsep.labels import SILENCE
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.dataset import GeneratedScenes, IndexedScenes
from sedsep.scenes.decay import direct_to_reverberant, energy_decay, reverberation_time
from sedsep.scenes.layout import Layout
from sedsep.scenes.recorded import RecordedScenes
from sedsep.scenes.rooms import open_room
from sedsep.tasks.session import Session
from sedsep.types import Event, FloatArray, Scene, SceneSpec

Scenes = GeneratedScenes | IndexedScenes | RecordedScenes
Role = Literal["target", "interference", "background"]

FLOOR_DB = -70.0
"""Where the drawn decay ends: rooms are not heard further down."""


def run(config: DictConfig) -> None:
    """Write scenes.html with `task.count` scenes of `task.split` to the run directory.

    Raises:
        UserError: the split is missing, or no scenes are asked for.
    """
    if config.task.count < 1:
        raise UserError(f"task.count={config.task.count} shows nothing: ask for 1 scene or more.")
    session = Session.open(config)
    scenes = _scenes(session.data(config.model.training), config.task.split)
    chosen = _chosen(scenes, config.task.count, config.seed)
    sheets = [_sheet(scenes, index, session.layout) for index in chosen]
    page = session.run_dir / "scenes.html"
    write_scenes(
        page,
        sheets,
        title=f"Scenes of {config.data.name}, {config.task.split} split",
        subtitle=f"{len(sheets)} of {len(scenes)} scenes",
        facts=session.facts(),
    )
    print(f"Scenes: {page}")


def _scenes(data: SceneDataModule, split: str) -> Scenes:
    """The scenes that training draws from its split, or those another is scored with."""
    return data.train_dataset() if split == data.train_split else data.eval_dataset(split)


def _chosen(scenes: Scenes, count: int, seed: int) -> Sequence[int]:
    """Drawn scenes are as good as random from the first on; among fixed ones the seed chooses."""
    count = min(count, len(scenes))
    if isinstance(scenes, GeneratedScenes):
        return range(count)
    return sorted(np.random.default_rng(seed).choice(len(scenes), count, replace=False).tolist())


def _sheet(scenes: Scenes, index: int, layout: Layout) -> SceneSheet:
    if isinstance(scenes, RecordedScenes):
        return _recorded_sheet(scenes[index], layout.sample_rate)
    spec = scenes.spec(index)
    return _rendered_sheet(spec, scenes.renderer.render(spec), layout)


def _recorded_sheet(scene: Scene, sample_rate: int) -> SceneSheet:
    """What a recording tells: its targets, and when they sound."""
    mixture = scene.mixture[0]
    sounds = [
        PlacedSound(
            label=label,
            role="target",
            onset=onset / sample_rate,
            offset=offset / sample_rate,
            heard=_heard(target, mixture),
            target=target,
        )
        for label, target, (onset, offset) in zip(scene.labels, scene.targets, scene.spans, strict=True)
        if label != SILENCE
    ]
    return SceneSheet(scene.name, sample_rate, mixture, sounds)


def _rendered_sheet(spec: SceneSpec, scene: Scene, layout: Layout) -> SceneSheet:
    placed: list[tuple[Role, Event]] = [("target", event) for event in spec.foreground]
    placed += [("interference", event) for event in spec.interference]
    placed.sort(key=lambda item: item[1].event_time)
    sounds = [_sound(spec, scene, layout, role, event) for role, event in placed]
    sounds += [_sound(spec, scene, layout, "background", event) for event in spec.background]
    decays = {f"{event.label} from {event.event_time:.1f} s": _response(spec, event, layout) for _, event in placed}
    return SceneSheet(
        name=spec.name,
        sample_rate=spec.sample_rate,
        mixture=scene.mixture[spec.ref_channel],
        sounds=sounds,
        room=spec.room,
        decay=_decay(decays, spec.sample_rate) if decays else None,
    )


def _sound(spec: SceneSpec, scene: Scene, layout: Layout, role: Role, event: Event) -> PlacedSound:
    label = str(event.label) if role != "background" else role
    folder = {
        "target": spec.dirs.foreground, "interference": spec.dirs.interference, "background": spec.dirs.background
    }[role]  # fmt: skip
    target = scene.targets[scene.labels.index(label)] if role == "target" else None
    response = _response(spec, event, layout) if role != "background" else None
    return PlacedSound(
        label=label,
        role=role,
        file=f"{folder}/{event.source_file}" + (f" from {event.source_time:.2f} s" if event.source_time else ""),
        onset=event.event_time,
        offset=min(event.event_time + event.event_duration, spec.duration),
        level=event.snr,
        heard=None if target is None else _heard(target, scene.mixture[spec.ref_channel]),
        position=event.position or (),
        reverberation=None if response is None else reverberation_time(response, spec.sample_rate),
        direct=None if response is None else direct_to_reverberant(response, spec.sample_rate),
        target=target,
    )


def _heard(target: FloatArray, mixture: FloatArray) -> float:
    """A target's power over that of all else in the mixture, dB."""
    return float(snr_db(torch.from_numpy(target), torch.from_numpy(mixture)))


def _response(spec: SceneSpec, event: Event, layout: Layout) -> FloatArray:
    """The response [N] at the reference channel from where an event is."""
    assert event.position is not None
    room = open_room(layout.root / spec.dirs.rooms / spec.room, layout.sample_rate, layout.channels)
    index = room.nearest(event.position) if event.position_index is None else event.position_index
    return room.response(index)[spec.ref_channel].astype(np.float32)


def _decay(responses: Mapping[str, FloatArray], sample_rate: int) -> Curve:
    series = {}
    for name, response in responses.items():
        curve = energy_decay(response)
        audible = curve[curve > FLOOR_DB]
        series[name] = ((1000 * np.arange(len(audible)) / sample_rate).tolist(), audible.tolist())
    return Curve("Energy left of each response", "Time (ms)", "Energy left (dB)", series)
