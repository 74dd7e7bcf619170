from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch

from sedsep.benchmarks.scenes import SetSize, measure_device, measure_worker, write_set
from sedsep.scenes.layout import Layout

TINY = SetSize(
    rooms=2, positions=3, channels=2, taps=400, labels=3, files_per_label=1, backgrounds=1, source_seconds=(0.2, 0.5),
    background_seconds=1.0, scene_seconds=1.0, sample_rate=8000,
)  # fmt: skip


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return write_set(tmp_path_factory.mktemp("benchmark"), TINY)


def test_the_set_has_the_sizes_asked_for_and_is_made_once(noise: Layout) -> None:
    split = noise.split("train")
    assert (len(split.rooms), len(split.events), len(split.interference), len(split.noise)) == (2, 3, 3, 1)
    with h5py.File(split.rooms[0]) as file:
        assert file["Data.IR"].shape == (3, 2, 400)
        assert file["Data.IR"].dtype == "f8"
    written = {path: path.stat().st_mtime_ns for path in Path(noise.root).rglob("*")}
    write_set(noise.root, TINY)
    assert {path: path.stat().st_mtime_ns for path in Path(noise.root).rglob("*")} == written


def test_the_parts_of_a_scene_add_up(noise: Layout) -> None:
    cost = measure_worker(noise, 1.0, scenes=6)
    assert cost.scenes == 6
    assert min(cost.draw, cost.read, cost.mix, cost.transforms) > 0
    assert cost.total == pytest.approx(cost.draw + cost.read + cost.transforms + cost.adding)
    assert cost.scenes_per_second == pytest.approx(1000 / cost.total)
    assert cost.ratio == pytest.approx(cost.total / cost.transforms)


def test_a_device_is_measured_in_whole_batches(noise: Layout) -> None:
    cost = measure_device(noise, torch.device("cpu"), 1.0, scenes=7, batch_size=3)
    assert (cost.scenes, cost.batch_size, cost.peak_mb) == (6, 3, None)
    assert min(cost.read, cost.mix) > 0
    assert cost.sent_mb > 8000 * 2 * 4 / 1e6
