"""Attention and convolution along time and bands (test_variants.py: what holds of all networks)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from minis import ATTENTION, BODY, make_separator, noise, refused, shaken
from torch import Tensor

from sedsep.models import TfAttention
from sedsep.modules.axial import AxialBlock, rotated
from sedsep.modules.film import FilmTerm

X = noise(2, 4, 6, 32)


def make_body(**changes: Any) -> TfAttention:
    torch.manual_seed(0)
    return shaken(TfAttention([4, 8], **(BODY | changes)))


def run(body: TfAttention, x: Tensor) -> Tensor:
    return body(x, [FilmTerm()] * len(body.sites), [])


def changed(before: Tensor, after: Tensor) -> list[tuple[int, ...]]:
    """Places of [R, C, T, G] where anything but rounding differs in T and in G."""
    return [tuple(place) for place in ((before - after).abs().amax((0, 1)) > 1e-6).nonzero().tolist()]


@torch.no_grad()
@pytest.mark.parametrize("axis", ["time", "bands"])
def test_a_block_hears_all_of_its_axis_and_nothing_beside_it(axis: str) -> None:
    block, x = shaken(AxialBlock(8, 2, 6, 3, axis)), noise(2, 8, 5, 7)
    other = x.clone()
    other[:, 0, 2, 3] += 1
    told = [FilmTerm()] * AxialBlock.sites
    line = [(t, 3) for t in range(5)] if axis == "time" else [(2, g) for g in range(7)]
    assert changed(block(x, told), block(other, told)) == line


def test_positions_count_by_their_distance_alone() -> None:
    query, key = noise(1, 6).expand(9, -1), noise(1, 6, seed=1).expand(9, -1)
    products = rotated(query) @ rotated(key).T
    for distance in range(-8, 9):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert products[0].std() > 0.01


@torch.no_grad()
def test_bands_have_their_own_bins_and_steps_their_own_frames() -> None:
    body, other = make_body(), X.clone()
    other[:, :, 3, 21] += 1  # the second frame of the second step; the first of the bands of 8 bins after 4 of 4
    assert changed(body._split(X), body._split(other)) == [(1, 4)]
    inner = noise(2, 8, 3, 6)
    louder = inner.clone()
    louder[:, :, 1, 4] += 1
    reached = changed(body._merge(inner), body._merge(louder))
    assert reached == [(t, f) for t in (2, 3) for f in range(16, 24)]


def test_checkpoints_cost_no_accuracy() -> None:
    found = []
    for again in (False, True):
        body = make_body().train()
        body.checkpoint = again
        x = X.clone().requires_grad_()
        run(body, x).square().sum().backward()
        found.append([x.grad, *(p.grad for p in body.parameters())])
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bands": [[4, 4]]}, "n_fft=64 gives 32 bins, bands have 16"),
        ({"time_stride": 3}, "time_stride=3 is no power of two"),
        ({"heads": 3}, "8 inner channels do not make 3 heads of even width"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], match: str) -> None:
    with refused(match):
        make_separator(**ATTENTION | {"body": partial(TfAttention, **(BODY | changes))})
    with refused("has to be two"):
        make_separator(body=partial(TfAttention, **BODY))
