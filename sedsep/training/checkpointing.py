"""Checkpoints that a training can always go on from."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

LAST = "last.ckpt"

log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place: a kill at any moment leaves one of them
    whole. (Lightning goes by way of the system's temporary folder, which may be another disk.)"""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of the directory's only writer, always by this name: what a kill leaves is overwritten.
        partial = target.with_name(f".{target.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt` in the trainer's directory: after every epoch, every few minutes within one, and before a
    scheduler ends the process.

    The signal of a scheduler (SIGUSR2, which submitit listens for, or SIGTERM, which Lightning does) is noted at once
    and answered after the step: the checkpoint is written, then whoever was listening before gets the signal.

    It comes after all other callbacks, as Lightning's own checkpoints do, and what it is told is logged twice, which
    loggers of ours pass over.

    Args:
        minutes: between two checkpoints within an epoch.

    Attributes:
        seconds: of training so far, over all attempts.
    """

    def __init__(self, minutes: float = 10.0) -> None:
        self.minutes = minutes
        self.seconds = 0.0
        self._signal: tuple[int, FrameType | None] | None = None
        self._listener: Any = None
        self._saved = self._counted = time.monotonic()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._saved = self._counted = time.monotonic()
        listener = signal.getsignal(signal.SIGUSR2)
        if callable(listener):  # nobody listens outside of a scheduler's job
            self._listener = listener
            signal.signal(signal.SIGUSR2, self._note)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if self._listener is not None:
            signal.signal(signal.SIGUSR2, self._listener)
            self._hand_over()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        # Half of an accumulated gradient cannot be kept; after the last batch, the end of the epoch is near.
        if progress.current.ready % trainer.accumulate_grad_batches or progress.is_last_batch:
            return
        told = self._signal is not None or trainer.received_sigterm
        due = time.monotonic() - self._saved > 60 * self.minutes
        if trainer.strategy.reduce_boolean_decision(told or due, all=False):  # all ranks take part in saving
            # Lightning logs a step after it has called us: a kill between the two would lose what the step measured.
            trainer._logger_connector.update_train_step_metrics()
            self._save(trainer)
            self._hand_over()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._hand_over()  # there may be no time to end the validation

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._save(trainer)
        self._hand_over()

    def state_dict(self) -> dict[str, Any]:
        now = time.monotonic()
        self.seconds, self._counted = self.seconds + now - self._counted, now
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / LAST)
        self._saved = time.monotonic()

    def _note(self, number: int, frame: FrameType | None) -> None:
        log.info("Told to stop: a checkpoint is written after this step.")
        self._signal = number, frame

    def _hand_over(self) -> None:
        if self._signal is not None:
            told, self._signal = self._signal, None
            self._listener(*told)  # submitit's puts the job back into the queue and exits
