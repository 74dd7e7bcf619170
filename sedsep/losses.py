"""Training losses.

Axes: B batch, K sources (or tracks of a tagger), L samples, N classes, S SED frames.
"""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sedsep.dsp import snr_db
from sedsep.types import SedOutput


def negative_snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of minus the SNR, dB: 10 log10(|s|^2 / |s - e|^2) of [..., L]. Smaller is better."""
    return -snr_db(target, estimate).mean()


FORBIDDEN = 1e9
"""Cost of a pair that may not be."""


def class_aware_negative_snr(
    estimates: Tensor, targets: Tensor, query: Tensor, over: Literal["sources", "slots"] = "slots"
) -> Tensor:
    """Mean of minus the SNR, dB, estimates of one class taken in the order that serves them best.

    Args:
        estimates: [B, K, L].
        targets: [B, K, L].
        query: one-hot rows of the classes of both [B, K, N]; zeros for silence.
        over: what the mean is over: the `sources` that sound, or all `slots`, of which silent ones count 0 (DCASE 2026
            Task 4, baseline).
    """
    cost = -snr_db(targets.double()[:, :, None], estimates[:, None])
    loss = in_best_order(within_classes(cost, query))[0].mean()
    active = query.any(-1)
    return loss if over == "slots" else loss * active.numel() / active.sum().clamp_min(1)


SILENT_DB = -30.0
"""Level of a stem below its mixture, dB, from which on it is silent: softer is no better, and nobody need name it."""


def unlabelled_loss(estimates: Tensor, targets: Tensor, mixture: Tensor) -> Tensor:
    """Mean error of stems without labels and of what they leave, dB, stems taken in the order that serves them best.

    The error of a stem is relative to its target's power, or to the mixture's where the target is silent, and does not
    fall below `SILENT_DB` (Wisdom et al. 2021, "What's all the FUSS about free universal sound separation data?"). What
    is left, the mixture without all stems, counts as one stem more.

    Args:
        estimates: [B, K, L].
        targets: [B, K, L], in any order; zeros where fewer than K sound.
        mixture: the channel that the targets are taken at [B, L].
    """
    estimates, targets, mixture = (waveform.double() for waveform in (estimates, targets, mixture))
    floor = torch.finfo(torch.float32).eps
    power = targets.square().sum(-1)
    scale = torch.where(power > 0, power, mixture.square().sum(-1)[:, None]).clamp_min(floor)
    error = (targets[:, :, None] - estimates[:, None]).square().sum(-1) / scale[..., None]
    stems = in_best_order(_decibels(error))[0]
    left = mixture - targets.sum(1)
    missing = (targets.sum(1) - estimates.sum(1)).square().sum(-1) / left.square().sum(-1).clamp_min(floor)
    slots = targets.shape[1]
    return ((slots * stems + _decibels(missing)) / (slots + 1)).mean()


def _decibels(error: Tensor) -> Tensor:
    """Of a relative error, with the floor of silence."""
    return 10 * torch.log10(error + 10 ** (SILENT_DB / 10))


def within_classes(cost: Tensor, query: Tensor) -> Tensor:
    """Costs of pairs [B, K, K], those of two classes forbidden; a silent slot keeps its own at no cost.

    Args:
        cost: of each pair of slots.
        query: one-hot rows of their classes [B, K, N]; zeros for silence.
    """
    same = (query @ query.mT).bool()
    silent = torch.diag_embed(~query.any(-1))
    return torch.where(same, cost, torch.where(silent, 0.0, FORBIDDEN))


def tracks_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean over the batch of the cross-entropy of a tagger's tracks, in the order that serves them best.

    Args:
        logits: [B, K, N], one class of a track being silence.
        classes: true indices [B, K].
    """
    log_probabilities = logits.float().log_softmax(-1)
    cost = (
        -log_probabilities[:, None]
        .expand(-1, classes.shape[1], -1, -1)
        .gather(-1, classes[:, :, None, None].expand(-1, -1, logits.shape[1], 1))
        .squeeze(-1)
    )
    return in_best_order(cost)[0].mean()


def in_best_order(cost: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest mean over targets of all one-to-one assignments, and which it is.

    Args:
        cost: of giving target i estimate j, [B, K, K].

    Returns:
        The mean [B], and the estimate of each target [B, K]; of equal assignments the first in rising order.
    """
    sources = cost.shape[-1]
    orders = torch.tensor(list(permutations(range(sources))), device=cost.device)
    means = cost[:, torch.arange(sources, device=cost.device), orders].mean(-1)
    best, index = means.min(dim=1)
    return best, orders[index]


def sed_loss(
    output: SedOutput, clip_target: Tensor, frame_target: Tensor, clip_weight: float, frame_weight: float
) -> Tensor:
    """Weighted sum of the binary cross-entropies of clip [B, N] and frame [B, N, S] probabilities.

    Frames are scored from their logits, which stays finite where a sigmoid saturates. A head that names no frames
    is scored on clips alone.
    """
    # The attention head gives probabilities, not logits; autocast refuses their cross-entropy on half precision.
    with torch.autocast(clip_target.device.type, enabled=False):
        probabilities = output.clip_probabilities.float().clamp(0.0, 1.0)
        loss = clip_weight * F.binary_cross_entropy(probabilities, clip_target)
    if output.strong_logits is not None:
        loss = loss + frame_weight * F.binary_cross_entropy_with_logits(output.strong_logits.float(), frame_target)
    return loss
