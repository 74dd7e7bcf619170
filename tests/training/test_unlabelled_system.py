"""Training a separator without labels: it is told none, and no order of its sources matters."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import LABELS, SEPARATOR, fit, make_batch
from torch import Tensor

from sedsep.checkpoints import Description
from sedsep.losses import unlabelled_loss
from sedsep.models import Separator, UnlabelledSeparator
from sedsep.training import SedRates, SeparatorRates, UnlabelledSystem, warmup_constant
from sedsep.types import Batch

BATCH = make_batch([[0, 2, 2], [1, None, None], [None, None, None]])


def make_system() -> UnlabelledSystem:
    torch.manual_seed(0)
    return UnlabelledSystem(
        UnlabelledSeparator(partial(Separator, **SEPARATOR, outputs=3)),
        labels=LABELS,
        rates=SeparatorRates(0.01, 0.01, 0.01, SedRates(heads=0.0, backbone=0.0)),
        description=Description("separator", "mini", {}, ()),
        optimizer=torch.optim.AdamW,
        schedule=partial(warmup_constant, warmup_steps=0),
    )


def test_neither_labels_nor_their_order_matter() -> None:
    system = make_system().eval()
    order = [2, 0, 1]
    other = Batch(BATCH.mixture, BATCH.targets[:, order], BATCH.query[:, order].roll(1, 2), BATCH.spans, BATCH.names)
    one = system.training_step(BATCH, 0)
    torch.testing.assert_close(system.training_step(other, 0), one)
    stems = system.network.stems(BATCH.mixture)
    torch.testing.assert_close(one, unlabelled_loss(stems, BATCH.targets, BATCH.mixture[:, 0]))


@pytest.mark.filterwarnings("ignore")
def test_it_learns_and_its_validation_is_the_loss_of_stems(tmp_path: Path) -> None:
    system, logged = make_system(), list[dict[str, Any]]()

    def loss() -> Tensor:
        return system.eval().training_step(BATCH, 0).detach()

    before = loss()
    trainer = fit(system, [BATCH], 30, tmp_path)
    logged.append({name: value.item() for name, value in trainer.logged_metrics.items()})
    assert loss() < before - 1
    assert logged[0]["valid/loss"] == pytest.approx(loss().item(), abs=0.1)
    assert not any("ca_sdri" in name for name in logged[0])
