from __future__ import annotations

from typing import Any

import pytest
import torch
from minis import CLASSES, HOST, noise, refused, shaken, told
from torch import Tensor

from sedsep.conditioning import Maps, TimeFilm
from sedsep.modules.film import FilmBank, FilmTerm
from sedsep.types import SedOutput

FRAMES = 16
LABEL = FilmTerm(noise(2, 1, 1, 1, seed=5))
MAPS = Maps(FRAMES, (4, 2), shaken(FilmBank(HOST.width, HOST.sites)))


def terms(time_film: TimeFilm, logits_rs: Tensor) -> list[FilmTerm]:
    """The terms that it makes of `LABEL`, where the queried class has these logits and the others none."""
    query = torch.eye(CLASSES)[[1] * len(logits_rs)]
    logits_rns = torch.full((len(logits_rs), CLASSES, logits_rs.shape[1]), 100.0) * (1 - query[..., None])
    sed = SedOutput(torch.zeros(len(logits_rs), CLASSES), logits_rns + query[..., None] * logits_rs[:, None])
    return told(time_film, query, sed, MAPS, LABEL)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_site_gets_its_curve_at_its_own_frame_count(mode: Any, shared: bool) -> None:
    time_film, logits = shaken(TimeFilm(HOST, mode, shared)), noise(2, 10) * 3
    made = terms(time_film, logits)
    layers = MAPS.film if shared else time_film.film
    betas = layers(time_film.embedding(logits[..., None]))
    for site, term, beta_rsc in zip(HOST.sites, made, betas, strict=True):
        # The specification's bilinear resize of an S x 1 map.
        size = (FRAMES >> site.level, 1)
        map_rcs1 = beta_rsc.transpose(1, 2)[..., None]
        time = torch.nn.functional.interpolate(map_rcs1, size, mode="bilinear", align_corners=False)
        if mode == "additive":
            torch.testing.assert_close(term.bias, LABEL.bias + time)
            assert term.gate is None
        else:
            torch.testing.assert_close(term.gate, time.sigmoid())
            assert torch.equal(term.bias, LABEL.bias)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 7, 100])
def test_a_constant_curve_says_the_same_of_every_frame_however_many_it_has(frames: int) -> None:
    time_film = shaken(TimeFilm(HOST))
    made = terms(time_film, torch.full((2, frames), 1.5))
    expected = terms(time_film, torch.full((2, 1), 1.5))
    for term, one in zip(made, expected, strict=True):
        torch.testing.assert_close(term.bias, one.bias)
        torch.testing.assert_close(term.bias, term.bias[:, :, :1].expand_as(term.bias))


@torch.no_grad()
def test_binarised_logits_are_active_above_zero() -> None:
    time_film = shaken(TimeFilm(HOST, binarised=True))
    plain = TimeFilm(HOST)
    plain.load_state_dict(time_film.state_dict())
    made = terms(time_film, torch.tensor([[-30.0, -0.1, 0.0, 0.1, 30.0]]))
    expected = terms(plain, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0]]))
    for term, one in zip(made, expected, strict=True):
        torch.testing.assert_close(term.bias, one.bias)


def test_an_unknown_mode_is_refused() -> None:
    with refused("time_film.mode=sum is not known: choose one of additive"):
        TimeFilm(HOST, mode="sum")  # type: ignore[arg-type]
