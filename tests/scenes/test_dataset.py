from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import h5py
import lightning
import numpy as np
import pytest
import soundfile
import torch
from minis import refused

from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.dataset import EpochSampler, GeneratedScenes, IndexedScenes, TrainingItems, collate
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import write_index
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Batch

RATE = 8000
Make = Callable[..., SceneDataModule]


def summary(batches: Iterable[Batch]) -> list[tuple[str, float, float]]:
    """Name and sums of every scene: equal only for equal scenes."""
    return [
        (name, float(batch.mixture[i].abs().sum()), float(batch.targets[i].abs().sum()))
        for batch in batches
        for i, name in enumerate(batch.names)
    ]


def test_items_count_on_over_the_epochs(sampler: SceneSampler, layout: Layout) -> None:
    renderer = Renderer(layout)
    scenes = GeneratedScenes(sampler, renderer, seed=7, epoch_size=10)
    assert len(scenes) == 10
    expected = renderer.render(sampler.sample(7, 2, 3))
    assert scenes[23].name == expected.name
    np.testing.assert_array_equal(scenes[23].mixture, expected.mixture)


def test_a_pool_of_scenes_is_made_once_and_gone_round(sampler: SceneSampler, layout: Layout) -> None:
    scenes = GeneratedScenes(sampler, Renderer(layout), seed=7, epoch_size=4)
    items = TrainingItems(scenes, mixed=True, pool=6, channels=1)
    (first, _), (again, _) = items[5], items[11]  # of the second and the third epoch
    assert again is first
    assert first.name == scenes[5].name
    np.testing.assert_array_equal(first.mixture, scenes[5].mixture[:1])
    assert first.targets.size == 0
    assert items[6][0] is items[0][0]


def test_silent_sources_are_drawn_anew(root: Path) -> None:
    bell = root / "sound_event" / "train" / "Bell"
    soundfile.write(bell / "bell_0.wav", np.zeros(RATE), RATE)
    layout = Layout(root, RATE, 4)
    sampler = SceneSampler(layout.split("train"), 2.0)
    scenes = GeneratedScenes(sampler, Renderer(layout), 0, 40)
    first = [scenes[i] for i in range(40)]
    sources = [(label, target) for scene in first for label, target in zip(scene.labels, scene.targets, strict=True)]
    assert all(target.any() for label, target in sources if label != "silence")
    assert "Bell" in {label for label, _ in sources}
    for scene, again in zip(first, (scenes[i] for i in range(40)), strict=True):
        np.testing.assert_array_equal(scene.mixture, again.mixture)


def test_a_data_set_of_silence_ends_with_a_sentence(root: Path) -> None:
    for path in (root / "sound_event").rglob("*.wav"):
        soundfile.write(path, np.zeros(RATE), RATE)
    layout = Layout(root, RATE, 4)
    scenes = GeneratedScenes(SceneSampler(layout.split("train"), 2.0), Renderer(layout), 0, epoch_size=1)
    with pytest.raises(UserError, match=r"had a silent source or .*, the last one .*sound_event/train.*\.wav"):
        scenes[0]


SOURCE, BACKGROUND, ROOM = "sound_event/train/Cough/cough_0.wav", "noise/train/long.wav", "room_ir/train/roomA.sofa"


def _damage(path: Path, kind: str) -> None:
    """Make a file unusable that the data set's index has found in order."""
    samples = np.full(8 * RATE, 0.25, np.float32)
    match kind:
        case "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "zero bytes":
            path.write_bytes(b"")
        case "text":
            path.write_text("this is no audio")
        case "header only":
            soundfile.write(path, samples[:0], RATE)
        case "shorter":
            soundfile.write(path, samples[:100], RATE)
        case "NaN" | "Inf" as value:
            samples[:] = float(value)
            soundfile.write(path, samples, RATE, subtype="FLOAT")
        case "picture":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
        case "folder":
            path.unlink()
            path.mkdir()
        case "missing":
            path.unlink()
        case "one channel":
            soundfile.write(path, samples, RATE)
        case "NaN responses":
            with h5py.File(path, "r+") as file:
                file["Data.IR"][:] = np.nan


SOURCE_DAMAGE = (
    "truncated", "zero bytes", "text", "header only", "shorter", "NaN", "Inf", "picture", "folder", "missing"
)  # fmt: skip
OTHER_DAMAGE = [
    (BACKGROUND, "one channel"), (BACKGROUND, "truncated"), (ROOM, "truncated"), (ROOM, "text"), (ROOM, "NaN responses")
]  # fmt: skip


