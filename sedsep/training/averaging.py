"""Averages of the weights that a training passes through, which are validated, kept and scored in their place.

Lightning's callback does the work: a checkpoint holds the averages as its `state_dict`, and beside them the weights
that learn, from which a training goes on. The running statistics of BatchNorms are averaged as weights are. Buffers
that never change, such as windows, keep their very values, for what lies between equals is exact: no checkpoint holds
them, and a training that goes on makes them anew.
"""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_avg_fn

from sedsep.errors import UserError


class MovingAverage(WeightAveraging):
    """An exponential moving average (EMA) over steps.

    Args:
        decay: share of the average that is kept at each step; it looks back about 1 / (1 - decay) of them. It begins
            with the weights after the first step.

    Raises:
        UserError: a decay that averages nothing.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError(f"callbacks.average.decay={decay} averages nothing: choose a number between 0 and 1.")
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))


class EpochAverage(WeightAveraging):
    """The mean of the weights at the ends of epochs (SWA, Izmailov et al. 2018), best at a constant learning rate.

    It counts an epoch before its validation, so that the mean that is validated is the one that is kept.

    Args:
        first: epoch that counts, from 0; before its end the mean is the weights of the epoch that ended last.
    """

    def __init__(self, first: int) -> None:
        super().__init__(avg_fn=get_swa_avg_fn())
        self.first = first

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return False

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        if trainer.is_last_batch:
            assert self._average_model is not None
            if trainer.current_epoch <= self.first:
                self._average_model.n_averaged.zero_()
            self._average_model.update_parameters(pl_module)
