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
from rich.console import Console
from rich.text import Text
from torch.utils.data import DataLoader

from sedsep.checkpoints import Description
from sedsep.training import SedRates, SedSystem, progress, warmup_constant
from sedsep.training.progress import Bar, EpochLog, Pace, duration, progress_callbacks

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
        fit(tmp_path, progress_callbacks("tagger", terminal=False))
    lines = told(caplog)
    assert [re.match(r"tagger: epoch (\d)/4  ", line)[1] for line in lines] == ["1", "2", "3", "4"]  # type: ignore[index]
    assert ["validation loss" in line for line in lines] == [False, True, False, True]
    assert all(re.search(r"training loss \d\.\d{3}  .*\(\d+ s", line) for line in lines)
    assert [" left)" in line for line in lines] == [True, True, True, False]


@pytest.mark.filterwarnings("ignore")
def test_a_long_epoch_has_lines_on_the_way(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, LOGGED):
        fit(tmp_path, progress_callbacks("tagger", terminal=False))
    lines = [line for line in told(caplog) if "%  loss" in line]
    assert len(lines) == EPOCHS * len(BATCHES) - 1  # nothing is known after the first batch
    assert re.fullmatch(r"tagger: epoch 3/4, 67 %  loss \d\.\d{3}  [\d.e+]+ mixtures/s  \d+ s left", lines[6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("file", "epoch", "done"), [("step=6", 3, 50), ("step=4", 2, 33)], ids=["whole", "within"])
def test_a_resumed_training_says_where_it_goes_on(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, file: str, epoch: int, done: int
) -> None:
    fit(tmp_path, [ModelCheckpoint(tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=2)])
    screen = io.StringIO()
    lines, pace = EpochLog("tagger", Pace()), Pace()
    bar = Bar("tagger", pace, Console(file=screen, force_terminal=True, width=80))
    with caplog.at_level(logging.INFO, LOGGED):
        fit(tmp_path, [lines, pace, bar], bar=True, resume=tmp_path / f"{file}.ckpt")
    first, *others = told(caplog)
    assert first == f"tagger: epoch {epoch}/4, going on with {done} % of the training done"
    assert [re.search(r"epoch (\d)/4", line)[1] for line in others][-2:] == ["3", "4"]  # type: ignore[index]
    assert all(re.search(r"\(\d s", line) for line in others)
    assert f"tagger, epoch {epoch}/4" in screen.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_only_the_first_rank_speaks(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightning.Trainer, "is_global_zero", False)
    screen = io.StringIO()
    bar = Bar("tagger", Pace(), Console(file=screen, force_terminal=True, width=80))
    with caplog.at_level(logging.INFO):
        fit(tmp_path, [*progress_callbacks("tagger", terminal=False), bar], bar=True)
    assert not [record for record in caplog.records if record.name.startswith("sedsep.training")]
    assert not screen.getvalue()


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
    pace = Pace()
    assert pace.left(trainer, 0) is None
    for _ in range(3):
        pace.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, BATCHES[0], 0)
    assert pace.loss() == 1.0
    assert pace.mixtures_per_second() == len(BATCHES[0].names) * 3
    assert pace.left(trainer, 0) == (100 - 10) * 2 * 1.0
    pace.on_validation_start()
    pace.on_validation_end()
    assert pace.left(trainer, 2) == 180 + 20  # of epochs 2, 3 and 4, the one after 3
    pace.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, BATCHES[0], 0)
    assert pace.left(trainer, 0) == 180 + 40  # the validation was no batch


# A terminal.


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_fits_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = io.StringIO()
    pace = Pace()
    bar = Bar("baseline_resunetk", pace, Console(file=screen, force_terminal=True, width=width))
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)

    class Look(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            bar._progress.refresh()

        def on_validation_batch_end(self, *_: Any) -> None:
            bar._progress.refresh()

    fit(tmp_path, [pace, bar, Look()], bar=True)
    lines = [Text.from_ansi(line).plain.rstrip() for line in re.split(r"[\r\n]+", screen.getvalue())]
    assert max(map(len, lines)) <= width
    last = next(line for line in reversed(lines) if "epoch 4/4" in line and "3/3" in line)
    assert last.startswith("baseline_resunetk, epoch 4/4")
    assert re.search(r"3/3 loss \d\.\d\d  [\d.e+]+ mix/s  \d+ s left$", last)
    assert any(re.match(r"baseline_resunetk, validation .*1/2", line) for line in lines)


@pytest.mark.filterwarnings("ignore")
def test_log_lines_go_above_the_bar_and_handlers_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    handler = logging.StreamHandler(sys.__stdout__)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    bar = Bar("tagger", Pace(), Console(file=screen, force_terminal=True, width=80))

    class Broken(Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            logging.getLogger().warning("a line")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fit(tmp_path, [bar, Broken()], bar=True)
    assert "a line" in screen.getvalue()
    assert handler.stream is sys.__stdout__
    assert bar._progress.live.is_started is False


def test_a_terminal_has_a_bar_and_a_log_has_none() -> None:
    kinds = [[type(callback) for callback in progress_callbacks("tagger", terminal)] for terminal in (True, False)]
    assert Bar in kinds[0]
    assert Bar not in kinds[1]
    assert EpochLog in kinds[0]
    assert EpochLog in kinds[1]
