"""Scoring scenes on every device."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch.utils.data import Dataset

from sedsep.evaluation.evaluator import AnyEvaluator, MixtureResult
from sedsep.scenes.datamodule import FixedScenes
from sedsep.training.progress import Bar, ProgressLog
from sedsep.types import Batch, Scene


def score_scenes(
    evaluator: AnyEvaluator,
    scenes: Dataset[Scene],
    make_trainer: Callable[..., Trainer],
    batch_size: int,
    workers: int,
) -> list[MixtureResult]:
    """Results of every scene, in order, on each rank.

    Args:
        evaluator: scores batches; it is left on the CPU.
        scenes: what to score.
        make_trainer: makes a trainer for all devices from further settings of `lightning.Trainer`.
        batch_size: scenes that a device takes at once.
        workers: processes that read and render.
    """
    on_terminal = sys.stdout.isatty()
    trainer = make_trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=on_terminal,
        callbacks=[ProgressLog("scoring", within=not on_terminal), *([Bar()] if on_terminal else [])],
    )
    system = ScoringSystem(evaluator)
    trainer.test(system, FixedScenes(scenes, evaluator.labels, batch_size, workers), verbose=False)
    return system.results


class ScoringSystem(LightningModule):
    """Has each rank score its share of the mixtures, and gathers the results.

    Args:
        evaluator: scores batches.

    Attributes:
        results: after a test, of all ranks, in the order of the scenes, without filler.
    """

    def __init__(self, evaluator: AnyEvaluator) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.results: list[MixtureResult] = []

    def prepare_data(self) -> None:
        """In one process: remove estimates of an earlier job in this directory, with other labels."""
        if self.evaluator.folder is not None:
            shutil.rmtree(self.evaluator.folder, ignore_errors=True)

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
