"""The distributions that scenes of 2026 are drawn from: what the challenge draws, over many scenes of one seed."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import PurePosixPath

import numpy as np
import pytest
import soundfile
from scene_fixtures import RATE, noise
from scipy import stats

from sedsep.scenes.layout import Layout
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import EDITIONS, Repeats, SceneSampler
from sedsep.types import Event, SceneSpec

SCENES, POSITIONS = 4000, 10
FILES = ["a/0.wav", "a/1.wav", "b/0.wav", "b/deep/1.wav", "c/0.wav", "0.wav"]
"""Of each class: three folders, and a file beside them."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root, rng = tmp_path_factory.mktemp("drawing"), np.random.default_rng(0)
    places = [f"sound_event/train/{label}/{file}" for label in ("Bell", "Cough", "Dog", "Speech") for file in FILES]
    for place in [*places, "interference/train/Rain/0.wav", "interference/train/Wind/0.wav"]:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / place, noise(rng, 0.5), RATE)
    angles = 2 * np.pi * np.arange(POSITIONS) / POSITIONS
    circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    (root / "room_ir" / "train").mkdir(parents=True)
    write_sofa(root / "room_ir" / "train" / "room.sofa", rng.standard_normal((POSITIONS, 4, 9)), circle, RATE, title="")
    return Layout(root, RATE, 4)


def draw(layout: Layout, count: int = SCENES, **changes: object) -> list[SceneSpec]:
    sampler = SceneSampler(layout.split("train"), 2.0, **(EDITIONS[2026] | changes))
    return [sampler.sample(0, 0, index) for index in range(count)]


@pytest.fixture(scope="module")
def specs(layout: Layout) -> list[SceneSpec]:
    return draw(layout)


def duplicates(spec: SceneSpec) -> int:
    return len(spec.foreground) - len({event.label for event in spec.foreground})


def of_one_class(spec: SceneSpec) -> list[tuple[Event, Event]]:
    return [pair for pair in combinations(spec.foreground, 2) if pair[0].label == pair[1].label]


def uniform(values: list, choices: int) -> None:
    counts = list(Counter(values).values())
    assert len(counts) == choices
    assert stats.chisquare(counts).pvalue > 1e-3


def test_numbers_of_sounds(specs: list[SceneSpec]) -> None:
    uniform([len(spec.foreground) for spec in specs], 4)
    uniform([len(spec.interference) for spec in specs], 3)
    assert {(spec.ref_db, spec.edition) for spec in specs} == {(-55, 2026)}


def test_half_of_the_scenes_that_can_repeat_a_class_do(specs: list[SceneSpec]) -> None:
    for count in (2, 3):
        uniform([duplicates(spec) > 0 for spec in specs if len(spec.foreground) == count], 2)
    assert not any(duplicates(spec) for spec in specs if len(spec.foreground) < 2)
    uniform([duplicates(spec) for spec in specs if len(spec.foreground) == 3 and duplicates(spec)], 2)


def test_classes_and_files_are_uniform(specs: list[SceneSpec]) -> None:
    uniform([event.label for spec in specs for event in spec.foreground if not duplicates(spec)], 4)
    uniform([spec.foreground[0].label for spec in specs if duplicates(spec)], 4)
    uniform([event.source_file for spec in specs for event in spec.foreground if not duplicates(spec)], 4 * len(FILES))
    # One of a pair is any file, the other any file of another folder; which of them comes first is drawn as well.
    files = [PurePosixPath(file) for file in FILES]
    expected: Counter[str] = Counter()
    for one in files:
        others = [file for file in files if file != one and (len(one.parts) < 2 or file.parts[0] != one.parts[0])]
        for other in others:
            expected[" ".join(sorted(map(str, (one, other))))] += 1 / len(files) / len(others)
    pairs = [pair for spec in specs if len(spec.foreground) == 2 for pair in of_one_class(spec)]
    drawn = Counter(" ".join(sorted(event.source_file.split("/", 1)[1] for event in pair)) for pair in pairs)
    assert set(drawn) == set(expected)
    assert stats.chisquare([drawn[key] for key in expected], [len(pairs) * p for p in expected.values()]).pvalue > 1e-3


def test_sounds_of_a_class_come_from_other_directions(specs: list[SceneSpec]) -> None:
    pairs = [pair for spec in specs for pair in of_one_class(spec)]
    angles = [np.degrees(np.arccos(np.clip(np.dot(one.position, other.position), -1, 1))) for one, other in pairs]
    assert min(angles) > 60
    # Steps of 36 degrees between two sounds of a class: each that is large enough is as likely as any other.
    alone = [pair for spec in specs if len(spec.foreground) == 2 for pair in of_one_class(spec)]
    uniform([(one.position_index - other.position_index) % POSITIONS for one, other in alone], POSITIONS - 3)
    uniform([event.position_index for spec in specs for event in (*spec.foreground, *spec.interference)], POSITIONS)


def test_levels_and_onsets_are_uniform_for_repeated_sounds_too(specs: list[SceneSpec]) -> None:
    repeated = [event for spec in specs for event in spec.foreground if duplicates(spec)]
    interference = [event for spec in specs for event in spec.interference]
    assert stats.kstest([event.snr for event in repeated], stats.uniform(5, 15).cdf).pvalue > 1e-3
    assert stats.kstest([event.snr for event in interference], stats.uniform(0, 15).cdf).pvalue > 1e-3
    for events in (repeated, interference):
        assert stats.kstest([event.event_time for event in events], stats.uniform(0, 1.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_the_share_of_scenes_that_repeat_a_class_is_an_option(layout: Layout, probability: float) -> None:
    specs = draw(layout, 600, events=(2, 3), repeats=Repeats(probability))
    repeats = sum(duplicates(spec) > 0 for spec in specs)
    assert stats.binomtest(repeats, len(specs), probability).pvalue > 1e-3


def test_how_sounds_of_a_class_differ_is_an_option(layout: Layout) -> None:
    def pairs(**changes: object) -> list[tuple[Event, Event]]:
        specs = draw(layout, 300, events=(3, 3), repeats=Repeats(1.0, **changes))
        return [pair for spec in specs for pair in of_one_class(spec)]

    assert len(pairs(most=1)) == 300
    near = [(one.position_index - other.position_index) % POSITIONS for one, other in pairs(degrees=30)]
    assert set(near) == set(range(1, POSITIONS))
    folders = [[PurePosixPath(event.source_file).parts[1] for event in pair] for pair in pairs(folders_apart=False)]
    assert any(one == other for one, other in folders)
    assert all(one.source_file != other.source_file for one, other in pairs(folders_apart=False))
