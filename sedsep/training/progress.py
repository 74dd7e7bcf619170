"""Progress for people: a bar in a terminal, lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from torch import Tensor

from sedsep.training.summary import Summary
from sedsep.types import Batch

log = logging.getLogger(__name__)

SHOWN = {
    "train/loss_epoch": "training loss",
    "valid/loss": "validation loss",
    "valid/ca_sdri/baseline": "CA-SDRi (dB)",
    "valid/label_accuracy@0.5": "label accuracy (%)",
}
RECENT = 100
"""Batches that loss and speed are averaged over."""
REFRESH_SECONDS = 0.5
"""Between two looks at the loss: each waits for the device."""
LINE_SECONDS = 180.0
"""Between two lines of a long epoch in a log."""


def progress_callbacks(name: str, terminal: bool) -> list[Callback]:
    """What tells people of a training: a summary of the model, lines, and a bar where the output is a terminal.

    Args:
        name: of what is trained.
    """
    pace = Pace()
    lines = EpochLog(name, pace, within=not terminal)
    return [Summary(name), pace, lines, *([Bar(name, pace)] if terminal else [])]


class Pace(Callback):
    """How fast a training goes, and when it will be over."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int, Tensor]] = deque(maxlen=RECENT)
        self._last: float | None = None
        self._validation_began = self._validation_seconds = 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._last is not None:  # the first batch waits for workers and compilers
            # Lightning shares a loss out among the batches of an accumulated step.
            loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
            self._recent.append((now - self._last, len(batch.names) * trainer.world_size, loss))
        self._last = now

    def on_validation_start(self, *_: Any) -> None:
        self._validation_began = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        now = time.monotonic()
        self._validation_seconds = now - self._validation_began
        self._last = None if self._last is None else now

    def loss(self) -> float:
        """Mean training loss of the last batches; there must be some."""
        return torch.stack([loss for *_, loss in self._recent]).mean().item()

    def mixtures_per_second(self) -> float:
        """Mixtures that all devices train on in a second, without validation; there must have been some batches."""
        return sum(count for _, count, _ in self._recent) / sum(self._seconds())

    def left(self, trainer: lightning.Trainer, epoch: int) -> float | None:
        """Seconds until the whole training is over, validations as long as the last one included; `None` before there
        is anything to go by.

        Args:
            epoch: the first that is not over.
        """
        if not self._recent:
            return None
        steps = trainer.estimated_stepping_batches - trainer.global_step
        every, epochs = trainer.check_val_every_n_epoch or 1, trainer.max_epochs or 0
        validations = epochs // every - epoch // every
        batch = sum(self._seconds()) / len(self._recent)
        return steps * trainer.accumulate_grad_batches * batch + validations * self._validation_seconds

    def _seconds(self) -> list[float]:
        return [seconds for seconds, *_ in self._recent]


class EpochLog(Callback):
    """One line an epoch: losses, scores, time. Long epochs have more on the way.

    Args:
        name: of what is trained. pace: of this training. within: whether long epochs have more lines.
    """

    def __init__(self, name: str, pace: Pace, within: bool = True) -> None:
        self.name, self.pace, self.within = name, pace, within
        self._began = self._told = 0.0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.on_train_epoch_start()  # which is left out for an epoch that a training goes on in
        if trainer.global_step:
            done = trainer.global_step / trainer.estimated_stepping_batches
            self._tell(trainer, f", going on with {100 * done:.0f} % of the training done")

    def on_train_epoch_start(self, *_: Any) -> None:
        self._began = self._told = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        left = self.pace.left(trainer, trainer.current_epoch)
        if not self.within or left is None or time.monotonic() - self._told < LINE_SECONDS:
            return
        self._told = time.monotonic()
        share = 100 * (batch_idx + 1) / trainer.num_training_batches
        speed = f"{self.pace.mixtures_per_second():.3g} mixtures/s"
        self._tell(trainer, f", {share:.0f} %  loss {self.pace.loss():.3f}  {speed}  {duration(left)} left")

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        epochs = trainer.current_epoch + 1
        validated = epochs % (trainer.check_val_every_n_epoch or 1) == 0
        values = "  ".join(
            f"{SHOWN[name]} {float(value):.3f}"
            for name, value in sorted(trainer.callback_metrics.items())
            if name in SHOWN and (validated or not name.startswith("valid/"))  # older ones are kept there
        )
        took = duration(time.monotonic() - self._began)
        left = None if epochs == trainer.max_epochs else self.pace.left(trainer, epochs)
        self._tell(trainer, f"  {values}  ({took})" if left is None else f"  {values}  ({took}, {duration(left)} left)")

    def _tell(self, trainer: lightning.Trainer, what: str) -> None:
        if trainer.is_global_zero:
            log.info("%s: epoch %d/%s%s", self.name, trainer.current_epoch + 1, trainer.max_epochs, what)


