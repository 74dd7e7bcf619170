from __future__ import annotations

from functools import partial
from typing import Any

import lightning
import pytest
import torch
from minis import make_batch, make_sed
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.training import SedRates, SedSystem, warmup_cosine, warmup_linear
from sedsep.types import Batch


def test_a_rate_can_fall_in_a_straight_line() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_linear(optimizer, total_steps=10, warmup_steps=2)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1.0, 2.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25, 0.0])


def halves(batch: Batch) -> list[Batch]:
    parts = (slice(0, 2), slice(2, 4))
    return [Batch(batch.mixture[p], batch.targets[p], batch.query[p], batch.spans[p], batch.names[p]) for p in parts]


def trained(batches: list[Batch], accumulate: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights after two epochs, and what the schedule was made with."""
    seen: dict[str, Any] = {}

    def schedule(optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        seen.update(total=total_steps, schedule=warmup_cosine(optimizer, total_steps, warmup_steps=2))
        return seen["schedule"]

    torch.manual_seed(0)
    system = SedSystem(
        make_sed(head_norm=False),  # a BatchNorm sees the smaller batches
        rates=SedRates(heads=1e-2, backbone=1e-3),
        description=Description("sed", "mini", {}, ()),
        optimizer=partial(torch.optim.AdamW, amsgrad=True),
        schedule=schedule,
    )
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=0.5,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, DataLoader(batches, batch_size=None))
    seen["steps"] = trainer.global_step
    return dict(system.network.state_dict()), seen


@pytest.mark.filterwarnings("ignore")
def test_half_batches_added_up_are_the_whole_batch_and_a_step_of_the_schedule() -> None:
    whole = [make_batch([[0, 2, None], [1, None, None], [3, 4, 0], [2, 1, None]], seed=seed) for seed in range(3)]
    weights, seen = trained(whole, accumulate=1)
    added, counted = trained([half for batch in whole for half in halves(batch)], accumulate=2)
    for what in (seen, counted):
        assert (what["total"], what["steps"], what["schedule"].last_epoch) == (6, 6, 6)
    for name, value in weights.items():
        assert torch.allclose(added[name], value, atol=2e-5), name
