"""What the training of every network shares: draws, the loss's log, clipping, schedule, a checkpoint that describes
itself. The steps themselves are those of `SedSystem` and `SeparatorSystem`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric

from sedsep.checkpoints import ENTRY, Description
from sedsep.errors import UserError
from sedsep.training.finite import FiniteCheck, NotFinite
from sedsep.types import Batch


class System(lightning.LightningModule):
    """A network in training.

    What a step draws, dropout included, is a function of the run's seed, the epoch, the batch and the rank: a training
    that was interrupted draws what it would have drawn.

    Args:
        network: what learns.
        description: written into its checkpoints.
        optimizer: makes the optimiser from parameter groups.
        schedule: makes the schedule from (optimizer, total_steps); it is stepped after every step of the optimiser.
        weight_decay: of tensors with two or more dimensions.
        seed: of all draws.
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
        self.description, self.make_optimizer, self.make_schedule = description, optimizer, schedule
        self.weight_decay, self.seed = weight_decay, seed
        self.finite = FiniteCheck()
        # All ranks hand in the same, so nothing is left to gather; a checkpoint within the epoch keeps it.
        self.epoch_loss = MeanMetric(sync_on_compute=False).set_dtype(torch.float64)
        self.epoch_loss.persistent(True)

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their learning rates."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Ask for no gradient where no optimiser group uses it: it costs a backward pass, and distributed training
        waits for it."""
        learning = {id(p) for group in self.groups() for p in group["params"]}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer(self.groups())
        schedule = self.make_schedule(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": "train/lr"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)

    # The step of `training_step`, in the order of events.

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(draw(self.seed, self.current_epoch, batch_idx, self.global_rank))
        self.finite.batch = batch

    def on_before_backward(self, loss: Tensor) -> None:
        """Log the loss of all ranks, and with the epoch's last batch its mean over the epoch's mixtures."""
        # Lightning shares a loss out among the batches of an accumulated step.
        loss = loss.detach() * self.trainer.accumulate_grad_batches
        self.finite.watch("loss", loss)
        if self.trainer.world_size == 1:  # several ranks go on to the gradients, which all of them see
            self._check_finite()
        mean = self.trainer.strategy.reduce(loss.clone(), reduce_op="mean")
        assert isinstance(mean, Tensor)
        self.epoch_loss.update(mean, len(self.finite.batch.names))
        self.log("train/loss_step", mean, on_step=True, on_epoch=False, prog_bar=True, batch_size=1)
        if self.trainer.is_last_batch:
            self.log("train/loss_epoch", self.epoch_loss.compute(), on_step=False, on_epoch=True, batch_size=1)
            self.epoch_loss.reset()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, after making sure that no update spoils the weights.

        Raises:
            UserError: a loss or gradient is not finite; weights and batch are kept for inspection.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        self.log("train/grad_norm", norm, on_step=True, on_epoch=False, batch_size=1)
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:  # it leaves such steps out itself
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        self.finite.watch("gradient's norm", norm)
        self._check_finite()
        if norm.is_cuda:  # where the check comes a little later
            for gradient in gradients:
                gradient.masked_fill_(~norm.isfinite(), 0.0)
        if gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def log_means(self, means: Mapping[str, MeanMetric]) -> None:
        """Log validation means over the items of all ranks; a rank without any takes part, or the others would wait.

        Args:
            means: by what they are called below `valid/`; they start anew.
        """
        for name, mean in means.items():
            self.log(f"valid/{name}", mean.compute(), prog_bar=True, batch_size=1)
            mean.reset()

    def on_train_end(self) -> None:
        self.finite.wait()
        self._check_finite()

    def _check_finite(self) -> None:
        try:
            self.finite.check()
        except NotFinite as error:
            where = f"{self.current_epoch}-{self.trainer.global_rank}"
            path = Path(self.trainer.default_root_dir) / f"not_finite-{where}.pt"
            torch.save({"batch": vars(error.batch), "state_dict": self.state_dict()}, path)
            raise UserError(
                f"The {error} in epoch {self.current_epoch}, step {self.global_step}: look at the batch and weights "
                f"kept in {path}, then lower the learning rate or mend the data."
            ) from None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[ENTRY] = self.description.entry()


def draw(*of: object) -> int:
    """A number of 63 bits that is a function of its arguments alone."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=8).digest()) >> 1


def mean_metric() -> MeanMetric:
    """A mean in double precision; of nothing it is NaN."""
    mean = MeanMetric(nan_strategy=math.nan)  # NaN stays; "disable" of torchmetrics 1.9 loses the weights
    mean.set_dtype(torch.float64)
    return mean
