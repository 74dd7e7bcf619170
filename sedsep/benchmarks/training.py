"""What training costs: the phases of optimiser steps and their memory, on scenes as workers render them, on one batch
held ready, and on that batch with the same layers as plain modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader

from sedsep.benchmarks.costs import CostTable, machine, peak_gb
from sedsep.errors import UserError
from sedsep.models.resunet import UNet
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.training.meters import PHASES, Phases
from sedsep.training.system import System
from sedsep.types import Batch


def training_costs(
    title: str,
    system: System,
    data: SceneDataModule,
    make_trainer: Callable[[list[Callback]], Trainer],
    device: torch.device,
    warm_up: int,
) -> CostTable:
    """Train for an epoch on scenes that workers render meanwhile, for one on a batch that is ready, and for one on that
    batch by plain layers, where the network has others.

    Args:
        title: what is trained; the machine is added.
        system: the network in training.
        data: its scenes, as many in an epoch as make the steps to time and those before.
        make_trainer: makes a trainer for one epoch from callbacks.
        device: that it trains on.
        warm_up: first optimiser steps that are not timed: compilers, and what workers have ready at the start.

    Raises:
        UserError: there were no more steps than these.
    """
    rows: list[list[str]] = []
    metrics: dict[str, float] = {}
    loader = data.train_dataloader()
    ready = system.transfer_batch_to_device(next(iter(loader)), device, 0)
    ways = [("rendered", ""), ("ready", "ready/")]
    if any(isinstance(module, UNet) for module in system.modules()):
        ways.append(("ready, plain layers", "plain/"))
    for name, prefix in ways:
        phases, kept = Phases(), Kept(plain=prefix == "plain/")
        data.trainer = trainer = make_trainer([phases, kept])  # scenes may be mixed on its device
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
        rows.append([name, *times, f"{speed:.3g}", f"{kept.gb:.3g}", "" if peak is None else f"{peak:.1f}"])
        costs |= {"mixtures_per_second": speed, "kept_gb": kept.gb, **({} if peak is None else {"peak_gb": peak})}
        metrics |= {f"benchmark/training/{prefix}{key}": value for key, value in costs.items()}
    columns = ("scenes", "step, s", *PHASES, "mixtures/s", "kept, GB", "peak, GB")
    return CostTable(f"{title}, {machine(device)}", columns, rows, metrics)


class Kept(Callback):
    """Gigabytes that the first batch keeps for its backward pass: what autograd saves, shared memory counted once,
    parameters left out.

    Args:
        plain: train the U-Net by its layers one by one, of which autograd keeps what it likes.
    """

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self._kept: dict[int, int] = {}
        self._hooks: saved_tensors_hooks | None = None

    @property
    def gb(self) -> float:
        return sum(self._kept.values()) / 1e9

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if batch_idx:
            return
        for module in pl_module.modules():
            if self.plain and isinstance(module, UNet):
                module.remade = None
        own = {parameter.untyped_storage().data_ptr() for parameter in pl_module.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            memory = tensor.untyped_storage()
            if memory.data_ptr() not in own:
                self._kept[memory.data_ptr()] = memory.nbytes()
            return tensor

        self._hooks = saved_tensors_hooks(pack, lambda tensor: tensor)
        self._hooks.__enter__()

    def on_before_backward(self, *_: object) -> None:
        if self._hooks is not None:
            self._hooks.__exit__()
            self._hooks = None
