"""Training a SED model.

Axes: B batch, K slots, M microphones, L samples, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sedsep.labels import LabelRule, frame_labels, named_classes
from sedsep.losses import sed_loss, tracks_loss
from sedsep.metrics.aggregate import SedCurve
from sedsep.metrics.labels import mixture_accuracy
from sedsep.metrics.sed import sed_scenes
from sedsep.models.sed import SedModel
from sedsep.training.augment import FrequencyWarp, Mixup
from sedsep.training.groups import SedRates, sed_groups
from sedsep.training.system import System, mean_metric
from sedsep.types import Batch, SedOutput


class SedSystem(System):
    """Fine-tunes or trains a SED model on clip and frame labels (Morocutti et al. 2025).

    Args:
        network: the model.
        rates: learning rates by role.
        clip_weight: of the cross-entropy of clips.
        frame_weight: of the cross-entropy of frames.
        thresholds: at which label accuracy is logged each validation.
        mixup: trains on two scenes mixed; `None` for the scene itself.
        frequency_warp: trains on stretched spectrograms; `None` for the spectrogram itself.
        augment: what is then done to a spectrogram [B, Q, T], by name, one after the other.
        common: of `System`.
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
        augment: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.rates, self.thresholds = rates, tuple(thresholds)
        self.clip_weight, self.frame_weight = clip_weight, frame_weight
        self.mixup, self.frequency_warp = mixup or Mixup(), frequency_warp or FrequencyWarp()
        self.augment = dict(augment or {})
        self.valid_loss = mean_metric()
        self.valid_accuracies: Any = nn.ModuleList(mean_metric() for _ in self.thresholds)
        self.valid_pauroc = SedCurve([str(index) for index in range(network.classes)])

    def groups(self) -> list[dict[str, Any]]:
        return sed_groups(self.network, self.rates, self.weight_decay)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        mix = self.mixup.draw(len(batch.names))
        output = self.network(mix(batch.mixture), warp=self.warp)
        return self.loss(output, batch, mix)

    def warp(self, mel_bqt: Tensor) -> Tensor:
        """What is trained on in place of a mel spectrogram."""
        changes: list[Callable[[Tensor], Tensor]] = [self.frequency_warp, *self.augment.values()]
        for change in changes:
            mel_bqt = change(mel_bqt)
        return mel_bqt

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        batch = batch.counted()
        if not batch.names:
            return
        output, count = self.network(batch.mixture), len(batch.names)
        self.valid_loss.update(self.loss(output, batch), count)
        true = [[int(row.argmax()) for row in rows if row.any()] for rows in batch.query]
        for threshold, accuracy in zip(self.thresholds, self.valid_accuracies, strict=True):
            labels = named_classes(output, LabelRule(threshold, at_most=batch.query.shape[1]))
            accuracy.update(mixture_accuracy(labels, true), count)
        if output.strong_probabilities is not None:
            self.valid_pauroc.update(sed_scenes(output.strong_probabilities, batch, self.network.input_rate))

    def on_validation_epoch_end(self) -> None:
        accuracies = zip(self.thresholds, self.valid_accuracies, strict=True)
        self.log_means({"loss": self.valid_loss, **{f"label_accuracy@{t}": accuracy for t, accuracy in accuracies}})
        if self.network.strong_head is not None:  # every rank has the curve from the scenes of all
            value = self.valid_pauroc.compute()
            if value.isfinite():  # there is one where a class sounds in some segments, and in others not
                self.log("valid/segment_pauroc", value, prog_bar=True, sync_dist=True)
        self.valid_pauroc.reset()

    def loss(self, output: SedOutput, batch: Batch, mix: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """Weighted cross-entropies of clips and, for a head that names them, frames; for one that names sources one by
        one, the cross-entropy of its tracks.

        Args:
            output: of the (mixed) scenes.
            batch: the scenes.
            mix: mixes a tensor [B, ...] as the scenes were.
        """
        if output.tracks is not None:
            return tracks_loss(output.tracks, slot_classes(batch))
        frames = 1 if output.strong_logits is None else output.strong_logits.shape[-1]
        frame_target = mix(frame_labels(batch, frames))
        clip_target = mix(batch.query.amax(dim=1))
        return sed_loss(output, clip_target, frame_target, self.clip_weight, self.frame_weight)


def slot_classes(batch: Batch) -> Tensor:
    """Class index of every slot [B, K]; N for silence."""
    classes = batch.query.argmax(dim=2)
    return torch.where(batch.query.any(dim=2), classes, batch.query.shape[2])
