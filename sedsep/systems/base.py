"""What every training system shares: optimiser, schedule and a checkpoint that describes itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sedsep.checkpoints import ENTRY, Description
from sedsep.types import Batch


class System(lightning.LightningModule):
    """A network in training.

    Args:
        network: what learns. description: written into its checkpoints.
        optimizer: made from (parameter groups). schedule: made from (optimizer, total_steps), stepped each batch.
        weight_decay: of tensors with two or more dimensions.
    """

    network: nn.Module

    def __init__(
        self,
        network: nn.Module,
        description: Description,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self._description, self._optimizer, self._schedule = description, optimizer, schedule
        self.weight_decay = weight_decay

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True, batch_size=len(batch.names))
        return loss

    def log_valid(self, name: str, value: Tensor | float, count: int) -> None:
        """Log a validation value, averaged over mixtures and ranks."""
        self.log(f"valid/{name}", value, on_epoch=True, prog_bar=True, batch_size=count, sync_dist=True)

    def setup(self, stage: str) -> None:
        """Ask for no gradient where no optimiser group uses it: it costs a backward pass, and distributed training
        waits for it."""
        learning = {id(p) for group in self.groups() for p in group["params"]}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self._optimizer(self.groups())
        schedule = self._schedule(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = self._description.entry()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        move = {name: getattr(batch, name).to(device, non_blocking=True) for name in _TENSORS}
        return Batch(**move, names=batch.names)


_TENSORS = ("mixture", "targets", "query", "spans")
