from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from minis import noise
from torch import Tensor
from torch.nn import functional as F

from sedsep.losses import class_aware_negative_snr, negative_snr, sed_loss, tracks_loss, unlabelled_loss
from sedsep.types import SedOutput

CLIP_TARGET = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
FRAME_TARGET = torch.zeros(2, 2, 3)
FRAME_TARGET[0, 0, 1:] = 1


def test_negative_snr_is_the_mean_in_db_over_the_batch() -> None:
    target = noise(2, 1, 400)
    estimate = target + torch.tensor([0.1, 0.01])[:, None, None] * target  # 20 and 40 dB
    assert negative_snr(estimate, target).item() == pytest.approx(-30, abs=1e-3)


def test_descending_negative_snr_nears_the_target() -> None:
    target, estimate = noise(1, 400), noise(1, 400, seed=1).requires_grad_()
    negative_snr(estimate, target).backward()
    nearer = estimate - 0.1 * estimate.grad / estimate.grad.norm()
    assert negative_snr(nearer, target) < negative_snr(estimate, target)


def test_sed_loss_weights_the_entropies_of_clips_and_frames() -> None:
    clip, logits = noise(2, 2).sigmoid(), noise(2, 2, 3)
    loss = sed_loss(SedOutput(clip, logits), CLIP_TARGET, FRAME_TARGET, 0.3, 0.7)
    expected = 0.3 * F.binary_cross_entropy(clip, CLIP_TARGET)
    expected += 0.7 * F.binary_cross_entropy(logits.sigmoid(), FRAME_TARGET)
    torch.testing.assert_close(loss, expected)


def test_a_head_without_frames_is_scored_on_clips_alone() -> None:
    clip = noise(2, 2).sigmoid()
    loss = sed_loss(SedOutput(clip), CLIP_TARGET, FRAME_TARGET, 0.5, 0.5)
    torch.testing.assert_close(loss, 0.5 * F.binary_cross_entropy(clip, CLIP_TARGET))


def test_frames_that_are_surely_wrong_cost_in_proportion_and_keep_a_gradient() -> None:
    logits = torch.full((2, 2, 3), 1000.0, requires_grad=True)
    loss = sed_loss(SedOutput(CLIP_TARGET, logits), CLIP_TARGET, torch.zeros(2, 2, 3), 0.0, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1000)
    assert (logits.grad > 0).all()


def test_a_clip_probability_that_rounding_lifts_above_one_is_accepted() -> None:
    output = SedOutput(torch.tensor([[1.0 + 1e-6, 0.0], [0.0, 0.0]]))
    assert sed_loss(output, CLIP_TARGET, FRAME_TARGET, 1.0, 1.0).item() == pytest.approx(0, abs=1e-6)


def test_sed_loss_runs_under_autocast_on_half_precision_probabilities() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = SedOutput(noise(2, 2).sigmoid().bfloat16(), noise(2, 2, 3).bfloat16())
        assert sed_loss(output, CLIP_TARGET, FRAME_TARGET, 0.5, 0.5).isfinite()


def test_sources_of_a_class_are_scored_in_the_order_that_serves_them_best(golden: Path) -> None:
    cases, arrays = pit_cases(golden, "class_aware")
    for case in cases:
        estimates, targets = (torch.from_numpy(arrays[f"{name}_{case['case']}"]) for name in ("estimates", "targets"))
        query = F.one_hot(torch.tensor(case["classes"]).clamp_min(-1) + 1, 19)[..., 1:].float()
        loss = class_aware_negative_snr(estimates, targets, query)
        assert loss.item() == pytest.approx(case["loss"], abs=1e-5), case["note"]


def test_tracks_are_scored_in_the_order_that_serves_them_best(golden: Path) -> None:
    cases, arrays = pit_cases(golden, "tagger")
    for case in cases:
        logits = torch.from_numpy(arrays[f"logits_{case['case']}"])
        loss = tracks_loss(logits, torch.tensor(case["classes"]))
        assert loss.item() == pytest.approx(case["loss"], abs=1e-5), case["note"]


def stems_and_mixture() -> tuple[Tensor, Tensor]:
    """Two sounds and silence, and a mixture with noise beside them."""
    targets = noise(2, 3, 400) * torch.tensor([[1.0, 0.2, 0.0]])[..., None]
    return targets, targets.sum(1) + 0.5 * noise(2, 400, seed=1)


def test_stems_without_labels_may_come_in_any_order() -> None:
    targets, mixture = stems_and_mixture()
    estimates = 0.8 * targets + 0.05 * noise(2, 3, 400, seed=2)
    loss = unlabelled_loss(estimates, targets, mixture)
    for order in permutations(range(3)):
        torch.testing.assert_close(unlabelled_loss(estimates[:, order], targets, mixture), loss)
        torch.testing.assert_close(unlabelled_loss(estimates, targets[:, order], mixture), loss)
    torch.testing.assert_close(unlabelled_loss(0.1 * estimates, 0.1 * targets, 0.1 * mixture), loss)


def test_stems_without_labels_are_as_good_as_their_errors_down_to_silence() -> None:
    targets, mixture = stems_and_mixture()
    assert unlabelled_loss(targets, targets, mixture).item() == pytest.approx(-30)
    # Ten decibels of each sound; of silence, 20 below the mixture; and of what is left as much as the two errors make.
    errors = noise(2, 3, 400, seed=2)
    levels = torch.stack([targets[:, 0], targets[:, 1], mixture], 1).square().sum(-1)
    errors *= (levels * torch.tensor([0.1, 0.1, 0.01]) / errors.square().sum(-1)).sqrt()[..., None]
    left = (mixture - targets.sum(1)).square().sum(-1)
    of_left = 10 * torch.log10(errors.sum(1).square().sum(-1) / left + 1e-3).mean().item()
    of_stems = [10 * math.log10(0.101)] * 2 + [10 * math.log10(0.011)]
    loss = unlabelled_loss(targets + errors, targets, mixture).item()
    assert loss == pytest.approx((sum(of_stems) + of_left) / 4, abs=1e-3)


def test_stems_of_silence_have_a_loss_and_a_gradient() -> None:
    nothing, estimates = torch.zeros(1, 3, 400), noise(1, 3, 400).requires_grad_()
    for mixture in (noise(1, 400, seed=1), torch.zeros(1, 400)):
        loss = unlabelled_loss(estimates, nothing, mixture)
        (gradient,) = torch.autograd.grad(loss, estimates)
        assert loss.isfinite() and gradient.isfinite().all() and gradient.any()


def pit_cases(golden: Path, kind: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    folder = golden / "dcase2026"
    return json.loads((folder / "pit_loss.json").read_text())[kind], np.load(folder / "pit_loss.npz")
