"""What a training costs while it runs: speed, waiting for data, memory, and the phases of a step."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from sedsep.conditioning import Soundbeam
from sedsep.models.guided import GuidedSeparator
from sedsep.types import Batch

PHASES = ("data", "forward", "backward", "optimiser")


class Meters(Callback):
    """Logs what training costs, as means over the steps since it was logged last, every `log_every_n_steps` steps.

    `train/step_seconds`: an optimiser step, that is, its batches from the request for one to the end of its update;
    loggers, checkpoints and validation are left out. `train/data_wait`: the share of it that the training process spent
    in the loader: for scenes that no worker had ready, and for putting them together. `train/mixtures_per_second`: of
    all devices. `train/memory_gb`: the highest so far, of the device's tensors, or of this process on a CPU.

    Nothing waits for a GPU here: what it has yet to do when a batch is asked for counts to whichever comes next, so its
    share of waiting is an upper bound.

    The training loader must count the seconds spent in it as `waited`.

    Every epoch `train/layer_weight/<i>` is the share that SED layer i (0: the patch embedding) has in what is injected.
    """

    def __init__(self) -> None:
        self._began = self._busy = self._waited = 0.0
        self._mixtures = self._step = 0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._restart(trainer)

    def on_train_batch_start(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        self._busy += time.perf_counter() - self._began
        self._mixtures += len(batch.names) * trainer.world_size
        steps = trainer.global_step - self._step
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if steps and every and trainer.global_step % every == 0:
            waited = _waited(trainer) - self._waited
            seconds = self._busy + waited
            pl_module.log_dict(
                {
                    "train/step_seconds": seconds / steps,
                    "train/data_wait": waited / seconds,
                    "train/mixtures_per_second": self._mixtures / seconds,
                    "train/memory_gb": peak_memory_gb(pl_module.device),
                }
            )
            self._restart(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        network = pl_module.network
        injection = network.part("injection") if isinstance(network, GuidedSeparator) else None
        if isinstance(injection, Soundbeam):
            shares = injection.layer_weights.detach().softmax(0)
            pl_module.log_dict({f"train/layer_weight/{layer}": share for layer, share in enumerate(shares)})

    def _restart(self, trainer: lightning.Trainer) -> None:
        self._busy, self._mixtures = 0.0, 0
        self._waited, self._step = _waited(trainer), trainer.global_step


def _waited(trainer: lightning.Trainer) -> float:
    loader: Any = trainer.train_dataloader
    return loader.waited


def peak_memory_gb(device: torch.device) -> float:
    """The highest memory so far: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class Phases(Callback):
    """Times the phases of every batch: `data` is from the end of one to the start of the next (fetching it, moving it
    to the device, what the trainer does in between), `forward` ends with the loss, `optimiser` clips and updates.

    On a GPU the times are those of its own stream, taken without making anybody wait.
    """

    def __init__(self) -> None:
        self._marks: list[Any] = []
        self._device = torch.device("cpu")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._device = pl_module.device
        self._mark()

    def on_train_batch_start(self, *_: Any) -> None:
        self._mark()

    def on_before_backward(self, *_: Any) -> None:
        self._mark()

    def on_after_backward(self, *_: Any) -> None:
        self._mark()

    def on_train_batch_end(self, *_: Any) -> None:
        self._mark()

    def seconds(self) -> list[dict[str, float]]:
        """Seconds of each phase of every batch trained on so far."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            spans = [a.elapsed_time(b) / 1000 for a, b in zip(self._marks, self._marks[1:], strict=False)]
        else:
            spans = [b - a for a, b in zip(self._marks, self._marks[1:], strict=False)]
        batches = [spans[first : first + len(PHASES)] for first in range(0, len(spans), len(PHASES))]
        return [dict(zip(PHASES, batch, strict=True)) for batch in batches]

    def _mark(self) -> None:
        if self._device.type == "cuda":
            mark: Any = torch.cuda.Event(enable_timing=True)
            mark.record()
        else:
            mark = time.perf_counter()
        self._marks.append(mark)
