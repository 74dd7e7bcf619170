from __future__ import annotations

import pytest
import torch
from minis import HOST, noise, shaken
from torch.nn import functional as F

from sedsep.modules.film import BinNorm, FilmBank, FilmNorm, FilmTerm


@torch.no_grad()
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("frames", [1, 5])  # a bias for the whole map, or one a frame
def test_a_norm_folded_for_evaluation_is_norm_bias_gate_and_activation(frames: int, gated: bool) -> None:
    norm = shaken(FilmNorm(6))
    x, gate = noise(2, 6, 5, 4), noise(2, 6, frames, 1).sigmoid() if gated else None
    film = FilmTerm(noise(2, 6, frames, 1, seed=1), gate)
    untouched = x.clone()
    y = norm.bn(x) + film.bias
    expected = F.leaky_relu(y if gate is None else y * gate, 0.01)
    torch.testing.assert_close(norm(x, film), expected, atol=1e-5, rtol=0)
    assert torch.equal(x, untouched)


@torch.no_grad()
def test_a_bank_is_one_linear_layer_a_site() -> None:
    bank, embedded = shaken(FilmBank(8, HOST.sites)), noise(2, 5, 8)
    first = 0
    for site, beta in zip(HOST.sites, bank(embedded), strict=True):
        rows = slice(first, first + site.channels)
        torch.testing.assert_close(beta, embedded @ bank.linear.weight[rows].T + bank.linear.bias[rows])
        first += site.channels


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_bins_are_normalised_each_by_its_own_statistics(training: bool) -> None:
    norm, x = shaken(BinNorm(9)).train(training), noise(2, 4, 5, 9) * torch.arange(1.0, 10.0)
    normal = norm(x)
    torch.testing.assert_close(normal, norm.bn(x.transpose(1, 3)).transpose(1, 3), atol=1e-4, rtol=0)
    if training:  # before scale and shift, every bin alike
        plain = (normal - norm.bn.bias) / norm.bn.weight
        torch.testing.assert_close(plain.mean((0, 1, 2)), torch.zeros(9), atol=1e-5, rtol=0)
        torch.testing.assert_close(plain.std((0, 1, 2), correction=0), torch.ones(9), atol=1e-3, rtol=0)
