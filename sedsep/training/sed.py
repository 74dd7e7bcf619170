"""Training a SED model.

Axes: B batch, K slots, M microphones, L samples, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sedsep.labels import LabelRule, choose_labels
from sedsep.losses import sed_loss
from sedsep.metrics.aggregate import SedCurve
from sedsep.metrics.labels import mixture_accuracy
from sedsep.metrics.sed import sed_scenes
from sedsep.models.sed import SedModel
from sedsep.training.augment import FrequencyWarp, Mixup
from sedsep.training.base import System
from sedsep.training.groups import SedRates, sed_groups
from sedsep.types import Batch, SedOutput


class SedSystem(System):
    """Fine-tunes or trains a SED model on clip and frame labels (spec: training, SED model).

    Args:
        network: the model. rates: learning rates by role.
        clip_weight, frame_weight: of the two cross-entropies.
        thresholds: at which label accuracy is logged each validation.
        mixup, frequency_warp: what is trained on in place of a scene; `None` for the scene itself.
    """

    network: SedModel

    def __init__(
        self,
        network: SedModel,
        rates: SedRates,
        clip_weight: float = 0.5,
        frame_weight: float = 0.5,
        thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9),
        mixup: Mixup | None = None,
        frequency_warp: FrequencyWarp | None = None,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.rates, self.thresholds = rates, tuple(thresholds)
        self.clip_weight, self.frame_weight = clip_weight, frame_weight
        self.mixup, self.frequency_warp = mixup or Mixup(), frequency_warp or FrequencyWarp()
        self.curve = SedCurve([str(index) for index in range(network.classes)])

    def groups(self) -> list[dict[str, Any]]:
        return sed_groups(self.network, self.rates, self.weight_decay)

    def loss(self, batch: Batch) -> Tensor:
        mix = self.mixup.draw(len(batch.names))
        return self._loss(self.network(mix(batch.mixture), warp=self.frequency_warp), batch, mix)

    def _loss(self, output: SedOutput, batch: Batch, mix: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """`mix` does to the targets what was done to the mixtures."""
        frames = 1 if output.strong_logits is None else output.strong_logits.shape[-1]
        frame_target = mix(frame_labels(batch, frames))
        clip_target = mix(batch.query.amax(dim=1))
        return sed_loss(output, clip_target, frame_target, self.clip_weight, self.frame_weight)

    def scores(self) -> list[str]:
        return ["loss", *(f"label_accuracy@{threshold}" for threshold in self.thresholds)]

    def validate(self, batch: Batch) -> None:
        output = self.network(batch.mixture)
        count = len(batch.names)
        self.score("loss", self._loss(output, batch).item(), count)
        truth = [[int(row.argmax()) for row in rows if row.any()] for rows in batch.query]
        for threshold in self.thresholds:
            answers = choose_labels(output.clip_probabilities, LabelRule(threshold, at_most=batch.query.shape[1]))
            self.score(f"label_accuracy@{threshold}", mixture_accuracy(answers, truth), count)
        if output.strong_probabilities is not None:
            self.curve.update(sed_scenes(output.strong_probabilities, batch, self.network.input_rate))

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.curve.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the partial AUROC of segments beside the means; every rank has it from the scenes of all."""
        super().on_validation_epoch_end()
        if self.network.strong_head is None:
            return
        value = self.curve.compute()
        if value.isfinite():  # there is a curve where a class sounds in some segments, and in others not
            self.log("valid/segment_pauroc", value, prog_bar=True, sync_dist=True)


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
