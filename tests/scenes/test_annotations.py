"""Events in the challenge's text format, and why dcase_util's encoder does not make the frame targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dcase_util.containers import MetaDataContainer
from dcase_util.data import EventRollEncoder

from sedsep.labels import LabelSet, frame_labels
from sedsep.scenes.metadata import write_index
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Batch, SceneSpec

RATE, FRAMES = 8000, 50
LABELS = LabelSet(("Bell", "Cough", "Dog", "Speech"))


@pytest.fixture
def specs(sampler: SceneSampler) -> list[SceneSpec]:
    return [sampler.sample(0, 0, index) for index in range(20)]


def test_every_scene_of_an_index_has_an_annotation_that_dcase_util_reads(
    specs: list[SceneSpec], tmp_path: Path
) -> None:
    write_index(specs, tmp_path / "valid.json")
    for spec in specs:
        path = tmp_path / "valid" / f"{spec.name}.txt"
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        assert [line[2] for line in lines] == [event.label for event in spec.foreground]
        onsets = [float(line[0]) for line in lines]
        assert onsets == sorted(onsets)
        for item, event in zip(MetaDataContainer(filename=str(path)).load(), spec.foreground, strict=True):
            assert item["event_label"] == event.label
            assert item["onset"] == pytest.approx(event.event_time, abs=1e-6)
            assert item["offset"] == pytest.approx(event.event_time + event.event_duration, abs=1e-6)


def test_an_event_ends_with_the_scene_at_the_latest(specs: list[SceneSpec], tmp_path: Path) -> None:
    late = replace(specs[0].foreground[0], event_time=1.9, event_duration=1.0)
    write_index([replace(specs[0], foreground=(late,))], tmp_path / "valid.json")
    assert (tmp_path / "valid" / f"{specs[0].name}.txt").read_text() == f"1.9\t2.0\t{late.label}\n"


def test_a_scene_without_events_has_an_empty_file(specs: list[SceneSpec], tmp_path: Path) -> None:
    write_index([replace(specs[0], foreground=())], tmp_path / "valid.json")
    assert (tmp_path / "valid" / f"{specs[0].name}.txt").read_text() == ""


def rolls(onset: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames of one event from sample `onset` to `offset` of a 2 s scene: dcase_util's, and the recipe's."""
    spans = torch.tensor([[[onset, offset]]])
    batch = Batch(torch.zeros(1, 4, 2 * RATE), torch.zeros(1, 1, 2 * RATE), LABELS.one_hot(["Dog"])[None], spans, [""])
    ours = frame_labels(batch, FRAMES)[0].numpy()
    item = {"onset": onset / RATE, "offset": offset / RATE, "event_label": "Dog"}
    encoder = EventRollEncoder(label_list=list(LABELS), time_resolution=2 / FRAMES)
    return encoder.encode(MetaDataContainer([item]), length_frames=FRAMES).data, ours


def test_dcase_utils_encoder_counts_frames_that_an_event_only_touches() -> None:
    """A frame is 320 samples: an event from frame 10.75 to 20.25 is rounded to 11 to 20, not widened to 10 to 21."""
    theirs, ours = rolls(10 * 320 + 240, 20 * 320 + 80)
    assert np.flatnonzero(theirs[2]).tolist() == list(range(10, 21))
    assert np.flatnonzero(ours[2]).tolist() == list(range(11, 20))


def test_the_encoders_differ_by_a_frame_at_each_end_at_most() -> None:
    rng = np.random.default_rng(0)
    for onset, length in zip(rng.integers(0, 15000, 100), rng.integers(400, 9000, 100), strict=True):
        theirs, ours = rolls(int(onset), int(min(onset + length, 2 * RATE)))
        assert (theirs >= ours).all()
        assert (theirs - ours).sum() <= 2
