from __future__ import annotations

import io
import logging
import re
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from minis import LABELS, make_batch, make_sed
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.console import ConsoleHandler
from sedsep.training import SedRates, SedSystem, progress, warmup_constant
from sedsep.training.progress import Bar, ProgressLog, duration

BATCHES = [make_batch([[0, 2, None], [1, None, None]])] * 3
EPOCHS = 4
LOGGED = "sedsep.training.progress"


def fit(directory: Path, callbacks: list[Callback], bar: bool = False, resume: Path | None = None) -> None:
    system = SedSystem(
        make_sed(),
        rates=SedRates(1e-3, 1e-3),
        description=Description("sed", "mini", {}, LABELS.names),
        optimizer=torch.optim.AdamW,
        schedule=partial(warmup_constant, warmup_steps=0),
    )
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        check_val_every_n_epoch=2,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        default_root_dir=directory,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loaders = [DataLoader(batches, batch_size=None) for batches in (BATCHES, BATCHES[:2])]
    trainer.fit(system, *loaders, ckpt_path=resume)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGED]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (7100, "1 h 58 min"), (200_000, "2 d 8 h")],
)
def test_a_duration_is_told_in_the_units_that_say_enough(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# A log.


@pytest.mark.filterwarnings("ignore")
def test_a_log_has_a_line_an_epoch(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO, LOGGED):
        fit(tmp_path, [ProgressLog("tagger")])
    lines = told(caplog)
    assert [re.match(r"tagger: epoch (\d)/4  ", line)[1] for line in lines] == ["1", "2", "3", "4"]  # type: ignore[index]
    assert ["validation loss" in line for line in lines] == [False, True, False, True]
    assert all(re.search(r"training loss \d\.\d{3}  .*\(\d+ s", line) for line in lines)
    assert [" left)" in line for line in lines] == [True, True, True, False]


@pytest.mark.filterwarnings("ignore")
def test_a_long_epoch_has_lines_on_the_way(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    with caplog.at_level(logging.INFO, LOGGED):
        fit(tmp_path, [ProgressLog("tagger")])
    lines = [line for line in told(caplog) if "%  loss" in line]
    assert len(lines) == EPOCHS * len(BATCHES) - 1  # nothing is known after the first batch
    assert re.fullmatch(r"tagger: epoch 3/4, 67 %  loss \d\.\d{3}  [\d.e+]+ mixtures/s  \d+ s left", lines[6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file", "epoch", "done"), [("step=6", 3, 50), ("step=4", 2, 33)], ids=["whole", "within"])
def test_a_resumed_training_says_where_it_goes_on(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, file: str, epoch: int, done: int
) -> None:
    fit(tmp_path, [ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=2)])
    with caplog.at_level(logging.INFO, LOGGED):
        fit(tmp_path, [ProgressLog("tagger")], resume=tmp_path / f"{file}.ckpt")
    first, *others = told(caplog)
    assert first == f"tagger: epoch {epoch}/4, going on with {done} % of the training done"
    assert [re.search(r"epoch (\d)/4", line)[1] for line in others][-2:] == ["3", "4"]  # type: ignore[index]
    assert all(re.search(r"\(\d s", line) for line in others)


@pytest.mark.filterwarnings("ignore")
def test_only_the_first_rank_speaks(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightning.Trainer, "is_global_zero", False)
    with caplog.at_level(logging.INFO):
        fit(tmp_path, [ProgressLog("tagger")])
    assert not [record for record in caplog.records if record.name.startswith("sedsep.training")]


def test_the_time_left_is_that_of_the_whole_training_with_its_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([60.0, 61.0, 62.0, 62.0, 82.0, 83.0])  # the first batch comes late, a validation takes 20 s
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    trainer: Any = SimpleNamespace(
        accumulate_grad_batches=2,
        world_size=3,
        estimated_stepping_batches=100,
        global_step=10,
        check_val_every_n_epoch=2,
        max_epochs=5,
    )
    lines = ProgressLog("tagger")
    assert lines.seconds_left(trainer, 0) is None
    lines.within = False
    for _ in range(3):
        lines.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, BATCHES[0], 0)
    assert lines.seconds_left(trainer, 0) == (100 - 10) * 2 * 1.0
    lines.on_validation_start()
    lines.on_validation_end()
    assert lines.seconds_left(trainer, 2) == 180 + 20  # of epochs 2, 3 and 4, the one after 3
    lines.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, BATCHES[0], 0)
    assert lines.seconds_left(trainer, 0) == 180 + 40  # the validation was no batch


# A terminal.


@pytest.mark.filterwarnings("ignore")
def test_log_lines_go_above_the_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(logging.getLogger(), "handlers", [ConsoleHandler()])
    monkeypatch.setattr(logging.getLogger(LOGGED), "level", logging.INFO)
    bar = Bar()
    monkeypatch.setattr(bar, "_console_kwargs", {"file": screen, "force_terminal": True, "width": 80})
    fit(tmp_path, [bar, ProgressLog("tagger")], bar=True)
    assert re.search(r"\x1b\[2K[^\x1b\n]*tagger: epoch 4/4  ", screen.getvalue()), "the bar is wiped before a line"
