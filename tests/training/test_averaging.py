"""The averages of a training's weights are what is validated and kept."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from minis import LABELS, make_batch, make_sed, refused
from torch import Tensor
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.checkpoints.own import network_state
from sedsep.training import EpochAverage, MovingAverage, SedRates, SedSystem, warmup_constant

BATCHES = [make_batch([[0, 2, None], [1, None, None]], seed=seed) for seed in range(3)]
EPOCHS = 3


class Passed(Callback):
    """Keeps the weights and statistics of the network after each step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        self.states.append(deepcopy(pl_module.network.state_dict()))


def trained(average: Callback, directory: Path) -> tuple[list[dict[str, Tensor]], lightning.Trainer, Path]:
    """The states that a training passes through, its trainer, and what it keeps of its last epoch."""
    torch.manual_seed(0)
    system = SedSystem(
        make_sed(),
        rates=SedRates(heads=1e-2, backbone=1e-2),
        description=Description("sed", "mini", {}, LABELS.names),
        optimizer=torch.optim.AdamW,
        schedule=partial(warmup_constant, warmup_steps=1),
    )
    passed, kept = Passed(), ModelCheckpoint(directory, filename="kept", enable_version_counter=False)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=[average, passed, kept], logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=directory,
    )  # fmt: skip
    trainer.fit(system, DataLoader(BATCHES, batch_size=None), DataLoader(BATCHES[:1], batch_size=None))
    return passed.states, trainer, directory / "kept.ckpt"


def check_kept(expected: dict[str, Tensor], trainer: lightning.Trainer, file: Path) -> None:
    """The checkpoint, the network at the end and what was validated are the average that is expected."""
    content = torch.load(file, weights_only=True)
    kept = network_state(content["state_dict"])
    system: Any = trainer.lightning_module
    for name, value in expected.items():
        if value.is_floating_point():  # statistics of BatchNorms, too
            assert torch.allclose(kept[name], value, atol=1e-6), name
        assert torch.equal(kept[name], system.network.state_dict()[name])
    batch = BATCHES[0]
    with torch.no_grad():
        loss = system.loss(system.network.eval()(batch.mixture), batch)
    assert trainer.callback_metrics["valid/loss"].item() == pytest.approx(loss.item(), rel=1e-5)


def learnt(file: Path) -> dict[str, Tensor]:
    """The weights that a training goes on from."""
    return network_state(torch.load(file, weights_only=True)["current_model_state"])


@pytest.mark.filterwarnings("ignore")
def test_an_average_moves_with_every_step(tmp_path: Path) -> None:
    states, trainer, file = trained(MovingAverage(decay=0.7), tmp_path)
    expected = {name: value.double() for name, value in states[0].items()}
    for state in states[1:]:
        expected = {name: 0.7 * value + 0.3 * state[name].double() for name, value in expected.items()}
    average = {name: value.float() for name, value in expected.items() if states[0][name].is_floating_point()}
    assert any("running_mean" in name for name in average)
    check_kept(average, trainer, file)
    assert all(torch.equal(value, states[-1][name]) for name, value in learnt(file).items())
    windows = [buffer for name, buffer in trainer.lightning_module.named_buffers() if name.endswith("window")]
    assert all(torch.equal(window, torch.hann_window(len(window))) for window in windows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("first", "counted"), [(0, [0, 1, 2]), (1, [1, 2]), (7, [2])])
def test_the_mean_of_epochs_begins_with_the_first_that_counts(tmp_path: Path, first: int, counted: list[int]) -> None:
    states, trainer, file = trained(EpochAverage(first), tmp_path)
    ends = [states[(epoch + 1) * len(BATCHES) - 1] for epoch in counted]
    floats = [name for name, value in ends[0].items() if value.is_floating_point()]
    check_kept({name: torch.stack([end[name] for end in ends]).mean(0) for name in floats}, trainer, file)


def test_a_decay_that_averages_nothing_is_refused() -> None:
    for decay in (0, 1):
        with refused(f"callbacks.average.decay={decay} averages nothing"):
            MovingAverage(decay)
