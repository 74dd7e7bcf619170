"""Progress for people: a bar in a terminal, lines in a log."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor

from sedsep.metrics.registry import BASELINE, METRICS, RANKINGS
from sedsep.types import Batch

log = logging.getLogger(__name__)

SHOWN = {
    "train/loss_epoch": "training loss",
    "valid/loss": "validation loss",
    **{f"valid/{name}/{BASELINE}": METRICS[name].axis for name in RANKINGS},
    "valid/label_accuracy@0.5": "label accuracy (%)",
}
RECENT = 100
"""Batches that loss and speed are averaged over."""
REFRESH_SECONDS = 0.5
"""Between two looks of the bar at the loss: each waits for the device."""
LINE_SECONDS = 180.0
"""Between two lines of a long epoch in a log."""


class Bar(RichProgressBar):
    """Lightning's bar, which waits for the device now and then instead of after every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._metrics: dict[str, Any] = {}
        self._refreshed = 0.0

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        now = time.monotonic()
        if now - self._refreshed > REFRESH_SECONDS:
            self._metrics, self._refreshed = super().get_metrics(trainer, pl_module), now
            self._metrics.pop("v_num", None)
        return self._metrics

    def _get_train_description(self, current_epoch: int) -> str:
        """Epochs count from 1, as in the lines."""
        return f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}".ljust(len(self.validation_description))


class ProgressLog(Callback):
    """One line an epoch: losses, scores, time, and the time left for the whole training; long epochs, and long tests,
    have more on the way.

    Args:
        name: of what is trained or scored.
        within: whether there are lines on the way.
    """

    def __init__(self, name: str, within: bool = True) -> None:
        self.name, self.within = name, within
        self._recent: deque[tuple[float, int, Tensor]] = deque(maxlen=RECENT)  # seconds, mixtures, loss of a batch
        self._last_batch: float | None = None
        self._epoch_start = self._last_line = self._validation_start = self._validation_seconds = 0.0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.on_train_epoch_start()  # which is left out for an epoch that a training goes on in
        if trainer.global_step:
            done = trainer.global_step / trainer.estimated_stepping_batches
            self._line(trainer, f", going on with {100 * done:.0f} % of the training done")

    def on_train_epoch_start(self, *_: Any) -> None:
        self._epoch_start = self._last_line = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._last_batch is not None:  # the first batch waits for workers and compilers
            # Lightning shares a loss out among the batches of an accumulated step.
            loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
            self._recent.append((now - self._last_batch, len(batch.names) * trainer.world_size, loss))
        self._last_batch = now
        if self.within and self._recent and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            left = self.seconds_left(trainer, trainer.current_epoch) or 0.0
            seconds, mixtures, losses = zip(*self._recent, strict=True)
            share = 100 * (batch_idx + 1) / trainer.num_training_batches
            loss = torch.stack(losses).mean().item()
            speed = sum(mixtures) / sum(seconds)
            self._line(trainer, f", {share:.0f} %  loss {loss:.3f}  {speed:.3g} mixtures/s  {duration(left)} left")

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        epochs = trainer.current_epoch + 1
        validated = epochs % (trainer.check_val_every_n_epoch or 1) == 0
        values = "  ".join(
            f"{SHOWN[name]} {float(value):.3f}"
            for name, value in sorted(trainer.callback_metrics.items())
            if name in SHOWN and (validated or not name.startswith("valid/"))  # older ones are kept there
        )
        took = duration(time.monotonic() - self._epoch_start)
        left = None if epochs == trainer.max_epochs else self.seconds_left(trainer, epochs)
        self._line(trainer, f"  {values}  ({took})" if left is None else f"  {values}  ({took}, {duration(left)} left)")

    def on_validation_start(self, *_: Any) -> None:
        self._validation_start = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        now = time.monotonic()
        self._validation_seconds = now - self._validation_start
        self._last_batch = None if self._last_batch is None else now

    def on_test_start(self, *_: Any) -> None:
        self._epoch_start = self._last_line = time.monotonic()

    def on_test_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        now, done, total = time.monotonic(), batch_idx + 1, sum(trainer.num_test_batches)
        if self.within and trainer.is_global_zero and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            left = (now - self._epoch_start) / done * (total - done)
            log.info("%s: %.0f %%, %s left", self.name, 100 * done / total, duration(left))

    def seconds_left(self, trainer: lightning.Trainer, epoch: int) -> float | None:
        """Seconds until the training is over, validations as long as the last one included; `None` before there is
        anything to go by.

        Args:
            trainer: of the training.
            epoch: the first that is not over.
        """
        if not self._recent:
            return None
        batches = (trainer.estimated_stepping_batches - trainer.global_step) * trainer.accumulate_grad_batches
        every, epochs = trainer.check_val_every_n_epoch or 1, trainer.max_epochs or 0
        validations = epochs // every - epoch // every
        seconds = sum(seconds for seconds, *_ in self._recent) / len(self._recent)
        return batches * seconds + validations * self._validation_seconds

    def _line(self, trainer: lightning.Trainer, text: str) -> None:
        if trainer.is_global_zero:
            log.info("%s: epoch %d/%s%s", self.name, trainer.current_epoch + 1, trainer.max_epochs, text)


def duration(seconds: float) -> str:
    """Seconds in the two units that say enough: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
