"""Learning-rate schedules, stepped after every step of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Linear rise over `warmup_steps`, then half a cosine to 0 at `total_steps`."""
    return _warmed(optimizer, total_steps, warmup_steps, lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)))


def warmup_linear(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Linear rise over `warmup_steps`, then a straight line to 0 at `total_steps`."""
    return _warmed(optimizer, total_steps, warmup_steps, lambda progress: 1.0 - progress)


def warmup_constant(optimizer: Optimizer, total_steps: int, warmup_steps: int) -> LambdaLR:
    """Linear rise over `warmup_steps`, then the learning rate as it is."""
    return _warmed(optimizer, total_steps, warmup_steps, lambda progress: 1.0)


def _warmed(optimizer: Optimizer, total_steps: int, warmup_steps: int, after: Callable[[float], float]) -> LambdaLR:
    """`after` maps progress from the end of the rise (0) to the last step (1) to a factor of the learning rate."""
    warmup_steps = min(warmup_steps, total_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return after(min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))

    return LambdaLR(optimizer, factor)
