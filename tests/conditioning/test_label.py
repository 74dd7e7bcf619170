from __future__ import annotations

import torch
from minis import CLASSES, noise, shaken

from sedsep.conditioning import FilmBank, LabelFilm
from sedsep.modules.film import Site

SITES = [Site(4, 0), Site(6, 1), Site(3, 2)]


@torch.no_grad()
def test_a_bank_is_one_linear_layer_a_site() -> None:
    bank, embedded = shaken(FilmBank(8, SITES)), noise(2, 5, 8)
    first = 0
    for site, beta in zip(SITES, bank(embedded), strict=True):
        rows = slice(first, first + site.channels)
        expected = embedded @ bank.linear.weight[rows].T + bank.linear.bias[rows]
        torch.testing.assert_close(beta, expected)
        first += site.channels


@torch.no_grad()
def test_a_query_biases_every_channel_of_every_site_by_its_class() -> None:
    film, query = shaken(LabelFilm(CLASSES, 8, SITES)), torch.eye(CLASSES)[[2, 0, 2]]
    for site, bias in zip(SITES, film(query), strict=True):
        assert bias.shape == (3, site.channels, 1, 1)
        assert torch.equal(bias[0], bias[2])
        assert (bias[0] != bias[1]).all()
