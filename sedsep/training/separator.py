"""Training a separator.

Axes: B batch, K slots, M microphones, L samples, N classes.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from sedsep.evaluation.label_sources import LabelTable
from sedsep.evaluation.separating import separate, true_classes, true_sources
from sedsep.labels import LabelSet
from sedsep.losses import class_aware_negative_snr, negative_snr
from sedsep.metrics.registry import BASELINE, ORACLE, RANKINGS
from sedsep.metrics.sdri import ca_sdri, score_mixture
from sedsep.models.feedback import Gradient
from sedsep.models.guided import GuidedSeparator
from sedsep.training.groups import SeparatorRates, separator_groups
from sedsep.training.system import System, draw, mean_metric
from sedsep.types import Batch


class SeparatorSystem(System):
    """Trains a separator on one source of each mixture at a time (Morocutti et al. 2025), or one of several outputs on
    all of them, those of one class in the order that serves them best (DCASE 2026 Task 4, baseline).

    Args:
        network: separator and Stage 2 SED model.
        labels: its classes.
        rates: learning rates by role.
        validation_labels: the baseline tagger's labels of the validation scenes, under which they are scored, so that
            separators compare whatever their tagger.
        ranking: what that score is called: CAPI-SDRi, which is CA-SDRi where no class repeats.
        score_every: epochs between two such scores.
        averaged_over: what the loss of several outputs is a mean over (`class_aware_negative_snr`).
        pass_decay: the weight of a refinement pass in the loss is that of the next one times this, and a step takes all
            of them; `None` draws how many it takes, and has a loss on the last alone.
        through: whether a pass learns, too, by way of what it feeds back to the next.
        common: of `System`.
    """

    network: GuidedSeparator

    def __init__(
        self,
        network: GuidedSeparator,
        labels: LabelSet,
        rates: SeparatorRates,
        validation_labels: LabelTable | None = None,
        ranking: str = RANKINGS[0],
        score_every: int = 1,
        averaged_over: Literal["sources", "slots"] = "sources",
        pass_decay: float | None = None,
        through: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.labels, self.rates = labels, rates
        self.validation_labels, self.ranking = validation_labels, ranking
        self.score_every, self.averaged_over = score_every, averaged_over
        self.pass_decay = pass_decay
        self.gradient: Gradient = "through" if through else "last" if pass_decay is None else "each"
        self.valid_loss, self.valid_improvement = mean_metric(), mean_metric()

    def groups(self) -> list[dict[str, Any]]:
        return separator_groups(self.network, self.rates, self.weight_decay)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        query, targets = batch.query, batch.targets
        if self.network.outputs == 1:
            slot = self.draw_slots(batch)
            row = torch.arange(len(slot), device=slot.device)
            query, targets = query[row, slot][:, None], targets[row, slot][:, None]
        passes = self.network(batch.mixture, query, self.draw_passes(), gradient=self.gradient).passes
        if self.pass_decay is None:
            return self.loss(passes[-1], targets, query)
        weights = [self.pass_decay**later for later in reversed(range(len(passes)))]
        losses = torch.stack([self.loss(estimates, targets, query) for estimates in passes])
        return (losses * losses.new_tensor(weights)).sum() / sum(weights)

    def loss(self, estimates: Tensor, targets: Tensor, query: Tensor) -> Tensor:
        """Of one pass, all [B, K, ...]."""
        if self.network.outputs > 1:
            return class_aware_negative_snr(estimates, targets, query, self.averaged_over)
        active = query.any(dim=2)
        if not active.any():
            return 0.0 * estimates.sum()  # nothing sounds: nothing to learn
        return negative_snr(estimates[active], targets[active])

    def draw_slots(self, batch: Batch) -> Tensor:
        """One slot [B] of each scene, uniform over the sources that sound; a function of run seed and scene, alike
        however scenes are dealt out to batches and ranks."""
        slots = []
        for name, active in zip(batch.names, batch.query.any(dim=2).tolist(), strict=True):
            choices = [slot for slot, sounds in enumerate(active) if sounds] or [0]
            slots.append(choices[draw(self.seed, name) % len(choices)])
        return torch.tensor(slots, device=batch.query.device)

    def draw_passes(self) -> int | None:
        """1 to `iters` refinement passes, uniform (Morocutti et al. 2025); a function of run seed and step,
        alike on every rank. `None` for all of them."""
        iters = self.network.iters
        if iters <= 1 or self.pass_decay is not None:
            return None
        return draw(self.seed, "passes", self.global_step) % iters + 1

    @property
    def scores_epoch(self) -> bool:
        """Whether this epoch's validation scores what is separated."""
        return self.validation_labels is not None and (self.current_epoch + 1) % self.score_every == 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss over all true sources and, every few epochs, scores under the baseline's labels: one separation."""
        batch = batch.counted()
        if not batch.names:
            return
        classes = {ORACLE: true_classes(batch)}
        if self.validation_labels is not None and self.scores_epoch:
            classes[BASELINE] = [self.validation_labels[name] for name in batch.names]
        passes = self.network.trained_passes
        estimates = separate(self.network, batch.mixture, classes, self.labels, [passes])
        truth = true_sources(batch, self.labels)
        for estimated, true in zip(estimates[ORACLE, passes], truth, strict=True):
            if true:
                sounds, targets = (torch.stack([waveform for _, waveform in side])[None] for side in (estimated, true))
                query = self.labels.one_hot(label for label, _ in true)[None].to(sounds.device)
                self.valid_loss.update(class_aware_negative_snr(sounds, targets, query), len(true))
        if BASELINE in classes:
            mixtures = zip(estimates[BASELINE, passes], truth, batch.mixture[:, 0], strict=True)
            scored = [scores for mixture in mixtures if (scores := score_mixture(*mixture))]
            if scored:  # a mixture without events, and said to be, has no score
                self.valid_improvement.update(ca_sdri(scored), len(scored))

    def on_validation_epoch_end(self) -> None:
        means = {"loss": self.valid_loss}
        score = {f"{self.ranking}/{BASELINE}": self.valid_improvement} if self.scores_epoch else {}
        self.log_means({**means, **score})
