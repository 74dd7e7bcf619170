"""What makes training fast without changing what is computed, beyond rounding."""

from __future__ import annotations

from typing import Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from sedsep.errors import choice
from sedsep.models.m2d import M2d
from sedsep.models.remade import Remade
from sedsep.models.resunet import UNet
from sedsep.models.tf_attention import TfAttention
from sedsep.modules.vit import Block

BODIES = (UNet, TfAttention)
COMPILED = (*BODIES, Block)
"""Where a training's time goes; the parts around them hold spectra, which compilers leave alone."""


class Speed(Callback):
    """Compiles a network's costly parts, sets the precision of matrix products for as long as a fit lasts, and how much
    of a step is kept for its backward pass.

    Parts are compiled in place: weights keep their names, so checkpoints of compiled and plain trainings are the same.

    Args:
        compile: whether the separator's body and transformer blocks go through `torch.compile`.
        matmul_precision: of float32 products: `highest`, `high` (TF32) or `medium` (bfloat16).
        checkpoint: `stages` keeps of each stage of U-Net and transformer what leads into it, and runs it again in the
            backward pass: half the memory for about a tenth more time. A separator's body is not compiled then. `none`:
            of each convolution of the U-Net what it gives.

    Raises:
        UserError: an unknown precision or way to checkpoint.
    """

    def __init__(self, compile: bool, matmul_precision: str, checkpoint: Literal["none", "stages"] = "none") -> None:
        self.compile = compile
        self.matmul_precision = choice(matmul_precision, ("highest", "high", "medium"), "speed.matmul_precision")
        self.stages = choice(checkpoint, ("none", "stages"), "speed.checkpoint") == "stages"
        self._before = torch.get_float32_matmul_precision()

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmul_precision)
        for module in pl_module.modules():
            compiled = (
                self.compile and isinstance(module, COMPILED) and not (self.stages and isinstance(module, BODIES))
            )
            if isinstance(module, UNet):
                module.remade = None if compiled else Remade(self.stages)  # a compiler plans itself what it keeps
            if isinstance(module, M2d | TfAttention):
                module.checkpoint = self.stages
            if compiled:
                module.compile()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        torch.set_float32_matmul_precision(self._before)  # what follows is scored as task=evaluate would score it
