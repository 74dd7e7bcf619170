from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from sedsep.errors import UserError
from sedsep.labels import SILENCE
from sedsep.scenes.layout import Layout
from sedsep.scenes.rooms import open_room
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Event, SceneSpec

RATE = 8000


@pytest.fixture(scope="module")
def specs(sampler: SceneSampler) -> list[SceneSpec]:
    return [sampler.sample(0, 0, index) for index in range(1500)]


def test_a_scene_is_a_function_of_seed_epoch_and_index(sampler: SceneSampler, layout: Layout) -> None:
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 2, 3)]
    first = [sampler.sample(*place) for place in places]
    other = SceneSampler(Layout(layout.root, RATE, 4).split("train"), 2.0)
    assert [other.sample(*place) for place in reversed(places)] == first[::-1]
    assert len({str(spec.foreground) for spec in first}) == len(places)
    assert sampler.sample(0, 0, 0, attempt=1) != first[0]


def test_names_are_unique(specs: list[SceneSpec], sampler: SceneSampler) -> None:
    names = [spec.name for spec in specs] + [sampler.sample(0, 1, 0).name]
    assert len(set(names)) == len(names)


def test_counts_labels_files_rooms_and_positions_are_uniform(specs: list[SceneSpec]) -> None:
    def uniform(values: list, choices: int) -> None:
        counts = list(Counter(values).values())
        assert len(counts) == choices
        assert stats.chisquare(counts).pvalue > 1e-3

    events = [event for spec in specs for event in spec.foreground]
    interference = [event for spec in specs for event in spec.interference]
    uniform([len(spec.foreground) for spec in specs], 3)
    uniform([len(spec.interference) for spec in specs], 2)
    # Every label weighs the same, however many files it has.
    uniform([event.label for event in events], 4)
    uniform([event.source_file for event in events if event.label == "Bell"], 2)
    uniform([event.label for event in interference], 2)
    uniform([spec.room for spec in specs], 2)
    uniform([spec.background[0].source_file for spec in specs], 2)
    uniform([event.position_index for event in events], 5)


def test_levels_are_uniform_in_their_ranges(specs: list[SceneSpec]) -> None:
    events = [event.snr for spec in specs for event in spec.foreground]
    interference = [event.snr for spec in specs for event in spec.interference]
    assert stats.kstest(events, stats.uniform(5, 15).cdf).pvalue > 1e-3
    assert stats.kstest(interference, stats.uniform(0, 15).cdf).pvalue > 1e-3
    assert {event.snr for spec in specs for event in spec.background} == {0.0}


def test_onsets_are_uniform_and_sources_end_within_the_scene(specs: list[SceneSpec]) -> None:
    events = [event for spec in specs for event in (*spec.foreground, *spec.interference)]
    assert all(0 <= event.event_time <= 2.0 - event.event_duration for event in events)
    onsets = [event.event_time for event in events if event.source_file == "Cough/cough_0.wav"]
    assert stats.kstest(onsets, stats.uniform(0, 1.5).cdf).pvalue > 1e-3


def test_long_sources_are_cut_at_random_to_the_scene(specs: list[SceneSpec], layout: Layout) -> None:
    cut = [event for spec in specs for event in spec.foreground if event.source_file == "Dog/dog_1.wav"]
    assert {(event.event_time, event.event_duration) for event in cut} == {(0.0, 2.0)}
    starts = [event.source_time for event in cut]
    assert stats.kstest(starts, stats.uniform(0, 3.0).cdf).pvalue > 1e-3
    whole = [event for spec in specs for event in spec.foreground if event.source_file != "Dog/dog_1.wav"]
    assert {event.source_time for event in whole} == {0.0}


def test_backgrounds_start_at_whole_seconds_and_short_ones_are_taken_whole(specs: list[SceneSpec]) -> None:
    backgrounds = [spec.background[0] for spec in specs]
    assert {event.source_time for event in backgrounds if event.source_file == "long.wav"} == {0.0, 1.0, 2.0, 3.0}
    assert {event.source_time for event in backgrounds if event.source_file == "short.wav"} == {None}
    assert {(event.event_time, event.event_duration) for event in backgrounds} == {(0.0, 2.0)}


def test_slots_follow_the_onsets_and_end_in_silence(specs: list[SceneSpec]) -> None:
    for spec in specs:
        onsets = [event.event_time for event in spec.foreground]
        labels = [event.label for event in spec.foreground]
        assert onsets == sorted(onsets)
        assert len(set(labels)) == len(labels)
        assert spec.slots == (*labels, *[SILENCE] * (3 - len(labels)))


def test_positions_are_those_of_the_room(specs: list[SceneSpec], layout: Layout) -> None:
    for spec in specs[:50]:
        room = open_room(layout.root / spec.dirs.rooms / spec.room, RATE, 4)
        for event in (*spec.foreground, *spec.interference):
            assert event.position == tuple(room.positions[event.position_index])


@pytest.mark.parametrize("duration", [0.05, 0.5, 5.0, 12.0])
def test_scenes_of_any_length_are_valid(layout: Layout, duration: float) -> None:
    sampler = SceneSampler(layout.split("train"), duration)
    for index in range(100):
        spec = sampler.sample(0, 0, index)
        for event in (*spec.foreground, *spec.interference):
            length = layout.split("train").duration(
                layout.root
                / (spec.dirs.foreground if event in spec.foreground else str(spec.dirs.interference))
                / event.source_file
            )
            assert 0 <= event.event_time < duration
            assert event.event_time + event.event_duration <= duration + 1e-9
            assert (event.source_time or 0) + event.event_duration <= length + 1e-9


def _most_at_once(events: tuple[Event, ...]) -> int:
    instants = np.arange(0, 4.0, 0.01)
    return max(sum(e.event_time <= t <= e.event_time + e.event_duration for e in events) for t in instants)


def test_overlap_is_bounded(layout: Layout) -> None:
    sampler = SceneSampler(layout.split("train"), 4.0, events=(2, 3), max_overlap=1)
    assert all(_most_at_once(sampler.sample(0, 0, index).foreground) == 1 for index in range(30))


def test_an_impossible_placement_ends_with_a_sentence(layout: Layout) -> None:
    sampler = SceneSampler(layout.split("train"), 0.2, events=(2, 2), max_overlap=1)
    with pytest.raises(UserError, match=r"No placement of 2 events in 0\.2 s"):
        sampler.sample(0, 0, 0)


def test_interference_may_be_switched_off(layout: Layout) -> None:
    sampler = SceneSampler(layout.split("train"), 2.0, interference=(0, 0))
    assert all(sampler.sample(0, 0, index).interference == () for index in range(20))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"events": (3, 1)}, r"events=\[3, 1\] is no range"),
        ({"event_snr": (20, 5)}, r"event_snr=\[20, 5\] is no range"),
        ({"events": (-1, 2)}, "none may be negative"),
        ({"events": (1, 4)}, r"more events than there are slots \(3\)"),
        ({"events": (1, 5), "slots": 5}, r"labels in split 'train' \(4\)"),
        ({"duration": 0}, "cannot be drawn"),
        ({"direct_path_ms": (6, 0)}, "direct_path_ms"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(layout: Layout, changes: dict, says: str) -> None:
    settings = {"split": layout.split("train"), "duration": 2.0}
    with pytest.raises(UserError, match=says):
        SceneSampler(**(settings | changes))
