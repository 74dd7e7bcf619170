from __future__ import annotations

import torch
from minis import CLASSES, HOST, shaken, told

from sedsep.conditioning import LabelFilm
from sedsep.modules.film import FilmTerm


@torch.no_grad()
def test_a_query_biases_every_channel_of_every_site_by_its_class() -> None:
    film, query = shaken(LabelFilm(HOST)), torch.eye(CLASSES)[[2, 0, 2]]
    terms = told(film, query)
    for site, term in zip(HOST.sites, terms, strict=True):
        assert term.gate is None
        assert term.bias.shape == (3, site.channels, 1, 1)
        assert torch.equal(term.bias[0], term.bias[2])
        assert (term.bias[0] != term.bias[1]).all()
    for term, more in zip(terms, told(film, query, before=FilmTerm(1.0)), strict=True):
        assert torch.equal(more.bias, 1.0 + term.bias)
