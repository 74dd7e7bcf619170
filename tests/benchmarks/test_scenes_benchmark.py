from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch

from sedsep.benchmarks.scenes import NoiseSet, scene_costs

TINY = NoiseSet(
    rooms=2, positions=3, channels=2, taps=400, labels=3, files_per_label=1, backgrounds=1, source_seconds=(0.2, 0.5),
    background_seconds=1.0, scene_seconds=1.0, sample_rate=8000,
)  # fmt: skip


def test_the_set_has_the_sizes_asked_for_and_is_made_once(tmp_path: Path) -> None:
    split = TINY.write(tmp_path).split("train")
    assert (len(split.rooms), len(split.events), len(split.interference), len(split.noise)) == (2, 3, 3, 1)
    with h5py.File(split.rooms[0]) as file:
        assert file["Data.IR"].shape == (3, 2, 400)
        assert file["Data.IR"].dtype == "f8"
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    TINY.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_the_parts_of_a_scene_add_up(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    table = scene_costs(TINY, TINY.write(tmp_path), torch.device("cpu"), scenes=6)
    assert torch.get_num_threads() == threads
    metrics = {name.removeprefix("benchmark/scenes/"): value for name, value in table.metrics.items()}
    assert min(metrics.values()) > 0
    assert metrics["ratio"] == pytest.approx(metrics["scene_ms"] / metrics["transforms_ms"])
    (_, draw, read, transforms, adding, total, scenes_a_second, *_), mixed = table.rows
    assert sum(map(float, (draw, read, transforms, adding))) == pytest.approx(float(total), abs=0.3)
    assert float(total) * float(scenes_a_second) == pytest.approx(1000, rel=0.1)
    assert sum(map(float, (mixed[2], mixed[4]))) == pytest.approx(float(mixed[5]), abs=0.2)
