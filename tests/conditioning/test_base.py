"""A condition of one's own is one class, and one config that names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from minis import HOST, make_separator, noise, refused, shaken
from omegaconf import OmegaConf
from torch import Tensor, nn

import sedsep.tasks  # noqa: F401 - registers the resolvers
from sedsep.composition.common import complete
from sedsep.conditioning import Condition, Host, Maps, NoCondition
from sedsep.losses import negative_snr
from sedsep.models import GuidedSeparator
from sedsep.modules.film import FilmTerm
from sedsep.types import SedOutput

TOY = "+conditioning.conditions.toy"


class Loudness(Condition):
    """Biases every site by how probable the SED model finds the queried class."""

    reads = frozenset({"frames"})

    def __init__(self, host: Host, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.weights = nn.ParameterList(torch.zeros(site.channels) for site in host.sites)

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> Tensor:
        assert sed is not None
        return self.gain * (query * sed.clip_probabilities).sum(1)

    def forward(self, x: Sequence[FilmTerm], prepared: Tensor) -> list[FilmTerm]:
        biases = (torch.outer(prepared, weight)[:, :, None, None] for weight in self.weights)
        return [term.biased(bias) for term, bias in zip(x, biases, strict=True)]


class Echo(Condition):
    """Adds to the innermost map what the query makes of it."""

    site = "bottleneck"

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.gains = nn.Linear(host.query, host.channels)

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> Tensor:
        return self.gains(query)[:, :, None, None].expand(-1, -1, *maps.bottleneck)

    def forward(self, x: Tensor, prepared: Tensor) -> Tensor:
        return x + prepared


def build(*overrides: str) -> GuidedSeparator:
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        config = compose("config", ["scale.separator.widths=[4,8]", "scale.separator.condition_width=8", *overrides])
        complete(config)
    return instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")


@pytest.mark.parametrize("toy", [Loudness, Echo])
@pytest.mark.parametrize("beside", ["soundbeam", "none"])
def test_a_new_condition_is_a_class_and_a_config(toy: type, beside: str) -> None:
    target = (f"{TOY}._target_={__name__}.{toy.__name__}", f"{TOY}._partial_=true")
    sed = ("+sed@conditioning.sed=m2d", "conditioning.sed_trainable=true") if beside == "none" else ()
    network = build(f"conditioning={beside}", *target, *sed).train()
    mixture, query = 0.1 * noise(2, network.microphones, 8000), torch.eye(network.classes)[[1, 2]][:, None]
    negative_snr(network(mixture, query).estimates, noise(2, 1, 8000)).backward()
    assert isinstance(network.separator.conditions["toy"], toy)
    assert all(p.grad is not None and p.grad.any() for p in network.separator.conditions["toy"].parameters())


@torch.no_grad()
def test_the_explicit_none_says_nothing() -> None:
    none = {"time_film": NoCondition, "injection": NoCondition, "conditions": {"toy": NoCondition, "other": None}}
    plain, hushed = (shaken(make_separator(**changes)) for changes in ({}, none))
    hushed.load_state_dict(plain.state_dict())
    assert list(hushed.conditions) == ["label_film", "time_film", "injection", "toy"]
    mixture, query = noise(1, plain.microphones, 2000), torch.eye(plain.classes)[None, :2]
    assert torch.equal(hushed(mixture, query).estimates, plain(mixture, query).estimates)


@pytest.mark.parametrize("condition", [NoCondition])
def test_a_name_of_the_separators_own_is_refused(condition: Any) -> None:
    with refused("A separator has a part of its own called unet"):
        make_separator(conditions={"unet": condition})
    assert condition(HOST)([FilmTerm()], None) == [FilmTerm()]
