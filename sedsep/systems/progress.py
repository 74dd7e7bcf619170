"""Progress for people: bars in a terminal, a line an epoch in a log."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar

log = logging.getLogger(__name__)


def progress_callback(name: str) -> Callback:
    """The callback that suits where the output goes; `name` says what is being trained."""
    return RichProgressBar() if sys.stdout.isatty() else EpochLog(name)


class EpochLog(Callback):
    """One line an epoch: losses, scores and seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        # Called before the training loss is averaged over the epoch; the last step's stands for it.
        shown = {
            name: f"{float(value):.3f}" for name, value in sorted(trainer.callback_metrics.items()) if "@" not in name
        }
        values = "  ".join(f"{name} {value}" for name, value in shown.items() if not name.endswith("_step"))
        seconds = time.perf_counter() - self._started
        log.info(
            "%s: epoch %d/%d  %s  (%.0f s)", self.name, trainer.current_epoch + 1, trainer.max_epochs, values, seconds
        )
