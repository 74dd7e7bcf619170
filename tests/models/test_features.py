"""What is heard beside magnitudes: where a sound is from, whatever its level."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from minis import make_separator, noise, refused
from torch import Tensor

from sedsep.models.features import intensity, phase

DIRECTION = torch.tensor([0.6, -0.48, 0.64])  # of length 1: y, z, x


def parts(spec: Tensor) -> tuple[Tensor, Tensor]:
    return spec.real, spec.imag


def complex_noise(*shape: int) -> Tensor:
    return torch.complex(noise(*shape), noise(*shape, seed=1))


@pytest.mark.parametrize("level", [1e-4, 1.0, 1e4])
def test_intensity_of_a_plane_wave_points_to_where_it_is_from(level: float) -> None:
    gains = torch.cat([torch.ones(1), DIRECTION])[None, :, None, None]
    found = intensity(*parts(level * gains * (1 + complex_noise(1, 1, 5, 6).abs()) * complex_noise(1, 1, 5, 6).sgn()))
    torch.testing.assert_close(found, DIRECTION[None, :, None, None].expand_as(found), atol=1e-4, rtol=0)


def test_phases_are_those_against_the_first_microphone() -> None:
    first, turns = complex_noise(1, 1, 5, 6), torch.tensor([0.3, -2.0, 3.1])[None, :, None, None]
    others = 2.0 * first * torch.polar(torch.ones_like(turns), turns)
    found = phase(*parts(torch.cat([first, others], dim=1)))
    expected = torch.cat([turns.cos(), turns.sin()], dim=1).expand_as(found)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_features_are_bounded_and_silence_has_none() -> None:
    spec = complex_noise(2, 4, 50, 60) * torch.logspace(-6, 3, 60)
    for feature, channels in ((intensity, 3), (phase, 6)):
        assert feature(*parts(spec)).abs().max() <= 1 + 1e-5
        silent = feature(*parts(torch.zeros(1, 4, 2, 3, dtype=torch.complex64)))
        assert silent.shape == (1, channels, 2, 3)
        assert not silent.any()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"features": ["magnitude", "loudness"]}, r"model\.features=loudness is not known: choose one of magnitude"),
        ({"features": ["phase"]}, "has to name magnitude"),
        ({"features": ["magnitude", "phase", "phase"]}, "nothing twice"),
        ({"features": ["magnitude", "phase"], "microphones": 1}, "One microphone tells no phase"),
    ],
)
def test_features_that_cannot_be_heard_are_refused(changes: dict[str, Any], match: str) -> None:
    with refused(match):
        make_separator(**changes)
