"""Augmented training scenes: directions turn and sounds change, while labels, times and whose target is whose stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from minis import refused

from sedsep.scenes.acoustics import foa_gains, foa_responses
from sedsep.scenes.augment import Equaliser, Joining, Rotation, change_directions, equalised
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.scenes.mixing import SceneParts, Sound, mix
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Event

LENGTH = 2000
SIZE, LISTENER = np.array([5.0, 4.0, 3.0]), np.array([2.0, 1.7, 1.3])
OFFSETS = np.array([[1.2, 0.4, 0.3], [-0.8, 1.1, -0.5], [0.3, -1.0, 0.8]])
MIRRORS = [np.diag([1, -1, 1]), np.diag([1, 1, -1]), np.diag([-1, 1, 1])]


def turned(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def parts_of(responses: np.ndarray, background: np.ndarray | None = None) -> SceneParts:
    """Two targets and an interfering sound, played through responses [3, 4, N]."""
    rng = np.random.default_rng(3)
    sounds = []
    for number, response in enumerate(responses.astype(np.float32)):
        source = rng.standard_normal(600).astype(np.float32)
        slot, direct = (number, (0, min(40, response.shape[1]))) if number < 2 else (None, (0, 0))
        sounds.append(Sound(source / np.abs(source).max(), response, 300 * number, -30.0 + number, slot, direct))
    silence = np.zeros((4, LENGTH), np.float32) if background is None else background.copy()
    return SceneParts("scene", ("Bell", "Dog"), ((0, 700), (300, 1000)), silence, tuple(sounds), 0)


def noise(seed: int = 0) -> np.ndarray:
    return 1e-3 * np.random.default_rng(seed).standard_normal((4, LENGTH)).astype(np.float32)


def anechoic(directions: np.ndarray) -> SceneParts:
    return parts_of(foa_gains(directions)[..., None])


@pytest.mark.parametrize("change", [turned(37.0), *MIRRORS, MIRRORS[0] @ turned(200.0) @ MIRRORS[1]])
def test_a_scene_with_other_directions_is_the_scene_turned(change: np.ndarray) -> None:
    rendered, there = mix(anechoic(OFFSETS @ change.T)), mix(change_directions(anechoic(OFFSETS), change))
    assert np.allclose(there.mixture, rendered.mixture, atol=1e-7)
    assert np.allclose(there.targets, rendered.targets, atol=1e-7)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_room_that_is_mirrored_sounds_like_the_scene_mirrored(axis: int) -> None:
    def room(listener: np.ndarray, offsets: np.ndarray) -> SceneParts:
        settings = {"absorption": 0.4, "sample_rate": 8000, "seconds": 0.1}
        return parts_of(foa_responses(SIZE.tolist(), listener, listener + offsets, **settings))

    change = np.eye(3)
    change[axis, axis] = -1
    elsewhere = np.where(np.arange(3) == axis, SIZE - LISTENER, LISTENER)
    rendered = mix(room(elsewhere, OFFSETS @ change))
    there = mix(change_directions(room(LISTENER, OFFSETS), change))
    assert np.abs(rendered.mixture).max() > 0.01
    assert np.allclose(there.mixture, rendered.mixture, atol=1e-4 * np.abs(rendered.mixture).max())


def test_w_the_targets_and_the_energy_of_all_directions_stay() -> None:
    background = noise()
    responses = np.random.default_rng(1).standard_normal((3, 4, 50))
    plain = mix(parts_of(responses, background))
    for seed in range(5):
        scene = mix(Rotation()(parts_of(responses, background), np.random.default_rng(seed)))
        assert np.allclose(scene.mixture[0], plain.mixture[0], atol=1e-6)
        assert np.allclose(scene.targets, plain.targets, atol=1e-6)
        assert (scene.labels, scene.spans) == (plain.labels, plain.spans)
        energies = [np.square(one.mixture[1:]).sum(axis=0) for one in (scene, plain)]
        assert np.allclose(*energies, atol=1e-6)
        assert not np.allclose(scene.mixture[1:], plain.mixture[1:], atol=1e-2)


def test_all_angles_come_and_each_mirror_half_of_the_time() -> None:
    ahead = np.array([[1.0, 0.0, 0.2]] * 3)
    rng = np.random.default_rng(0)
    gains = np.array([Rotation()(anechoic(ahead), rng).sounds[0].response[:, 0] for _ in range(400)])
    angles, up = np.arctan2(gains[:, 1], gains[:, 3]), gains[:, 2] > 0
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0].min() > 30
    assert 0.4 < up.mean() < 0.6
    sides = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    changed = [Rotation()(anechoic(sides), rng) for _ in range(200)]
    axes = np.array([[sound.response[[3, 1, 2], 0] for sound in parts.sounds] for parts in changed])
    assert 0.4 < (np.linalg.det(axes) > 0).mean() < 0.6
    unturned = [Rotation(probability=0.25)(anechoic(sides), rng).sounds for _ in range(400)]
    assert 0.18 < np.mean([not np.allclose(one[0].response[3], 1) for one in unturned]) < 0.32


def test_an_equaliser_gives_each_octave_its_gain_and_moves_nothing() -> None:
    rng = np.random.default_rng(0)
    source = rng.standard_normal(40_000).astype(np.float32)
    octaves, gains_db = 2.0 ** np.arange(-7, 1), np.array([-6.0, 3.0, 0.0, 6.0, -3.0, 2.0, -5.0, 4.0])
    changed = equalised(source, octaves, gains_db)
    assert changed.dtype == np.float32
    assert changed.shape == source.shape
    assert np.abs(changed).max() == pytest.approx(1.0)
    ratio = np.abs(np.fft.rfft(changed)) ** 2, np.abs(np.fft.rfft(source)) ** 2
    shares = np.linspace(0, 1, len(ratio[0]))
    near = [np.abs(np.log2(np.maximum(shares, 1e-9) / octave)) < 0.04 for octave in octaves[1:]]
    measured = np.array([10 * np.log10(ratio[0][band].sum() / ratio[1][band].sum()) for band in near])
    assert np.allclose(measured - measured.mean(), gains_db[1:] - gains_db[1:].mean(), atol=0.6)
    click = np.zeros(3000, np.float32)
    click[1234] = 1.0
    assert np.abs(equalised(click, octaves, gains_db)).argmax() == 1234
    assert not equalised(np.zeros(100, np.float32), octaves, gains_db).any()


def test_sounds_change_with_their_targets_and_others_stay() -> None:
    responses = np.random.default_rng(1).standard_normal((3, 4, 50))
    parts = parts_of(responses)
    before = [sound.source.copy() for sound in parts.sounds]
    changed = Equaliser(probability=1.0)(parts, np.random.default_rng(0))
    assert all(np.array_equal(sound.source, source) for sound, source in zip(parts.sounds, before, strict=True))
    for sound, own in zip(changed.sounds, parts.sounds, strict=True):
        assert 0 < abs(sound.level_db - own.level_db) <= 6
        assert not np.allclose(sound.source, own.source, atol=1e-2)
    # Alone in its scene through a direct path alone, a source is heard at W as its target is.
    direct = replace(changed.sounds[0], response=np.eye(4, 1, dtype=np.float32), direct=(0, 1))
    scene = mix(replace(changed, sounds=(direct,)))
    assert np.allclose(scene.mixture[0], scene.targets[0], atol=1e-6)
    level = 10 * np.log10(np.square(scene.mixture).sum() / (4 * 600))
    assert level == pytest.approx(changed.sounds[0].level_db, abs=0.01)
    kept = Equaliser(probability=0.5)(parts_of(responses), np.random.default_rng(2)).sounds
    assert {sound.level_db == own.level_db for sound, own in zip(kept, parts.sounds, strict=True)} == {True, False}
    same = Equaliser(probability=1.0, level_db=0.0, octave_db=0.0)(parts, np.random.default_rng(0))
    assert np.allclose(same.sounds[0].source, parts.sounds[0].source, atol=1e-5)


# Short sounds in a row.


def drawn(layout: Layout, **changes: float) -> list[Event]:
    joining = Joining(**({"probability": 1.0, "shorter": 0.8} | changes))
    sampler = SceneSampler(layout.split("train"), 3.0, joining=joining)
    return [event for index in range(200) for event in sampler.sample(0, 0, index).foreground]


def test_short_sounds_are_followed_by_others_of_their_class_within_the_scene(layout: Layout) -> None:
    events = drawn(layout, probability=0.5)
    assert not [event for event in events if event.following and event.event_duration >= 0.8]
    short = [event for event in events if event.event_duration < 0.8]
    assert 0.2 < np.mean([bool(event.following) for event in short]) < 0.5  # where there is room
    assert max(len(event.following) for event in short) > 1
    for event in short:
        assert event.event_time + event.length <= 3.0 + 1e-9
        for sound in event.following:
            assert sound.source_file.split("/")[0] == event.label
            assert 0 <= sound.pause <= 0.5


def test_what_follows_is_heard_after_its_pause_in_mixture_target_and_span(layout: Layout) -> None:
    sampler = SceneSampler(layout.split("train"), 3.0, events=(1, 1), joining=Joining(probability=1.0, shorter=0.8))
    spec = next(spec for spec in (sampler.sample(0, 0, i) for i in range(50)) if spec.foreground[0].following)
    (event,) = spec.foreground
    renderer = Renderer(layout)
    sound = renderer.read(spec).sounds[0]
    pieces = [(event.source_file, 0.0, event.event_duration)]
    pieces += [(more.source_file, more.pause, more.duration) for more in event.following]
    start = 0
    for file, pause, duration in pieces:
        start += int(pause * 8000)
        piece = renderer._source(layout.root / spec.dirs.foreground / file, 0.0, duration, True)
        assert np.array_equal(sound.source[start : start + len(piece)], piece)
        start += len(piece)
    assert start == len(sound.source)
    assert renderer.render(spec).spans[0] == (sound.onset, min(sound.offset, 24_000))


def test_without_joining_scenes_are_what_they_were(layout: Layout) -> None:
    plain, never = (SceneSampler(layout.split("train"), 2.0, joining=joining) for joining in (None, Joining(0.5, 0.0)))
    assert [plain.sample(0, 0, i) for i in range(20)] == [never.sample(0, 0, i) for i in range(20)]
    assert "following" not in repr(plain.sample(0, 0, 0))


# In training.

ALL = {"joining": Joining(), "rotation": Rotation(), "equaliser": Equaliser()}


@pytest.mark.parametrize("render", ["worker", "device"])
def test_an_augmented_scene_is_a_function_of_seed_and_item_whatever_the_workers(
    make_module: Callable[..., SceneDataModule], render: str
) -> None:
    def batches(**changes: object) -> list[torch.Tensor]:
        return [batch.mixture for batch in make_module(augment=ALL, render=render, **changes).train_dataloader()]

    one, other = batches(), batches(workers=2)
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))
    scenes, single = make_module(augment=ALL).train_dataset(), make_module(augment=ALL).train_dataset()[4]
    assert np.array_equal(scenes[4].mixture, single.mixture)
    assert not any(torch.allclose(first, second) for first, second in zip(one, batches(seed=2), strict=True))


def test_only_training_scenes_are_augmented(make_module: Callable[..., SceneDataModule]) -> None:
    plain, changed = make_module(), make_module(augment=ALL)
    own, other = plain.train_dataset(), make_module(augment={"rotation": Rotation()}).train_dataset()
    assert np.allclose(own[3].mixture[0], other[3].mixture[0], atol=1e-6)  # the same scene, turned
    assert not np.allclose(own[3].mixture[1:], other[3].mixture[1:], atol=1e-4)
    assert plain.fingerprint("valid") == changed.fingerprint("valid")
    assert np.array_equal(plain.eval_dataset("valid")[0].mixture, changed.eval_dataset("valid")[0].mixture)


def test_values_out_of_range_are_refused() -> None:
    with refused("rotation.probability=2 is no probability"):
        Rotation(probability=2)
    with refused("equaliser.level_db=-1 is no range"):
        Equaliser(level_db=-1)
    with refused(r"joining.pause=\[1, 0\] is no range"):
        Joining(pause=(1, 0))
