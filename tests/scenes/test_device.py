from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from minis import refused
from test_dataset import fit
from torch.utils.data._utils.pin_memory import pin_memory

from sedsep.scenes.datamodule import SceneDataModule, SceneLoader
from sedsep.scenes.dataset import SharedScenes, collate
from sedsep.scenes.device import UnmixedBatch, collate_parts, mix_batch
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.mixing import SceneParts
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Batch

RATE = 8000
CPU = torch.device("cpu")


def test_the_golden_scenes_in_one_batch(golden: Path) -> None:
    layout = Layout(golden / "scenes", 32000, 4)
    specs = load_index(layout.root / "metadata" / "valid.json", layout)
    batch = mix_batch(collate_parts([Renderer(layout).read(spec) for spec in specs], layout.labels()), CPU)
    expected = np.load(golden / "scenes" / "digest.npz")
    for number, spec in enumerate(specs):
        slots = [spec.slots.index(str(event.label)) for event in spec.foreground]
        mixture, targets = batch.mixture[number, :, ::37].T, batch.targets[number, slots, ::37]
        np.testing.assert_allclose(mixture, expected[f"mixture_{number}"], rtol=0, atol=3e-7)
        np.testing.assert_allclose(targets, expected[f"dry_{number}"], rtol=0, atol=3e-7)
        assert batch.spans[number, slots].tolist() == expected[f"on_offset_{number}"].tolist()
        silent = [slot for slot, label in enumerate(spec.slots) if label == "silence"]
        assert not batch.targets[number, silent].any()


def both(layout: Layout, parts: list[SceneParts]) -> tuple[Batch, Batch]:
    """A batch mixed on the device, and scene by scene."""
    labels = layout.labels()
    mixed = mix_batch(collate_parts(parts, labels), CPU)
    return mixed, collate([Renderer(layout).mix(scene) for scene in parts], labels)


def same(one: Batch, other: Batch) -> None:
    # Two ways of rounding, and transforms differ between processors, too: as near as to the golden scenes.
    torch.testing.assert_close(one.mixture, other.mixture, rtol=0, atol=3e-7)
    torch.testing.assert_close(one.targets, other.targets, rtol=0, atol=3e-7)
    torch.testing.assert_close(one.query, other.query)
    assert torch.equal(one.spans, other.spans)
    assert one.names == other.names
    for name in ("mixture", "targets", "query", "spans"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert getattr(one, name).is_contiguous()


def test_scenes_are_those_of_the_worker_path(layout: Layout, sampler: SceneSampler) -> None:
    renderer = Renderer(layout)
    same(*both(layout, [renderer.read(sampler.sample(0, 0, index)) for index in range(16)]))


def test_a_scene_does_not_depend_on_its_batch(layout: Layout, sampler: SceneSampler) -> None:
    def mixed(indices: list[int]) -> Batch:
        parts = [Renderer(layout).read(sampler.sample(0, 0, index)) for index in indices]
        return mix_batch(collate_parts(parts, layout.labels()), CPU)

    together, alone = mixed([3, 4, 5, 6]), mixed([5])
    torch.testing.assert_close(together.mixture[2], alone.mixture[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(together.targets[2], alone.targets[0], rtol=0, atol=1e-7)


def test_rooms_of_all_lengths_and_sounds_that_the_end_cuts_off_share_a_batch(root: Path, sampler: SceneSampler) -> None:
    rng = np.random.default_rng(0)
    for name, taps in (("roomA", 1), ("roomB", 3000)):
        responses = rng.standard_normal((5, 4, taps)) * np.exp(-np.arange(taps) / 500)
        path = root / "room_ir" / "train" / f"{name}.sofa"
        write_sofa(path, responses, rng.standard_normal((5, 3)), RATE, title=name)
    layout = Layout(root, RATE, 4)
    specs = [sampler.sample(0, 0, index) for index in range(8)]
    assert {spec.room for spec in specs} == {"roomA.sofa", "roomB.sofa"}
    late = [dataclasses.replace(event, event_time=1.9) for event in specs[0].foreground]
    specs[0] = dataclasses.replace(specs[0], foreground=tuple(late))
    same(*both(layout, [Renderer(layout).read(spec) for spec in specs]))


def test_silence_stays_silent(layout: Layout, sampler: SceneSampler) -> None:
    parts = [Renderer(layout).read(sampler.sample(0, 0, index)) for index in range(2)]
    quiet = [dataclasses.replace(sound, source=np.zeros_like(sound.source)) for sound in parts[0].sounds]
    parts[0] = dataclasses.replace(parts[0], sounds=tuple(quiet))
    parts[1] = dataclasses.replace(parts[1], sounds=())
    backgrounds = torch.from_numpy(np.stack([scene.background.copy() for scene in parts]))
    batch = mix_batch(collate_parts(parts, layout.labels()), CPU)
    assert torch.equal(batch.mixture, backgrounds)
    assert not batch.targets.any()


def test_unlike_scenes_cannot_share_a_batch(layout: Layout, sampler: SceneSampler) -> None:
    other = SceneSampler(layout.split("train"), 1.0)
    parts = [Renderer(layout).read(drawn.sample(0, 0, 0)) for drawn in (sampler, other)]
    with refused("cannot share a batch"):
        collate_parts(parts, layout.labels())


def test_all_tensors_move_together(layout: Layout, sampler: SceneSampler) -> None:
    parts = [Renderer(layout).read(sampler.sample(0, 0, index)) for index in range(3)]
    batch = collate_parts(parts, layout.labels()).to(torch.device("meta"))
    assert isinstance(batch, UnmixedBatch)
    tensors = [batch.background, batch.query, batch.spans]
    tensors += [group.sources for group in batch.groups] + [group.responses for group in batch.groups]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_batches_are_pinned_for_a_gpu(layout: Layout, sampler: SceneSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, parts = layout.labels(), [Renderer(layout).read(sampler.sample(0, 0, index)) for index in range(2)]
    unmixed, mixed = collate_parts(parts, labels), collate([Renderer(layout).mix(scene) for scene in parts], labels)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.to("meta"))  # stands for pinned memory
    for batch in (mixed, unmixed):
        pinned, _ = pin_memory((batch, []))  # as the loader's thread does
        assert type(pinned) is type(batch)
        assert pinned.names == batch.names
        tensors = [value for value in vars(pinned).values() if isinstance(value, torch.Tensor)]
        assert len(tensors) >= 3
        assert all(tensor.is_meta for tensor in tensors)

    for device in ("cpu", "cuda"):
        items = SharedScenes([], 1, 0)
        assert SceneLoader(items, labels, 0, torch.device(device), shuffle=False).pin_memory == (device == "cuda")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_the_same_scenes(
    make_module: Callable[..., SceneDataModule], tmp_path: Path, workers: int
) -> None:
    mixed = fit(make_module(), 2, tmp_path)
    unmixed = fit(make_module(render="device", workers=workers), 2, tmp_path)
    assert [name for name, *_ in unmixed] == [name for name, *_ in mixed]
    np.testing.assert_allclose([sums for _, *sums in unmixed], [sums for _, *sums in mixed], rtol=1e-4)
    other = make_module(render="device")
    same(next(iter(other.val_dataloader())), next(iter(make_module().val_dataloader())))
