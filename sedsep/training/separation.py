"""Training a separator.

Axes: B batch, K slots, M microphones, L samples, N classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sedsep.evaluation.label_sources import LabelTable
from sedsep.evaluation.separating import separate, true_classes, true_sources
from sedsep.labels import LabelSet
from sedsep.losses import negative_snr
from sedsep.metrics.registry import BASELINE, ORACLE
from sedsep.metrics.sdri import ca_sdri, score_mixture
from sedsep.models.guided import GuidedSeparator
from sedsep.training.base import System, draw
from sedsep.training.groups import SeparatorRates, separator_groups
from sedsep.types import Batch


class SeparatorSystem(System):
    """Trains a separator on one source of each mixture at a time (spec: training, Separators).

    Args:
        network: separator and Stage 2 SED model. labels: its classes. rates: learning rates by role.
        validation_labels: the baseline tagger's labels of the validation scenes; CA-SDRi is scored under them, so that
            separators compare whatever their tagger.
        score_every: epochs between two such scores.
    """

    network: GuidedSeparator

    def __init__(
        self,
        network: GuidedSeparator,
        labels: LabelSet,
        rates: SeparatorRates,
        validation_labels: LabelTable | None = None,
        score_every: int = 1,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.labels, self.rates = labels, rates
        self.validation_labels, self.score_every = validation_labels, score_every

    def groups(self) -> list[dict[str, Any]]:
        return separator_groups(self.network, self.rates, self.weight_decay)

    def loss(self, batch: Batch) -> Tensor:
        if self.network.outputs > 1:
            return self._loss(batch.mixture, batch.query, batch.targets)
        slot = self._drawn_slots(batch)
        row = torch.arange(len(slot), device=slot.device)
        query, targets = batch.query[row, slot][:, None], batch.targets[row, slot][:, None]
        return self._loss(batch.mixture, query, targets, self._drawn_passes())

    def _drawn_slots(self, batch: Batch) -> Tensor:
        """One slot [B] of each scene, uniform over the sources that sound; a function of run seed and scene, alike
        however scenes are dealt out to batches and ranks."""
        active = batch.query.any(dim=2).cpu()
        slots = []
        for name, row in zip(batch.names, active, strict=True):
            choices = row.nonzero()[:, 0].tolist() or [0]
            slots.append(choices[draw(self.seed, name) % len(choices)])
        return torch.tensor(slots, device=batch.query.device)

    def _drawn_passes(self) -> int | None:
        """1 to `iters`, uniform (spec: models, section 6); a function of run seed and step, alike on every rank."""
        iters = self.network.iters
        return draw(self.seed, "passes", self.global_step) % iters + 1 if iters > 1 else None

    def _loss(self, mixture: Tensor, query: Tensor, target: Tensor, passes: int | None = None) -> Tensor:
        """Negative SNR over the queries that are not silent; 0 where all are, for there is nothing to learn."""
        estimates = self.network(mixture, query, passes).estimates
        active = query.any(dim=2)
        if not active.any():
            return 0.0 * estimates.sum()
        return negative_snr(estimates[active], target[active])

    def scores(self) -> list[str]:
        return ["loss", "ca_sdri/baseline"] if self._is_scored() else ["loss"]

    def _is_scored(self) -> bool:
        return self.validation_labels is not None and (self.current_epoch + 1) % self.score_every == 0

    def validate(self, batch: Batch) -> None:
        """Loss over all true sources and, every few epochs, scores under the baseline's labels: one separation."""
        classes = {ORACLE: true_classes(batch)}
        if self.validation_labels is not None and self._is_scored():
            classes[BASELINE] = [self.validation_labels[name] for name in batch.names]
        passes = self.network.trained_passes
        estimates = separate(self.network, batch.mixture, classes, self.labels, [passes])
        truth = true_sources(batch, self.labels)
        sounds, targets = (
            [waveform for sources in side for _, waveform in sources] for side in (estimates[ORACLE, passes], truth)
        )
        if targets:
            self.score("loss", negative_snr(torch.stack(sounds), torch.stack(targets)).item(), len(targets))
        if self._is_scored():
            parts = zip(estimates[BASELINE, passes], truth, batch.mixture[:, 0], strict=True)
            scored = [scores for part in parts if (scores := score_mixture(*part))]
            if scored:  # a mixture without events, and said to be, has no score
                self.score("ca_sdri/baseline", ca_sdri(scored), len(scored))
