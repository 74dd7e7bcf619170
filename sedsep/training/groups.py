"""Optimiser groups by the role a module plays, not by the names of its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel


@dataclass(frozen=True)
class SedRates:
    """Learning rates of a SED model.

    Attributes:
        heads: for everything after the backbone; 0 leaves it out.
        backbone: before decay; the last block gets backbone * decay, the one before backbone * decay^2, ...
        decay: factor a block.
        trained_blocks: how many of the last blocks learn; `None` for all.
    """

    heads: float
    backbone: float
    decay: float = 1.0
    trained_blocks: int | None = None


@dataclass(frozen=True)
class SeparatorRates:
    """Learning rates of a separator.

    Attributes:
        pretrained: of the U-Net and the label's FiLM layers.
        new: of everything else.
        dprnn: of the recurrence.
        sed: of the Stage 2 SED model, where it learns.
    """

    pretrained: float
    new: float
    dprnn: float
    sed: SedRates


def sed_groups(model: SedModel, rates: SedRates, weight_decay: float, name: str = "") -> list[dict[str, Any]]:
    """Heads and one group a block, deepest last."""
    stages = model.backbone.stages()
    groups = []
    for index, parameters in enumerate(stages):
        distance = len(stages) - index
        if rates.trained_blocks is None or distance <= rates.trained_blocks:
            rate = rates.backbone * rates.decay**distance
            groups += _split(f"{name}block{index}", parameters, rate, weight_decay)
    if rates.heads:
        inside = {id(p) for p in model.backbone.parameters()}
        heads = [p for p in model.parameters() if id(p) not in inside]
        groups += _split(f"{name}heads", heads, rates.heads, weight_decay)
    return groups


def separator_groups(model: GuidedSeparator, rates: SeparatorRates, weight_decay: float) -> list[dict[str, Any]]:
    """Pretrained parts, new parts, the recurrence and the Stage 2 SED model's blocks."""
    separator = model.separator
    pretrained = [*separator.unet.parameters(), *separator.label_film.film.parameters()]
    recurrent = [] if separator.dprnn is None else list(separator.dprnn.parameters())
    known = {id(p) for p in (*pretrained, *recurrent)}
    new = [p for p in separator.parameters() if id(p) not in known]
    groups = _split("pretrained", pretrained, rates.pretrained, weight_decay)
    groups += _split("new", new, rates.new, weight_decay)
    groups += _split("dprnn", recurrent, rates.dprnn, weight_decay)
    if model.sed is not None and model.sed_trainable:
        groups += sed_groups(model.sed, rates.sed, weight_decay, "sed/")
    return groups


def _split(name: str, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay acts on tensors of two or more dimensions only."""
    learning = [p for p in parameters if p.requires_grad]
    matrices = [p for p in learning if p.ndim >= 2]
    vectors = [p for p in learning if p.ndim < 2]
    if not weight_decay:
        matrices, vectors = learning, []
    groups = [
        {"name": name, "params": matrices, "lr": rate, "weight_decay": weight_decay},
        {"name": f"{name}/no_decay", "params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def summary(groups: Sequence[Mapping[str, Any]]) -> str:
    """What learns at which rate, in a line; groups without weight decay are not told apart from theirs."""
    rates = {group["name"].removesuffix("/no_decay"): group["lr"] for group in groups}
    return ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
