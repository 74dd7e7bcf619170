from __future__ import annotations

from typing import Any

import pytest
import torch
from minis import CLASSES, HOST, noise, refused, shaken
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.conditioning import Maps, Soundbeam
from sedsep.conditioning.soundbeam import standardise
from sedsep.types import SedOutput


def heard(grid: tuple[int, int] = (2, 5), layers: int = 3, seed: int = 0) -> SedOutput:
    tokens = [noise(2, grid[0] * grid[1], 16, seed=seed + index) for index in range(layers)]
    return SedOutput(torch.zeros(2, 5), layers=tokens, grid=grid)


def prepared_for(injection: Soundbeam, sed: SedOutput, size: tuple[int, int] = (6, 4)) -> Tensor:
    return injection.prepare(torch.zeros(2, 1, CLASSES), sed, Maps(0, size, nn.Identity()))  # type: ignore[arg-type]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("merge", ["add", "concat"])
@pytest.mark.parametrize("grid", [(2, 5), (3, 2), (4, 31)])
@pytest.mark.parametrize("size", [(6, 4), (1, 1), (3, 16)])
def test_layers_are_mixed_laid_out_and_resized(merge: Any, grid: tuple[int, int], size: tuple[int, int]) -> None:
    injection, sed = shaken(Soundbeam(HOST, merge)), heard(grid)
    weights = injection.layer_weights.exp() / injection.layer_weights.exp().sum()
    mixed = torch.einsum("i,ibpd->bpd", weights, torch.stack(sed.layers))
    map_bdtf = torch.stack([column.transpose(1, 2) for column in mixed.unflatten(1, grid).unbind(2)], dim=2)
    y = F.leaky_relu(injection.norm(map_bdtf), 0.01)
    y = injection.project(F.interpolate(y, size, mode="bilinear", align_corners=False))
    prepared = prepared_for(injection, sed, size)
    assert prepared.shape == (2, 8, *size)
    close(prepared, standardise(y) if merge == "add" else y)


@torch.no_grad()
def test_add_weighs_two_standardised_maps() -> None:
    injection = shaken(Soundbeam(HOST))
    x = noise(2, 8, 6, 4) * 3 + 1
    prepared = prepared_for(injection, heard())
    for one in (standardise(x), prepared):
        close(one.mean((2, 3)), torch.zeros(2, 8))
        torch.testing.assert_close(one.std((2, 3)), torch.ones(2, 8), atol=1e-4, rtol=0)
    close(injection(x, prepared), injection.weight_x * standardise(x) + injection.weight_sed * prepared)


@torch.no_grad()
def test_concat_projects_both_maps_side_by_side() -> None:
    injection, x = shaken(Soundbeam(HOST, "concat")), noise(2, 8, 6, 4)
    prepared = prepared_for(injection, heard())
    both = F.leaky_relu(injection.concat_norm(torch.cat([x, prepared], dim=1)), 0.01)
    close(injection(x, prepared), injection.concat_project(both))


def test_before_training_every_layer_counts_the_same() -> None:
    one, other = Soundbeam(HOST).eval(), heard()
    other.layers = [torch.stack(other.layers).mean(0)] * 3
    close(prepared_for(one, heard()), prepared_for(one, other))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 4)])
def test_a_map_without_contrast_standardises_to_zero_with_a_finite_gradient(size: tuple[int, int]) -> None:
    x = torch.full((2, 3, *size), 7.0, requires_grad=True)
    y = standardise(x)
    assert not y.any()
    y.square().sum().backward()
    assert x.grad.isfinite().all()


def test_an_unknown_merge_is_refused() -> None:
    with refused(r"injection\.merge=blend is not known: choose one of add"):
        Soundbeam(HOST, merge="blend")  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [0, 2])
def test_other_layer_features_than_it_was_made_for_are_refused(layers: int) -> None:
    with refused(f"mixes 3 layer features, the SED model gave {layers}"):
        prepared_for(Soundbeam(HOST), heard(layers=layers))
