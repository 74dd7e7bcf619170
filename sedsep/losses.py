"""Training losses.

Axes: B batch, K sources, L samples, N classes, S SED frames.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sedsep.dsp import snr_db
from sedsep.types import SedOutput


def negative_snr(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of minus the SNR, dB: 10 log10(|s|^2 / |s - e|^2) of [..., L]. Smaller is better."""
    return -snr_db(target, estimate).mean()


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
