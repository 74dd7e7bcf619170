from __future__ import annotations

from typing import Any

import pytest
import torch
from minis import noise, refused, shaken
from torch import Tensor

from sedsep.conditioning import FilmBank, TimeFilm
from sedsep.modules.film import FilmTerm, Site

SITES = [Site(4, 0), Site(6, 1), Site(3, 2)]
FRAMES = 16


def terms(time_film: TimeFilm, logits_rs: Tensor) -> tuple[list[FilmTerm], list[Tensor], FilmBank]:
    """The terms, and the label's biases and layers that they were made with."""
    bias = [noise(len(logits_rs), site.channels, 1, 1, seed=5) for site in SITES]
    torch.manual_seed(0)
    bank = shaken(FilmBank(8, SITES))
    return time_film(logits_rs, bias, bank, FRAMES), bias, bank


@torch.no_grad()
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_site_gets_its_curve_at_its_own_frame_count(mode: Any, shared: bool) -> None:
    time_film, logits = shaken(TimeFilm(8, SITES, mode, shared)), noise(2, 10) * 3
    made, bias, bank = terms(time_film, logits)
    layers = bank if shared else time_film.film
    betas = layers(time_film.embedding(logits[..., None]))
    for site, term, label, beta_rsc in zip(SITES, made, bias, betas, strict=True):
        # The specification's bilinear resize of an S x 1 map.
        size = (FRAMES >> site.level, 1)
        map_rcs1 = beta_rsc.transpose(1, 2)[..., None]
        time = torch.nn.functional.interpolate(map_rcs1, size, mode="bilinear", align_corners=False)
        if mode == "additive":
            torch.testing.assert_close(term.bias, label + time)
            assert term.gate is None
        else:
            torch.testing.assert_close(term.gate, time.sigmoid())
            assert torch.equal(term.bias, label)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 7, 100])
def test_a_constant_curve_says_the_same_of_every_frame_however_many_it_has(frames: int) -> None:
    time_film = shaken(TimeFilm(8, SITES))
    made, *_ = terms(time_film, torch.full((2, frames), 1.5))
    expected, *_ = terms(time_film, torch.full((2, 1), 1.5))
    for term, one in zip(made, expected, strict=True):
        torch.testing.assert_close(term.bias, one.bias)
        torch.testing.assert_close(term.bias, term.bias[:, :, :1].expand_as(term.bias))


@torch.no_grad()
def test_binarised_logits_are_active_above_zero() -> None:
    time_film = shaken(TimeFilm(8, SITES, binarised=True))
    plain = TimeFilm(8, SITES)
    plain.load_state_dict(time_film.state_dict())
    made, *_ = terms(time_film, torch.tensor([[-30.0, -0.1, 0.0, 0.1, 30.0]]))
    expected, *_ = terms(plain, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0]]))
    for term, one in zip(made, expected, strict=True):
        torch.testing.assert_close(term.bias, one.bias)


def test_an_unknown_mode_is_refused() -> None:
    with refused("time_film.mode=sum is not known: choose one of additive"):
        TimeFilm(8, SITES, mode="sum")  # type: ignore[arg-type]
