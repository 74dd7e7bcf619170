from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from minis import noise
from torch.nn import functional as F

from sedsep.losses import class_aware_negative_snr, negative_snr, sed_loss, tracks_loss
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


def pit_cases(golden: Path, kind: str) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    folder = golden / "dcase2026"
    return json.loads((folder / "pit_loss.json").read_text())[kind], np.load(folder / "pit_loss.npz")
