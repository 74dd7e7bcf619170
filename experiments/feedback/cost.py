"""What a training step costs by which passes learn, in GFLOP: matrix products and convolutions, forward and backward,
of separator and SED model, as torch counts them; a mean over the passes that are drawn.

python experiments/feedback/cost.py
"""

from __future__ import annotations

import sys

import torch
from study import STUDY
from torch.utils.flop_counter import FlopCounterMode

from sedsep.models import GuidedSeparator
from sedsep.models.separator import Gradient
from sedsep.studies.command import composed
from sedsep.training.recipe import Recipe
from sedsep.wiring import build

WAYS: dict[str, tuple[Gradient, bool]] = {
    "a loss on the last pass": ("last", False),
    "a loss on the last pass, gradient through": ("through", False),
    "a loss on every pass": ("each", True),
}


def step_gflop(network: GuidedSeparator, mixture: torch.Tensor, gradient: Gradient, every: bool) -> float:
    """Of a batch of mixtures [B, M, L]."""
    query = torch.eye(network.classes)[torch.arange(len(mixture)) % network.classes][:, None]
    drawn = [network.iters] if every else range(1, network.iters + 1)
    flop = 0
    for passes in drawn:
        with FlopCounterMode(display=False) as counter:
            estimates = network(mixture, query, passes, gradient=gradient).passes
            torch.stack(estimates if every else estimates[-1:]).square().mean().backward()
        flop += counter.get_total_flops()
    return flop / len(drawn) / 1e9


if __name__ == "__main__":
    row = STUDY.reference_row
    config = composed(STUDY.run_py, [f"experiment={row.experiment}", *row.overrides, *sys.argv[1:]])
    recipe = Recipe.of(config["model"], config["scale"], config["refinement"]["iters"])
    recipe.network["separator"]["classes"] = recipe.network["sed"]["classes"] = len(config["labels"]["names"])
    samples = round(recipe.plan.duration * config["sample_rate"])
    mixture = 0.1 * torch.randn(recipe.plan.batch_size, config["microphones"], samples)
    for title, (gradient, every) in WAYS.items():
        network = build(recipe.network).train()
        print(f"{title}: {step_gflop(network, mixture, gradient, every):.2f} GFLOP a step", flush=True)
