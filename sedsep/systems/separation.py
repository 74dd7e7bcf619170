"""Training a separator.

Axes: B batch, K slots, M microphones, L samples, N classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sedsep.evaluation import MixtureResult, separate_sources, true_sources
from sedsep.evaluation.label_sources import LabelTable
from sedsep.labels import LabelSet
from sedsep.losses import negative_snr
from sedsep.metrics import ca_sdri, score_mixture
from sedsep.models.separator import GuidedSeparator
from sedsep.systems.base import System
from sedsep.systems.groups import SeparatorRates, separator_groups
from sedsep.types import Batch


class SeparatorSystem(System):
    """Trains a separator on one source of each mixture at a time (spec: training, Separators).

    Args:
        network: separator and Stage 2 SED model. labels: its classes. rates: learning rates by role.
        validation_labels: the baseline tagger's labels of the validation scenes; CA-SDRi is scored under them, so that
            separators compare whatever their tagger.
        score_every: epochs between two such scores. seed: of the number of passes drawn for each step.
    """

    network: GuidedSeparator

    def __init__(
        self,
        network: GuidedSeparator,
        labels: LabelSet,
        rates: SeparatorRates,
        validation_labels: LabelTable | None = None,
        score_every: int = 1,
        seed: int = 0,
        **common: Any,
    ) -> None:
        super().__init__(network, **common)
        self.labels, self.rates = labels, rates
        self.validation_labels, self.score_every, self.seed = validation_labels, score_every, seed
        self._scores: list[list[Any]] = []

    def groups(self) -> list[dict[str, Any]]:
        return separator_groups(self.network, self.rates, self.weight_decay)

    def loss(self, batch: Batch) -> Tensor:
        if self.network.separator.outputs > 1:
            return self._loss(batch.mixture, batch.query, batch.targets)
        item = batch.query.any(dim=2).any(dim=1).nonzero()  # a scene without targets has nothing to learn from
        query, targets = batch.query[item[:, 0]], batch.targets[item[:, 0]]
        slot = torch.multinomial(query.any(dim=2).float(), 1)  # uniform over the sources that sound
        row = torch.arange(len(item), device=item.device)[:, None]
        return self._loss(batch.mixture[item[:, 0]], query[row, slot], targets[row, slot], self._drawn_passes())

    def _drawn_passes(self) -> int | None:
        """1 to `iters`, uniform (spec: models, section 6); a function of run seed and step, alike on every rank."""
        iters = self.network.separator.iters
        if iters <= 1:
            return None
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.global_step)
        return int(torch.randint(1, iters + 1, (1,), generator=generator))

    def _loss(self, mixture: Tensor, query: Tensor, target: Tensor, passes: int | None = None) -> Tensor:
        """Negative SNR over the queries that are not silent."""
        estimates = self.network(mixture, query, passes).estimates
        active = query.any(dim=2)
        return negative_snr(estimates[active], target[active])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss over all true sources and, every few epochs, scores under the baseline's labels: one separation."""
        rows = [MixtureResult(n, [int(q.argmax()) for q in query if q.any()]) for n, query in _named_queries(batch)]
        for row in rows:
            row.predicted["oracle"] = row.true
            if self.validation_labels is not None and (self.current_epoch + 1) % self.score_every == 0:
                row.predicted["baseline"] = self.validation_labels[row.name]
        found = separate_sources(self.network, batch.mixture, rows, self.labels, self.device)
        truth = true_sources(batch, self.labels)
        pairs = [(f[label], t) for f, item in zip(found["oracle"], truth, strict=True) for label, t in item.items()]
        if pairs:
            estimates, targets = (torch.stack(side) for side in zip(*pairs, strict=True))
            self.log_valid("loss", negative_snr(estimates, targets), len(pairs))
        for f, item, mixture in zip(found.get("baseline", []), truth, batch.mixture.cpu(), strict=False):
            self._scores.append(score_mixture(f, item, mixture[0]))

    def on_validation_epoch_end(self) -> None:
        if self._scores:
            self.log_valid("ca_sdri/baseline", ca_sdri(self._scores), len(self._scores))
            self._scores = []


def _named_queries(batch: Batch) -> Iterable[tuple[str, Tensor]]:
    return zip(batch.names, batch.query, strict=True)