class Bar(ProgressBar):
    """A bar for the epoch, one for a validation: batches, loss, speed, and the time left for the whole training.

    Args:
        name: of what is trained. pace: of this training. console: the terminal.
    """

    def __init__(self, name: str, pace: Pace, console: Console | None = None) -> None:
        super().__init__()
        self.name, self.pace = name, pace
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
            console=console,
            refresh_per_second=1 / REFRESH_SECONDS,
            transient=True,
            expand=True,
        )
        self._training = self._validation = TaskID(0)
        self._refreshed = 0.0
        self._handlers: list[tuple[logging.StreamHandler[Any], Any]] = []

    def disable(self) -> None:
        self._progress.disable = True

    def enable(self) -> None:
        self._progress.disable = False

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._training = self._progress.add_task(self.name, figures="")
        self._validation = self._progress.add_task(f"{self.name}, validation", figures="", visible=False)
        self.on_train_epoch_start(trainer)  # which is left out for an epoch that a training goes on in
        self._progress.start()
        self._lift_logging()

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        epoch = f"{self.name}, epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self._progress.reset(self._training, description=epoch, total=self.total_train_batches)

    def on_train_batch_end(self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._progress.update(self._training, completed=batch_idx + 1)
        now, left = time.monotonic(), self.pace.left(trainer, trainer.current_epoch)
        if not self._progress.disable and left is not None and now - self._refreshed > REFRESH_SECONDS:
            self._refreshed = now
            speed = f"{self.pace.mixtures_per_second():.3g} mix/s"
            figures = f"loss {self.pace.loss():.2f}  {speed}  {duration(left)} left"
            self._progress.update(self._training, figures=figures)

    def on_validation_batch_start(
        self, trainer: lightning.Trainer, _: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self.has_dataloader_changed(dataloader_idx):
            total = self.total_val_batches_current_dataloader
            self._progress.reset(self._validation, total=total, visible=not trainer.sanity_checking)

    def on_validation_batch_end(self, *_: Any) -> None:
        self._progress.advance(self._validation)

    def on_validation_end(self, *_: Any) -> None:
        self.reset_dataloader_idx_tracker()
        self._progress.update(self._validation, visible=False)

    def teardown(self, *_: Any, **__: Any) -> None:
        self._stop()

    def on_exception(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers = []
        self._progress.stop()

    def _lift_logging(self) -> None:
        """Have log lines printed above the bar: their handlers write to the terminal that was there before it."""
        terminal = {sys.__stdout__, sys.__stderr__}
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in terminal:
                self._handlers.append((handler, handler.setStream(sys.stdout)))


class ScoringProgress(Callback):
    """How far scoring is: a bar in a terminal, in a log a line now and then."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
        self._began = self._told = 0.0

    def on_test_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._began = self._told = time.monotonic()
        self._bar.disable = self._bar.disable or not trainer.is_global_zero
        self._task = self._bar.add_task("Scoring", total=sum(trainer.num_test_batches))
        self._bar.start()

    def on_test_batch_end(
        self, trainer: lightning.Trainer, _: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._bar.advance(self._task)
        now, done, total = time.monotonic(), batch_idx + 1, sum(trainer.num_test_batches)
        if self._bar.disable and trainer.is_global_zero and now - self._told > LINE_SECONDS:
            self._told = now
            left = (now - self._began) / done * (total - done)
            log.info("scoring: %.0f %%, %s left", 100 * done / total, duration(left))

    def teardown(self, *_: Any, **__: Any) -> None:
        self._bar.stop()

    def on_exception(self, *_: Any) -> None:
        self._bar.stop()


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
