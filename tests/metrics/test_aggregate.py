from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from sedsep.metrics.aggregate import SedCurve
from sedsep.metrics.sed import SedEvent, SedScene, psds1, segment_pauroc

LABELS = ("Bell", "Dog")
GENERATOR = np.random.default_rng(0)


def scene(seconds: float, onset: float, index: int) -> SedScene:
    said = GENERATOR.uniform(size=(round(25 * seconds), len(LABELS))).astype(np.float32)
    return SedScene(said, (SedEvent(onset, onset + 1 / 3, index),), seconds)


SCENES = [scene(2.0, 0.1, 0), scene(3.2, 1.7, 1), scene(2.0, 0.6, 1), scene(2.0, 1.2, 0), scene(4.0, 0.0, 0)]
SPLITS = [(5,), (2, 3), (1, 1, 3), (5, 0), (0, 4, 1)]


def split(items: list, sizes: tuple[int, ...]) -> list[list]:
    edges = np.cumsum((0, *sizes))
    return [items[start:stop] for start, stop in pairwise(edges.tolist())]


@pytest.mark.parametrize("sizes", SPLITS)
def test_scenes_score_alike_however_they_come_in_batches(sizes: tuple[int, ...]) -> None:
    for measure in (segment_pauroc, psds1):
        metric = SedCurve(LABELS, measure)
        for batch in split(SCENES, sizes):
            metric.update(batch)
        assert metric.compute().item() == pytest.approx(measure(SCENES, LABELS).overall.value, abs=1e-6)


def test_nothing_seen_is_no_score() -> None:
    assert SedCurve(LABELS).compute().isnan()


def test_a_new_start_forgets_what_was_seen() -> None:
    metric = SedCurve(LABELS)
    metric.update(SCENES)
    metric.reset()
    metric.update(SCENES[:2])
    assert metric.compute().item() == pytest.approx(segment_pauroc(SCENES[:2], LABELS).overall.value)


# Several processes: each has its share, and all come to the score of the whole.

SHARES = [(2, 3), (5, 0)]


def score_a_share(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = []
    for sizes in SHARES:
        scenes = SedCurve(LABELS)
        if sizes[rank]:
            scenes.update(split(SCENES, sizes)[rank])
        found.append(scenes.compute())
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_ranks_with_uneven_shares_or_none_come_to_the_same_score(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(score_a_share, (tmp_path,), nprocs=2)
    for rank in (0, 1):
        for scenes in torch.load(tmp_path / f"{rank}.pt"):
            assert scenes.item() == pytest.approx(segment_pauroc(SCENES, LABELS).overall.value, abs=1e-6)
