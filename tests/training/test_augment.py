from __future__ import annotations

import math

import pytest
import torch
from minis import noise, refused
from torch import Tensor

from sedsep.training import FilterAugment, FrequencyWarp, Mixup, SpecAugment


def test_what_is_switched_off_changes_and_draws_nothing() -> None:
    x = noise(4, 8, 20)
    state = torch.get_rng_state()
    assert Mixup().draw(4)(x) is x
    assert FrequencyWarp()(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_all_tensors_of_a_scene_are_mixed_alike() -> None:
    count = 16
    mix = Mixup(probability=1.0).draw(count)
    shares = mix(torch.eye(count))  # row b: how much of every scene there is in scene b
    assert torch.allclose(shares.sum(1), torch.ones(count))
    assert ((shares > 0).sum(1) <= 2).all()
    for x in (noise(count, 4, 50), noise(count, 5), noise(count, 5, 7, seed=1)):
        expected = torch.einsum("bi,i...->b...", shares, x)
        assert torch.allclose(mix(x), expected, atol=1e-6)


def test_a_scene_keeps_the_larger_of_weights_drawn_from_beta() -> None:
    count = 20_000
    pairs = torch.stack([torch.ones(count), torch.zeros(count)], dim=1)
    mix = Mixup(probability=0.25, alpha=0.2).draw(count)
    lonely = torch.zeros(count, 1)
    lonely[: count // 2] = 1.0
    mixed = mix(lonely)[:, 0]
    # A scene with a partner from the other half shows its own weight.
    weights = torch.where(lonely[:, 0] > 0, mixed, 1 - mixed)
    assert (weights >= 0.5).all()
    changed = weights < 1 - 1e-6
    drawn = torch.distributions.Beta(0.2, 0.2).sample((count,))
    larger = torch.maximum(drawn, 1 - drawn)
    # A quarter is mixed, half of these with the other half; weights next to 1 do not show.
    assert changed.float().mean().item() == pytest.approx(0.125 * (larger < 1 - 1e-6).float().mean().item(), abs=0.012)
    assert weights[changed].mean().item() == pytest.approx(larger[larger < 1 - 1e-6].mean().item(), abs=0.02)
    assert torch.equal(mix(pairs), pairs)  # alike scenes stay what they are


def ramp(count: int, bands: int, frames: int) -> Tensor:
    """Rises by 1 a band and by 100 a frame."""
    return (torch.arange(bands)[:, None] + 100.0 * torch.arange(frames)).expand(count, -1, -1)


def test_a_warp_stretches_some_of_the_bands_over_all_and_leaves_time_alone() -> None:
    mel = ramp(500, 21, 6)
    warped = FrequencyWarp(probability=1.0, smallest=0.6)(mel)
    bands = warped - 100.0 * torch.arange(6)
    assert torch.allclose(bands, bands[..., :1].expand(-1, -1, 6), atol=1e-3)  # alike in every frame
    steps = bands[:, 1:, 0] - bands[:, :-1, 0]
    width = steps.mean(1)
    assert torch.allclose(steps, width[:, None].expand_as(steps), atol=1e-3)  # a ramp stays a ramp
    assert (width.min() - 0.6).abs() < 0.02
    assert (width.max() - 1.0).abs() < 0.02
    assert bands.min() >= 0
    assert bands.max() <= 20
    assert bands[:, 0, 0].max() > 6  # wherever it fits


def test_a_warp_comes_with_its_probability_and_can_take_all_bands() -> None:
    mel = noise(4000, 8, 2)
    untouched = torch.isclose(FrequencyWarp(probability=0.3)(mel), mel, atol=1e-5).flatten(1).all(1)
    assert untouched.float().mean().item() == pytest.approx(0.7, abs=0.03)
    assert torch.allclose(FrequencyWarp(probability=1.0, smallest=1.0)(mel), mel, atol=1e-5)


def test_masks_cover_whole_bands_and_whole_stretches_of_each_scene_at_the_mean() -> None:
    ones = torch.ones(300, 40, 100)
    bands = SpecAugment(band_masks=1, widest=0.25, time_masks=0)(ones)
    assert torch.equal(bands, bands[..., :1].expand_as(bands))
    widths = (bands[..., 0] == 0).sum(1)
    assert (widths.min(), widths.max()) == (0, 10)
    assert widths.float().mean() == pytest.approx(5.0, abs=0.6)
    time = SpecAugment(band_masks=0, time_masks=1, longest=0.1)(ones)
    assert torch.equal(time, time[:, :1].expand_as(time))
    assert (time[:, 0] == 0).sum(1).max() == 10
    both = SpecAugment()(ones)
    assert len(both.flatten(1).unique(dim=0)) > 250  # each scene's its own
    assert torch.equal(ones, torch.ones_like(ones))  # in place of the spectrogram, not in its place
    x = noise(3, 8, 20)
    assert torch.equal(SpecAugment(0, 0.5, 0, 0.5)(x), x)


def test_a_filter_is_added_in_decibels_alike_in_every_frame_and_bends_at_few_bands() -> None:
    mel = noise(50, 64, 6)
    torch.manual_seed(0)
    filtered = [FilterAugment(gain_db=6.0, bands=(3, 6), narrowest=6, std=2.5)(mel) - mel for _ in range(40)]
    for change in filtered:
        assert torch.allclose(change, change[..., :1].expand_as(change), atol=1e-5)
        steps = (change[:, 1:, 0] - change[:, :-1, 0]).double()
        bends = ((steps[:, 1:] - steps[:, :-1]).abs() > 1e-5).any(0)  # of all scenes at the same bands
        assert 1 <= bends.sum() <= 5
        at = bends.nonzero()[:, 0] + 1
        assert (at.diff() >= 6).all()
        assert at.min() >= 6
    largest = torch.stack(filtered).abs().max().item()
    assert largest == pytest.approx(6.0 * math.log(10) / 10 / 2.5, rel=0.05)  # of power, natural logarithm
    assert torch.stack(filtered).mean().abs() < 0.05


def test_a_filter_of_one_band_is_a_tilt() -> None:
    change = FilterAugment(gain_db=6.0, bands=(1, 1), narrowest=6, std=1.0)(torch.zeros(4, 16, 2))[..., 0]
    assert torch.allclose(change.diff(dim=1), change.diff(dim=1)[:, :1].expand(-1, 15), atol=1e-5)


def test_values_out_of_range_are_refused() -> None:
    with refused("specaugment.widest=2"):
        SpecAugment(widest=2)
    with refused("filteraugment has gain_db=-1"):
        FilterAugment(gain_db=-1, bands=(3, 6), narrowest=6, std=1.0)
    with refused("do not fit into 8"):
        FilterAugment(gain_db=6, bands=(3, 6), narrowest=6, std=1.0)(noise(1, 8, 4))
    with refused("mixup.probability=2 is no probability"):
        Mixup(probability=2)
    with refused("mixup.alpha=0"):
        Mixup(alpha=0)
    with refused("frequency_warp.probability=-1"):
        FrequencyWarp(probability=-1)
    with refused("frequency_warp.smallest=0"):
        FrequencyWarp(smallest=0)
