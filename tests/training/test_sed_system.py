from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from minis import CLASSES, MICROPHONES, RATE, fit, make_batch, make_sed, one_hot
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.labels import LabelRule, choose_labels, frame_labels
from sedsep.losses import sed_loss
from sedsep.metrics.labels import mixture_accuracy
from sedsep.metrics.sed import sed_scenes, segment_pauroc
from sedsep.training import FilterAugment, FrequencyWarp, Mixup, SedRates, SedSystem, SpecAugment, warmup_constant
from sedsep.types import FILLER, Batch


def spanned(rows: list[list[int | None]], spans: list[list[tuple[int, int]]], length: int = 1000) -> Batch:
    query = one_hot(rows)
    mixture = torch.zeros(len(rows), MICROPHONES, length)
    names = [str(index) for index in range(len(rows))]
    return Batch(mixture, torch.zeros(*query.shape[:2], length), query, torch.tensor(spans), names)


def active(labels: torch.Tensor, index: int) -> list[int]:
    """Frames in which a class of the first scene sounds."""
    return labels[0, index].nonzero()[:, 0].tolist()


@pytest.mark.parametrize(
    ("span", "frames"),
    [
        ((0, 1000), list(range(10))),
        ((140, 360), [1, 2, 3]),  # 1.4 and 3.6 frames round to 1 and 4
        ((160, 340), [2]),
        ((400, 410), [4]),  # too short for a frame: it gets one
        ((990, 1000), [9]),  # rounds to the end: the last frame
        ((0, 1), [0]),
    ],
)
def test_spans_become_frames_by_rounding_and_keep_at_least_one(span: tuple[int, int], frames: list[int]) -> None:
    labels = frame_labels(spanned([[2]], [[span]]), 10)
    assert labels.shape == (1, CLASSES, 10)
    assert active(labels, 2) == frames
    assert labels.sum() == len(frames)


def test_overlapping_events_keep_their_own_frames_and_silence_has_none() -> None:
    labels = frame_labels(spanned([[0, 3, None]], [[(0, 600), (300, 900), (0, 0)]]), 10)
    assert active(labels, 0) == [0, 1, 2, 3, 4, 5]
    assert active(labels, 3) == [3, 4, 5, 6, 7, 8]
    assert labels.sum() == 12


def test_two_events_of_one_class_stay_probabilities() -> None:
    labels = frame_labels(spanned([[1, 1]], [[(0, 400), (200, 600)]]), 10)
    assert active(labels, 1) == [0, 1, 2, 3, 4, 5]
    assert labels.max() == 1


def make_system(network: torch.nn.Module, **changes: Any) -> SedSystem:
    settings = {
        "rates": SedRates(heads=1e-2, backbone=1e-3),
        "description": Description("sed", "mini", {}, ()),
        "optimizer": torch.optim.AdamW,
        "schedule": partial(warmup_constant, warmup_steps=2),
    }
    return SedSystem(network, **(settings | changes))


