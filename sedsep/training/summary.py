"""What a network consists of, and what learns at which rate: a table at the start of a training."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import nn

from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.models.separator import Separator

log = logging.getLogger(__name__)

WIDTH = 79
"""Characters that a printed summary may take."""

Groups = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """A part of a network: how many parameters it has, and how many of them an optimiser group holds."""

    name: str
    parameters: int
    learning: int


@dataclass(frozen=True)
class Rate:
    """Optimiser groups told as one: those of a stack's blocks, or a single one.

    Attributes:
        lowest, highest: learning rates, before any schedule.
    """

    name: str
    parameters: int
    lowest: float
    highest: float


class Summary(Callback):
    """Logs the summary when a training starts.

    Args:
        name: of what is trained.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            groups = pl_module.groups()  # type: ignore[operator]
            log.info("%s:\n%s", self.name, render(parts(pl_module.network, groups), rates(groups)))  # type: ignore[arg-type]


def parts(network: nn.Module, groups: Groups) -> list[Part]:
    """The parts of a separator or SED model by the role that they play; those it does not have are left out."""
    learning = {id(p) for group in groups for p in group["params"]}
    counted = []
    for name, modules in _roles(network).items():
        parameters = [p for module in modules if module is not None for p in module.parameters()]
        if parameters:
            learnt = sum(p.numel() for p in parameters if id(p) in learning)
            counted.append(Part(name, sum(p.numel() for p in parameters), learnt))
    return counted


def _roles(network: nn.Module) -> dict[str, list[nn.Module | None]]:
    if isinstance(network, SedModel):
        return _sed_roles(network)
    assert isinstance(network, GuidedSeparator)
    sed = {} if network.sed is None else _sed_roles(network.sed)
    return {**_separator_roles(network.separator), **{f"Stage 2 SED {name}": part for name, part in sed.items()}}


def _separator_roles(separator: Separator) -> dict[str, list[nn.Module | None]]:
    return {
        "U-Net": [separator.unet],
        "pre, after, out convolution": [separator.pre_conv, separator.after_conv, separator.out_conv],
        "input norm": [separator.bn0, separator.bn0_feedback],
        "label FiLM": [separator.label_film],
        "Time-FiLM": [separator.time_film],
        "injection": [separator.injection],
        "DPRNN": [separator.dprnn],
    }


def _sed_roles(sed: SedModel) -> dict[str, list[nn.Module | None]]:
    heads: list[nn.Module | None] = [sed.head_norm, sed.strong_head, sed.weak_head]
    return {"backbone": [sed.backbone], "recurrence": [sed.sequence], "heads": heads}


def rates(groups: Groups) -> list[Rate]:
    """The groups in their order; those of numbered blocks that follow one another become one."""
    return [_told_as_one(name, list(alike)) for name, alike in groupby(_by_stack(groups), key=_stack)]


def _by_stack(groups: Groups) -> Iterable[Mapping[str, Any]]:
    """The groups, those of a stack together: with weight decay the two kinds of each block take turns."""
    order = {name: place for place, name in reversed([*enumerate(map(_stack, groups))])}
    return sorted(groups, key=lambda group: order[_stack(group)])


def _stack(group: Mapping[str, Any]) -> str:
    return re.sub(r"block\d+", "block", group["name"])


def _told_as_one(name: str, groups: Groups) -> Rate:
    if len(groups) > 1:
        first, last = (re.search(r"block(\d+)", group["name"]) for group in (groups[0], groups[-1]))
        assert first and last
        name = name.replace("block", f"blocks {first[1]} to {last[1]}")
    else:
        name = groups[0]["name"]
    values = [group["lr"] for group in groups]
    return Rate(name, sum(p.numel() for group in groups for p in group["params"]), min(values), max(values))


def render(by_part: Sequence[Part], by_rate: Sequence[Rate]) -> str:
    """Both as tables, in plain text."""
    whole, learning = sum(part.parameters for part in by_part), sum(part.learning for part in by_part)
    upper = _table("part", "parameters", "learning")
    for part in by_part:
        upper.add_row(part.name, f"{part.parameters:,}", f"{part.learning:,}" if part.learning else "no")
    upper.add_section()
    upper.add_row("all", f"{whole:,}", f"{learning:,}")
    lower = _table("optimiser group", "parameters", "learning rate")
    for rate in by_rate:
        values = dict.fromkeys(f"{value:.3g}" for value in (rate.lowest, rate.highest))
        lower.add_row(rate.name, f"{rate.parameters:,}", " to ".join(values))
    console = Console(file=StringIO(), width=WIDTH)
    console.print(upper, lower)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines() if line.strip())


def _table(name: str, *numbers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column(name)
    for number in numbers:
        table.add_column(number, justify="right")
    return table
