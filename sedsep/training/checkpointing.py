"""Checkpoints that a training can always go on from."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from sedsep.checkpoints.files import read_weights, with_digest
from sedsep.files import named
from sedsep.signals import Postponed

LAST = "last.ckpt"
NEXT = ".next.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place: a kill at any moment leaves one of them
    whole. (Lightning goes by way of the system's temporary folder, which may be another disk.)"""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of the directory's only writer, always by this name: what a kill leaves is overwritten.
        partial = target.with_name(f".{target.name}.partial")
        try:
            with named(target), partial.open("wb") as file:
                torch.save(with_digest(checkpoint), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        return read_weights(Path(path))  # what is damaged is told, and not gone on from


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt` in the trainer's directory: after every epoch, every few minutes within one, and before a
    scheduler ends the process.

    A signal to stop, or the one that has submitit queue the job again, is noted at once and answered after the step,
    when the checkpoint is written.

    Lightning logs a step after it has called us: a checkpoint within an epoch is written beside its place, and put
    there before the next step, so that a kill between the two loses nothing of what the step measured.

    Args:
        minutes: between two checkpoints within an epoch.

    Attributes:
        seconds: of training so far, over all attempts.
    """

    def __init__(self, minutes: float = 10.0) -> None:
        self.minutes = minutes
        self.seconds = 0.0
        self._signals = Postponed()
        self._all_stop = False
        self._is_beside = False
        self._save_time = self._count_time = time.monotonic()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            (Path(trainer.default_root_dir) / NEXT).unlink(missing_ok=True)  # of a training that was killed
        self._save_time = self._count_time = time.monotonic()

    def on_train_start(self, *_: Any) -> None:
        self._signals.begin()

    def on_train_end(self, *_: Any) -> None:
        self._signals.answer(self._all_stop)
        self._signals.end()

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._signals.end()
        self._put_in_place(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Half of an accumulated gradient cannot be kept; after the last batch, the end of the epoch is near.
        if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch:
            return
        wanted = self._signals.noted or time.monotonic() - self._save_time > 60 * self.minutes
        if trainer.strategy.reduce_boolean_decision(wanted, all=False):  # all ranks take part in saving
            self._save(trainer, NEXT)

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self._put_in_place(trainer):
            self._signals.answer(self._all_stop)

    def on_validation_batch_end(self, *_: Any) -> None:
        self._signals.answer()  # there may be no time to end the validation

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save(trainer, LAST)

    def on_train_epoch_start(self, *_: Any) -> None:
        self._signals.answer(self._all_stop)  # what the epoch before measured is logged by now

    def state_dict(self) -> dict[str, Any]:
        now = time.monotonic()
        self.seconds, self._count_time = self.seconds + now - self._count_time, now
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def _save(self, trainer: lightning.Trainer, name: str) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / name)
        self._save_time = time.monotonic()
        self._is_beside = name == NEXT
        # Whichever of the ranks was told: none may wait for one that has left.
        self._all_stop = trainer.strategy.reduce_boolean_decision(self._signals.told_to_stop, all=False)

    def _put_in_place(self, trainer: lightning.Trainer) -> bool:
        """Whether there was a checkpoint beside its place."""
        if was_beside := self._is_beside:
            self._is_beside = False
            if trainer.is_global_zero:
                directory = Path(trainer.default_root_dir)
                (directory / NEXT).replace(directory / LAST)
        return was_beside
