"""Training a SED model.

Axes: B batch, K slots, M microphones, L samples, N classes, S SED frames.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sedsep.losses import sed_loss
from sedsep.metrics import mixture_accuracy
from sedsep.models.sed import SedModel, choose_labels
from sedsep.systems.base import System
from sedsep.systems.groups import SedRates, sed_groups
from sedsep.types import Batch


class SedSystem(System):
    """Fine-tunes or trains a SED model on clip and frame labels (spec: training, SED model).

    Args:
        network: the model. rates: learning rates by role.
        clip_weight, frame_weight: of the two cross-entropies.
        thresholds: at which label accuracy is logged each validation.
    """

    network: SedModel

    def __init__(
        self,
        network: SedModel,
        rates: SedRates,
        clip_weight: float = 0.5,
        frame_weight: float = 0.5,
        thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9),
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.rates, self.thresholds = rates, tuple(thresholds)
        self.clip_weight, self.frame_weight = clip_weight, frame_weight
        self._answers: dict[float, list[list[int]]] = {}
        self._truth: list[list[int]] = []

    def groups(self) -> list[dict[str, Any]]:
        return sed_groups(self.network, self.rates, self.weight_decay)

    def loss(self, batch: Batch) -> Tensor:
        return self._loss(batch)[0]

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss and the clip probabilities."""
        output = self.network(batch.mixture)
        frames = 1 if output.strong_logits is None else output.strong_logits.shape[-1]
        frame_target = frame_labels(batch, frames)
        clip_target = batch.query.amax(dim=1)
        loss = sed_loss(output, clip_target, frame_target, self.clip_weight, self.frame_weight)
        return loss, output.clip_probabilities

    def on_validation_epoch_start(self) -> None:
        self._answers = {threshold: [] for threshold in self.thresholds}
        self._truth = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        loss, probabilities = self._loss(batch)
        self.log_valid("loss", loss, len(batch.names))
        self._truth += [[int(row.argmax()) for row in rows if row.any()] for rows in batch.query]
        for threshold in self.thresholds:
            self._answers[threshold] += choose_labels(probabilities, threshold, at_most=batch.query.shape[1])

    def on_validation_epoch_end(self) -> None:
        for threshold, answers in self._answers.items():
            self.log_valid(f"label_accuracy@{threshold}", mixture_accuracy(answers, self._truth), len(self._truth))


def frame_labels(batch: Batch, frames: int) -> Tensor:
    """Activity of every class in every frame [B, N, S]: spans in samples scaled to S frames and rounded, at least one
    frame each (spec: training, SED model)."""
    length = batch.mixture.shape[-1]
    bounds_bk2 = (batch.spans.double() * frames / length).round().long()
    onset = bounds_bk2[..., 0].clamp(0, frames - 1)
    offset = torch.maximum(bounds_bk2[..., 1], onset + 1)
    frame = torch.arange(frames, device=batch.spans.device)
    active_bks = (frame >= onset[..., None]) & (frame < offset[..., None])
    return torch.einsum("bkn,bks->bns", batch.query, active_bks.to(batch.query.dtype)).clamp_max(1.0)
