"""What training costs: the phases of optimiser steps, on scenes as workers render them and on one batch held ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from lightning import Callback, Trainer
from torch.utils.data import DataLoader

from sedsep.benchmarks.costs import CostTable, machine, peak_gb
from sedsep.errors import UserError
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.training.meters import PHASES, Phases
from sedsep.training.system import System
from sedsep.types import Batch


def training_costs(
    title: str,
    system: System,
    data: SceneDataModule,
    make_trainer: Callable[[Callback], Trainer],
    device: torch.device,
    warm_up: int,
) -> CostTable:
    """Train for an epoch on scenes that workers render meanwhile, and for one on a batch that is ready.

    Args:
        title: what is trained; the machine is added.
        system: the network in training.
        data: its scenes, as many in an epoch as make the steps to time and those before.
        make_trainer: makes a trainer for one epoch from a callback.
        device: that it trains on.
        warm_up: first optimiser steps that are not timed: compilers, and what workers have ready at the start.

    Raises:
        UserError: there were no more steps than these.
    """
    rows: list[list[str]] = []
    metrics: dict[str, float] = {}
    loader = data.train_dataloader()
    ready = system.transfer_batch_to_device(next(iter(loader)), device, 0)
    for name, prefix in (("rendered", ""), ("ready", "ready/")):
        phases = Phases()
        data.trainer = trainer = make_trainer(phases)  # scenes may be mixed on its device
        if name == "rendered":
            batches: Iterable[Batch] = data.train_dataloader()
        else:
            batches = DataLoader([ready] * len(loader), batch_size=None)  # type: ignore[arg-type]
        peak = peak_gb(partial(trainer.fit, system, batches), device)
        steady = phases.seconds()[warm_up * trainer.accumulate_grad_batches :]
        if not steady:
            raise UserError(
                f"No step was left to time after task.training.warm_up={warm_up}: lower it, or choose a trainer that "
                "does not stop early."
            )
        steps = len(steady) / trainer.accumulate_grad_batches
        parts = {f"{phase}_seconds": sum(batch[phase] for batch in steady) / steps for phase in PHASES}
        costs = {"step_seconds": sum(parts.values()), **parts}
        speed = trainer.accumulate_grad_batches * len(ready.names) / costs["step_seconds"]
        times = [f"{seconds:.3f}" for seconds in costs.values()]
        rows.append([name, *times, f"{speed:.3g}", "" if peak is None else f"{peak:.1f}"])
        costs |= {"mixtures_per_second": speed, **({} if peak is None else {"peak_gb": peak})}
        metrics |= {f"benchmark/training/{prefix}{key}": value for key, value in costs.items()}
    columns = ("scenes", "step, s", *PHASES, "mixtures/s", "GB")
    return CostTable(f"{title}, {machine(device)}", columns, rows, metrics)
