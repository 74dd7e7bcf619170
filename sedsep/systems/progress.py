"""Progress for people: bars in a terminal, a line an epoch in a log."""

from __future__ import annotations

import logging
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, RichProgressBar

log = logging.getLogger(__name__)

SHOWN = {
    "train/loss_epoch": "training loss",
    "valid/loss": "validation loss",
    "valid/ca_sdri/baseline": "CA-SDRi (dB)",
    "valid/label_accuracy@0.5": "label accuracy (%)",
}


def progress_callback(name: str, terminal: bool) -> Callback:
    """The callback that suits where the output goes; `name` says what is being trained."""
    return RichProgressBar() if terminal else EpochLog(name)


class EpochLog(Callback):
    """One line an epoch: losses, scores and seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        shown = {
            name: value
            for name, value in trainer.callback_metrics.items()
            if name in SHOWN and (validated or not name.startswith("valid/"))  # older ones are kept there
        }
        values = "  ".join(f"{SHOWN[name]} {float(value):.3f}" for name, value in sorted(shown.items()))
        seconds = time.perf_counter() - self._started
        log.info(
            "%s: epoch %d/%d  %s  (%.0f s)", self.name, trainer.current_epoch + 1, trainer.max_epochs, values, seconds
        )
