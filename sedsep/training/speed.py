"""What makes training fast without changing what is computed, beyond rounding."""

from __future__ import annotations

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from sedsep.errors import choice
from sedsep.models.resunet import UNet
from sedsep.modules.vit import Block

COMPILED = (UNet, Block)
"""Where a training's time goes; the parts around them hold spectra, which compilers leave alone."""


class Speed(Callback):
    """Compiles a network's costly parts and sets the precision of matrix products, for as long as a fit lasts.

    Parts are compiled in place: weights keep their names, so checkpoints of compiled and plain trainings are the same.

    Args:
        compile: whether U-Net and transformer blocks go through `torch.compile`.
        matmul_precision: of float32 products: `highest`, `high` (TF32) or `medium` (bfloat16).

    Raises:
        UserError: an unknown precision.
    """

    def __init__(self, compile: bool, matmul_precision: str) -> None:
        self.compile = compile
        self.matmul_precision = choice(matmul_precision, ("highest", "high", "medium"), "speed.matmul_precision")
        self._before = torch.get_float32_matmul_precision()

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmul_precision)
        if self.compile:
            for module in pl_module.modules():
                if isinstance(module, COMPILED):
                    module.compile()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        torch.set_float32_matmul_precision(self._before)  # what follows is scored as task=evaluate would score it
