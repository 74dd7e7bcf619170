from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pandas
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from minis import LABELS, make_batch, make_guided, make_sed

from sedsep.checkpoints import Description
from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.training import SedRates, SeparatorRates, SeparatorSystem, warmup_constant
from sedsep.training.meters import PHASES, Meters, Phases, peak_memory_gb

BATCH = make_batch([[0, 2, None], [1, None, None]])


class Slow:
    """A loader that makes its user wait, and says so."""

    def __init__(self, batches: int, seconds: float) -> None:
        self.batches, self.seconds, self.waited = batches, seconds, 0.0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.batches):
            time.sleep(self.seconds)
            self.waited += self.seconds
            yield BATCH


class Saving(Callback):
    """What else happens between steps."""

    def on_train_batch_end(self, *_: Any) -> None:
        time.sleep(0.05)


def make_system() -> SeparatorSystem:
    network = make_guided(make_sed(), time_film=TimeFilm, injection=partial(Soundbeam))
    rates = SeparatorRates(1e-2, 1e-2, 1e-2, SedRates(0.0, 1e-4))
    return SeparatorSystem(
        network,
        labels=LABELS,
        rates=rates,
        description=Description("separator", "mini", {}, ()),
        optimizer=torch.optim.AdamW,
        schedule=partial(warmup_constant, warmup_steps=0),
    )


def train(directory: Path, loader: Slow, *callbacks: Callback, accumulate: int = 1) -> SeparatorSystem:
    system = make_system()
    trainer = lightning.Trainer(
        max_epochs=2,
        log_every_n_steps=2,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=CSVLogger(directory, name="", version=""),
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, loader)
    return system


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_logged_adds_up(tmp_path: Path, accumulate: int) -> None:
    system = train(tmp_path, Slow(4 * accumulate, 0.05), Meters(), Saving(), accumulate=accumulate)
    table = pandas.read_csv(tmp_path / "metrics.csv")
    logged = table.dropna(subset=["train/step_seconds"])
    assert logged["step"].tolist() == [1, 3, 5, 7]  # as the losses of the same steps
    seconds, wait = logged["train/step_seconds"], logged["train/data_wait"]
    mixtures = accumulate * len(BATCH.names)
    assert (seconds * logged["train/mixtures_per_second"]).tolist() == pytest.approx([mixtures] * 4)
    assert (seconds * wait).tolist() == pytest.approx([0.05 * accumulate] * 4)
    assert (logged["train/memory_gb"] > 0.05).all()
    shares = table[[f"train/layer_weight/{layer}" for layer in range(3)]].dropna()
    assert len(shares) == 2
    assert shares.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
    injection = system.network.separator.injection
    assert isinstance(injection, Soundbeam)
    assert shares.iloc[-1].tolist() == pytest.approx(injection.layer_weights.softmax(0).tolist())


@pytest.mark.filterwarnings("ignore")
def test_the_phases_of_a_batch_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_step(self: torch.optim.AdamW, closure: Any) -> Any:
        loss = closure()
        time.sleep(0.2)
        return loss

    monkeypatch.setattr(torch.optim.AdamW, "step", slow_step)
    phases = Phases()
    train(tmp_path, Slow(2, 0.3), phases)
    batches = phases.seconds()
    assert len(batches) == 4
    assert all(tuple(batch) == PHASES for batch in batches)
    assert all(batch["optimiser"] >= 0.2 and min(batch.values()) > 0 for batch in batches)
    assert all(batch["data"] >= 0.3 for batch in batches[1:])


def test_a_process_knows_its_peak() -> None:
    before = peak_memory_gb(torch.device("cpu"))
    held = torch.ones(50_000_000)
    assert peak_memory_gb(torch.device("cpu")) >= before
    assert 0.2 < peak_memory_gb(torch.device("cpu")) < 1000
    del held
