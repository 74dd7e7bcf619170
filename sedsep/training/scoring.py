"""Scoring a split on every device."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import torch
from lightning import LightningModule
from torch import nn

from sedsep.evaluation.evaluator import MixtureResult
from sedsep.types import Batch


class ScoringSystem(LightningModule):
    """Has each rank score its share of the mixtures, and gathers the results.

    Args:
        evaluator: makes of a batch the result of each of its mixtures.

    Attributes:
        results: after a test, of all ranks, in the order of the scenes, without filler.
    """

    def __init__(self, evaluator: nn.Module) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.results: list[MixtureResult] = []

    def on_test_epoch_start(self) -> None:
        self.results = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        real = batch.counted()
        if real.names:
            self.results += self.evaluator(real)

    def on_test_epoch_end(self) -> None:
        if self.trainer.world_size > 1:
            shares: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(shares, self.results)
            turns = zip_longest(*shares)  # the ranks took turns
            self.results = [result for turn in turns for result in turn if result is not None]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)