@pytest.mark.parametrize(("file", "kind"), [*((SOURCE, kind) for kind in SOURCE_DAMAGE), *OTHER_DAMAGE])
def test_an_unusable_file_is_named_or_skipped_and_counted(
    root: Path, make_module: Make, file: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(root, RATE, 4)
    layout.split("train")
    loaders = {
        on_error: make_module(layout=layout, epoch_size=40, on_error=on_error).train_dataloader()
        for on_error in ("raise", "skip")
    }
    path = root / file
    _damage(path, kind)
    with refused(re.escape(str(path))):
        list(loaders["raise"])

    assert len({name for batch in loaders["skip"] for name in batch.names}) == 40
    assert set(loaders["skip"].skipped) == {str(path)}
    times = loaders["skip"].skipped[str(path)]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert str(path) in warnings[0]
    assert warnings[1].startswith(f"{times} scenes were drawn anew so far, for 1 files")


def test_what_workers_skip_is_told_too(root: Path, make_module: Make, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout(root, RATE, 4)
    layout.split("train")
    path = root / SOURCE
    _damage(path, "text")

    def epoch(workers: int, render: str) -> tuple[list, int]:
        module = make_module(layout=layout, epoch_size=40, on_error="skip", workers=workers, render=render)
        loader = module.train_dataloader()
        return [name for name, *_ in summary(loader)], loader.skipped[str(path)]

    names, times = epoch(0, "worker")
    assert times > 5
    assert epoch(2, "worker") == epoch(1, "device") == (names, times)
    assert sum("is not a readable audio file" in record.getMessage() for record in caplog.records) == 3


def test_the_sentence_of_a_worker_comes_without_its_traceback(root: Path, make_module: Make) -> None:
    layout = Layout(root, RATE, 4)
    layout.split("train")
    loader = make_module(layout=layout, epoch_size=40, workers=1).train_dataloader()
    path = root / SOURCE
    _damage(path, "text")
    with refused(re.escape(f"{path} is not a readable audio file")):
        list(loader)


def test_skipping_ends_where_nothing_is_left(root: Path, make_module: Make) -> None:
    layout = Layout(root, RATE, 4)
    loader = make_module(layout=layout, on_error="skip").train_dataloader()
    for path in (root / "noise").rglob("*.wav"):
        path.unlink()
    with refused(r"20 scenes drawn in a row .* the last one .*noise/train/\w+\.wav"):
        list(loader)


def test_unknown_choices_are_refused(make_module: Make) -> None:
    with refused("data.render=gpu is not known: choose one of worker, device"):
        make_module(render="gpu")
    with refused("data.engine=scaper is not known"):
        make_module(engine="scaper")
    with refused("data.on_error=ignore is not known: choose one of raise, skip"):
        make_module(on_error="ignore").train_dataloader()
    with refused("data.rendering.direct_path=true is not known"):
        make_module(rendering={"direct_path": "true"})
    with refused("data.render=device mixes with our own engine"):
        make_module(render="device", engine="spatialscaper")


def test_the_epoch_sampler_counts_on(layout: Layout) -> None:
    sampler = EpochSampler(5)
    assert (list(sampler), len(sampler)) == ([0, 1, 2, 3, 4], 5)
    sampler.set_epoch(2)
    assert list(sampler) == [10, 11, 12, 13, 14]


def test_ranks_share_an_epoch() -> None:
    ranks = [EpochSampler(7, replicas=2, rank=rank) for rank in range(2)]
    for sampler in ranks:
        sampler.set_epoch(1)
    assert [list(sampler) for sampler in ranks] == [[7, 9, 11, 13], [8, 10, 12, 7]]
    assert [len(sampler) for sampler in ranks] == [4, 4]


def test_indexed_scenes_are_the_listed_ones(sampler: SceneSampler, layout: Layout) -> None:
    specs = [sampler.sample(0, 0, index) for index in range(3)]
    scenes = IndexedScenes(specs, Renderer(layout))
    assert [scenes[i].name for i in range(len(scenes))] == [spec.name for spec in specs]


def test_a_batch_is_its_scenes_stacked(sampler: SceneSampler, layout: Layout) -> None:
    labels = layout.labels()
    scenes = [Renderer(layout).render(sampler.sample(0, 0, index)) for index in range(4)]
    batch = collate(scenes, labels)
    assert batch.mixture.shape == (4, 4, 2 * RATE)
    assert batch.targets.shape == (4, 3, 2 * RATE)
    assert batch.query.shape == (4, 3, 4)
    assert batch.spans.shape == (4, 3, 2)
    assert batch.mixture.dtype == batch.targets.dtype == batch.query.dtype == torch.float32
    assert batch.spans.dtype == torch.int64
    assert batch.mixture.is_contiguous()
    for i, scene in enumerate(scenes):
        np.testing.assert_array_equal(batch.mixture[i], scene.mixture)
        np.testing.assert_array_equal(batch.targets[i], scene.targets)
        for slot, label in enumerate(scene.labels):
            row = batch.query[i, slot]
            assert row.sum() == (label != "silence")
            assert label == "silence" or row[labels.index(label)] == 1
            assert tuple(batch.spans[i, slot].tolist()) == scene.spans[slot]
    assert batch.names == [scene.name for scene in scenes]


def test_scenes_of_different_lengths_cannot_share_a_batch(sampler: SceneSampler, layout: Layout) -> None:
    other = SceneSampler(layout.split("train"), 1.0)
    scenes = [Renderer(layout).render(drawn.sample(0, 0, 0)) for drawn in (sampler, other)]
    with pytest.raises(UserError, match="cannot share a batch"):
        collate(scenes, layout.labels())


def test_scenes_do_not_depend_on_the_workers(make_module: Make) -> None:
    def epochs(workers: int) -> list[tuple[str, float, float]]:
        loader = make_module(workers=workers).train_dataloader()
        seen = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            seen += summary(loader)
        return seen

    alone = epochs(0)
    assert len({mixture for _, mixture, _ in alone}) == 12
    assert epochs(1) == alone
    assert epochs(2) == alone


def test_another_seed_gives_other_training_but_the_same_evaluation_scenes(make_module: Make) -> None:
    one, two = make_module(seed=1), make_module(seed=2)
    assert summary(one.train_dataloader()) != summary(two.train_dataloader())
    assert summary(one.val_dataloader()) == summary(two.val_dataloader())


def test_evaluation_scenes_come_from_the_metadata_or_are_drawn_at_full_length(
    root: Path, make_module: Make, layout: Layout, sampler: SceneSampler
) -> None:
    batches = list(make_module().val_dataloader())
    assert [len(batch.names) for batch in batches] == [2, 1]
    assert batches[0].mixture.shape[-1] == 2 * RATE

    specs = [sampler.sample(9, 0, index) for index in range(4)]
    write_index(specs, root / "metadata" / "valid.json")
    module = make_module(layout=Layout(root, RATE, 4))
    assert [name for batch in module.val_dataloader() for name in batch.names] == [spec.name for spec in specs]


def test_a_missing_split_and_a_foreign_label_set_are_refused(make_module: Make) -> None:
    with pytest.raises(UserError, match=r"has no split 'test'"):
        make_module(test_split="test").eval_dataset("test")
    with pytest.raises(UserError, match="is not among the 1 classes"):
        make_module(labels=LabelSet(("Bell",)))


class Recorder(lightning.LightningModule):
    """Notes the scenes it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[str, float, float]] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        self.seen += summary([batch])
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(module: SceneDataModule, epochs: int, folder: Path, resume: Path | None = None) -> list:
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(recorder, module, ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return recorder.seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_has_its_own_scenes_and_resuming_goes_on_with_them(
    make_module: Make, tmp_path: Path, workers: int
) -> None:
    whole = fit(make_module(workers=workers), 3, tmp_path)
    assert len({mixture for _, mixture, _ in whole}) == 18
    assert fit(make_module(workers=workers), 2, tmp_path) == whole[:12]
    assert fit(make_module(workers=workers), 3, tmp_path, tmp_path / "2.ckpt") == whole[12:]


def test_a_model_may_train_on_other_numbers_of_targets_than_it_is_scored_on(make_module: Make) -> None:
    module = make_module(sampler=partial(SceneSampler, events=(0, 2)), events=[2, 2], eval_scenes=20, epoch_size=20)
    trained, scored = module.train_dataset(), module.eval_dataset("valid")
    assert {len(trained.spec(index).foreground) for index in range(20)} == {2}
    assert {len(scored.spec(index).foreground) for index in range(20)} == {0, 1, 2}


def test_real_recordings_load(shared: Path, make_module: Make) -> None:
    layout = Layout(shared / "realmini", 32000, 4)
    module = make_module(layout=layout, labels=layout.labels(), duration=5.0, test_split="test")
    assert next(iter(module.train_dataloader())).mixture.shape == (2, 4, 160000)
    assert next(iter(module.val_dataloader())).mixture.shape == (2, 4, 320000)
    assert len(module.eval_dataset("test")) == 24
