"""Training a separator without labels.

Axes: B batch, K slots, M microphones, L samples.
"""

from __future__ import annotations

from torch import Tensor

from sedsep.losses import unlabelled_loss
from sedsep.models.unlabelled import UnlabelledSeparator
from sedsep.training.separator import SeparatorSystem
from sedsep.types import Batch


class UnlabelledSystem(SeparatorSystem):
    """Trains a separator on all sources of each mixture, in whatever order it gives them."""

    network: UnlabelledSeparator

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return unlabelled_loss(self.network.stems(batch.mixture), batch.targets, batch.mixture[:, 0])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        batch = batch.counted()
        if batch.names:
            self.valid_loss.update(self.training_step(batch, batch_idx), len(batch.names))
