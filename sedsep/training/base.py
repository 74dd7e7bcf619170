"""What every training system shares: optimiser, schedule, draws, scores, and a checkpoint that describes itself."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sedsep.checkpoints import ENTRY, Description
from sedsep.errors import UserError
from sedsep.types import Batch


class System(lightning.LightningModule):
    """A network in training.

    What a step draws, dropout included, is a function of the run's seed, the epoch, the batch and the rank: a training
    that was interrupted draws what it would have drawn.

    Args:
        network: what learns. description: written into its checkpoints.
        optimizer: made from (parameter groups). schedule: made from (optimizer, total_steps), stepped each batch.
        weight_decay: of tensors with two or more dimensions. seed: of all draws.
    """

    network: nn.Module

    def __init__(
        self,
        network: nn.Module,
        description: Description,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        weight_decay: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self._description, self._optimizer, self._schedule = description, optimizer, schedule
        self.weight_decay, self.seed = weight_decay, seed
        self._scores: dict[str, tuple[float, int]] = {}
        self._losses = (0.0, 0)  # of the epoch so far: their sum and the mixtures behind it
        self._batch: Batch | None = None

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch."""
        raise NotImplementedError

    def scores(self) -> Sequence[str]:
        """What the current epoch's validation measures."""
        raise NotImplementedError

    def validate(self, batch: Batch) -> None:
        """Measure a validation batch: calls `score`."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(draw(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def on_train_epoch_start(self) -> None:
        self._losses = (0.0, 0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss.

        Raises:
            UserError: that of a rank is not finite; weights and batch are kept for inspection.
        """
        self._batch = batch
        loss = self.loss(batch)
        mean = self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean")
        value = float(mean)
        if not math.isfinite(value):
            raise self._broken(f"loss is {value}")
        total, count = self._losses
        size = len(batch.names)
        self._losses = (total + value * size, count + size)
        self.log("train/loss_step", mean, prog_bar=True, batch_size=1)
        if self.trainer.is_last_batch:
            average = self._losses[0] / self._losses[1]
            self.log("train/loss_epoch", average, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, after making sure that no update spoils the weights.

        Raises:
            UserError: a gradient is not finite; weights and batch are kept for inspection.
        """
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.log("train/grad_norm", norm, batch_size=1)
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None  # it leaves such steps out itself
        if not scaled and not norm.isfinite():
            raise self._broken(f"gradient's norm is {norm.item()}")
        if not scaled and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _broken(self, what: str) -> UserError:
        assert self._batch is not None
        path = Path(self.trainer.default_root_dir) / f"not_finite-{self.current_epoch}-{self.trainer.global_rank}.pt"
        torch.save({"batch": dict(vars(self._batch)), "state_dict": self.state_dict()}, path)
        return UserError(
            f"The {what} in epoch {self.current_epoch}, step {self.global_step}: look at the batch and weights kept in "
            f"{path}, then lower the learning rate or mend the data."
        )

    def on_validation_epoch_start(self) -> None:
        self._scores = dict.fromkeys(self.scores(), (0.0, 0))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        real = batch.counted()
        if real.names:
            self.validate(real)

    def score(self, name: str, value: float, count: int) -> None:
        """Add the mean of a validation score over `count` items."""
        total, counted = self._scores[name]
        self._scores[name] = (total + value * count, counted + count)

    def on_validation_epoch_end(self) -> None:
        """Log the means over the items of all ranks; a rank without any takes part, or the others would wait for it."""
        own = torch.tensor(list(self._scores.values()), dtype=torch.float64, device=self.device)
        totals = self.trainer.strategy.reduce(own, reduce_op="sum")
        for name, (total, count) in zip(self._scores, totals.tolist(), strict=True):
            self.log(f"valid/{name}", total / count if count else math.nan, prog_bar=True, batch_size=1)

    def setup(self, stage: str) -> None:
        """Ask for no gradient where no optimiser group uses it: it costs a backward pass, and distributed training
        waits for it."""
        learning = {id(p) for group in self.groups() for p in group["params"]}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self._optimizer(self.groups())
        schedule = self._schedule(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "train/lr"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = self._description.entry()
        checkpoint["epoch_losses"] = self._losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._losses = checkpoint["epoch_losses"]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


def draw(*of: object) -> int:
    """A number of 63 bits that is a function of its arguments alone."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=8).digest()) >> 1