@pytest.mark.filterwarnings("ignore")
def test_a_short_fit_lowers_the_loss_and_scores_every_threshold() -> None:
    torch.manual_seed(0)
    batch = make_batch([[0, 2, None], [1, None, None], [3, 4, 0], [2, 1, None]])
    system = make_system(make_sed(), thresholds=(0.1, 0.5))
    with torch.no_grad():
        before = system.eval().training_step(batch, 0)
    trainer = fit(system, [batch] * 2, epochs=12)
    with torch.no_grad():
        after = system.eval().training_step(batch, 0)
        probabilities = system.network(batch.mixture).clip_probabilities
    assert after < 0.8 * before
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert logged["valid/loss"] == pytest.approx(after.item(), rel=1e-4)
    truth = [[0, 2], [1], [3, 4, 0], [2, 1]]
    for threshold in (0.1, 0.5):
        expected = mixture_accuracy(choose_labels(probabilities, LabelRule(threshold, at_most=3)), truth)
        assert logged[f"valid/label_accuracy@{threshold}"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore")
def test_segments_are_scored_over_all_batches_of_a_validation_and_fillers_are_not() -> None:
    network = make_sed()
    batches = [make_batch([[0, 2, None], [1, None, None]], length=5 * RATE // 2), make_batch([[3, 0, None]], 2 * RATE)]
    filler = replace(make_batch([[4, 4, 4]], length=5 * RATE // 2, seed=9), names=[FILLER])
    system = make_system(network)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    for _ in range(2):  # a validation forgets the one before
        trainer.validate(system, DataLoader([*batches, filler], batch_size=None), verbose=False)
    with torch.no_grad():
        scenes = [s for b in batches for s in sed_scenes(network(b.mixture).strong_probabilities, b, RATE)]
    expected = segment_pauroc(scenes, [str(index) for index in range(CLASSES)]).overall.value
    assert trainer.callback_metrics["valid/segment_pauroc"].item() == pytest.approx(expected, abs=1e-6)
    assert "curve" not in "".join(system.state_dict())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("head", "seconds"), [("linear", 3), ("attention", 0.5)])
def test_without_frames_or_silent_segments_there_is_no_curve(head: str, seconds: float) -> None:
    system = make_system(make_sed(head=head, head_norm=False))
    batch = make_batch([[0, 2, None], [0, 2, None]], length=int(seconds * RATE))
    trainer = fit(system, [batch], epochs=1)
    assert "valid/loss" in trainer.callback_metrics
    assert "valid/segment_pauroc" not in trainer.callback_metrics


@pytest.mark.slow
def test_a_rank_that_has_fillers_alone_takes_part_in_the_score(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tests / "training" / "two_validations.py"), str(tmp_path)]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    one, other, alone = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("0", "1", "alone"))
    assert one == other
    assert one == pytest.approx(alone, abs=1e-5)
    assert "valid/segment_pauroc" in one


def test_a_head_that_names_no_frames_learns_from_clips_alone() -> None:
    batch = make_batch([[0, None, None]])
    loss = make_system(make_sed(head="linear", head_norm=False), clip_weight=1.0).training_step(batch, 0)
    loss.backward()
    assert loss.isfinite()


def test_blocks_learn_the_slower_the_deeper_they_lie() -> None:
    network = make_sed()
    system = make_system(network, rates=SedRates(heads=1.0, backbone=1.0, decay=0.5))
    rate = {id(p): group["lr"] for group in system.groups() for p in group["params"]}
    rates = {name: rate[id(p)] for name, p in network.named_parameters()}
    assert rates["strong_head.weight"] == rates["weak_head.bias"] == 1
    assert rates["backbone.blocks.1.attn.qkv.weight"] == rates["backbone.norm.weight"] == 0.5
    assert rates["backbone.blocks.0.mlp.fc1.weight"] == rates["backbone.pos_embed"] == 0.25
    assert rates["backbone.cls_token"] == rates["backbone.patch_embed.weight"] == 0.25


def test_the_baseline_trains_its_head_first_and_the_last_blocks_after() -> None:
    network = make_sed(head="linear")
    heads, blocks = (
        {id(p) for group in make_system(network, rates=rates).groups() for p in group["params"]}
        for rates in (SedRates(1e-3, 0.0, trained_blocks=0), SedRates(1e-5, 1e-5, trained_blocks=1))
    )
    assert heads == {id(p) for p in network.weak_head.parameters()}
    assert blocks == heads | {id(p) for p in network.backbone.stages()[1]}


def test_weight_decay_spares_vectors() -> None:
    system = make_system(make_sed(), weight_decay=0.1)
    for group in system.groups():
        assert {p.ndim >= 2 for p in group["params"]} == {group["weight_decay"] > 0}


# Augmentation.


def test_mixed_scenes_are_asked_for_what_was_mixed_into_them() -> None:
    system = make_system(make_sed(), mixup=Mixup(probability=1.0, alpha=5.0)).eval()
    batch = make_batch([[0, 2, None], [1, None, None], [3, None, None], [4, None, None]])
    torch.manual_seed(3)
    loss = system.training_step(batch, 0)
    torch.manual_seed(3)
    mix = system.mixup.draw(4)
    output = system.network(mix(batch.mixture))
    frames = frame_labels(batch, output.strong_logits.shape[-1])
    expected = sed_loss(output, mix(batch.query.amax(1)), mix(frames), 0.5, 0.5)
    assert not torch.equal(mix(frames), frames)
    assert loss.item() == pytest.approx(expected.item())


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {"frequency_warp": FrequencyWarp(probability=1.0, smallest=0.3)},
        {"augment": {"specaugment": SpecAugment(widest=0.9), "filteraugment": FilterAugment(20.0, (1, 2), 2, 4.0)}},
    ],
)
def test_spectrograms_change_in_training_alone(changes: dict[str, Any]) -> None:
    plain = make_system(make_sed()).eval()
    warped = make_system(plain.network, **changes).eval()
    batch = make_batch([[0, 2, None], [1, None, None]])
    assert warped.training_step(batch, 0).item() != pytest.approx(plain.training_step(batch, 0).item(), rel=1e-6)
    losses = []
    for system in (plain, warped):
        system.validation_step(batch, 0)
        losses.append(system.valid_loss.compute().item())
    assert losses[0] == losses[1]
    assert warped.state_dict().keys() == plain.state_dict().keys()
