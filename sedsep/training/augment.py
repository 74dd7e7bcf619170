"""What a SED model may train on in place of a scene: two scenes mixed, a spectrogram stretched, masked or filtered.

All draws come from torch's own generator. With a probability of 0, the paper's, nothing is drawn.

Axes: B batch, Q mel bands, T mel frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import mask_along_axis_iid

from sedsep.errors import UserError


@dataclass(frozen=True)
class Mixup:
    """A scene plus a weaker one of its batch (Zhang et al. 2018).

    Attributes:
        probability: of a scene to be mixed.
        alpha: weights are drawn from Beta(alpha, alpha); the larger one is the scene's own.

    Raises:
        UserError: a probability or an alpha that is none.
    """

    probability: float = 0.0
    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_probability(self.probability, "mixup")
        if self.alpha <= 0:
            raise UserError(f"mixup.alpha={self.alpha} gives no weights: choose a number above 0.")

    def draw(self, count: int) -> Callable[[Tensor], Tensor]:
        """Draw the weights and partners of `count` scenes; the result mixes a tensor [B, ...] of theirs."""
        if not self.probability:
            return lambda x: x
        drawn = torch.distributions.Beta(self.alpha, self.alpha).sample((count,))
        weight = torch.where(torch.rand(count) < self.probability, torch.maximum(drawn, 1 - drawn), 1.0)
        partner = torch.randperm(count)

        def mix(x: Tensor) -> Tensor:
            own = weight.to(x).view(-1, *[1] * (x.ndim - 1))
            return own * x + (1 - own) * x[partner.to(x.device)]

        return mix


@dataclass(frozen=True)
class FrequencyWarp:
    """A random stretch of the mel bands, resized to all of them by linear interpolation.

    Attributes:
        probability: of a scene to be warped.
        smallest: share of the bands that the narrowest stretch has; the width is uniform from there to all.

    Raises:
        UserError: a probability or a share that is none.
    """

    probability: float = 0.0
    smallest: float = 0.6

    def __post_init__(self) -> None:
        _check_probability(self.probability, "frequency_warp")
        if not 0 < self.smallest <= 1:
            raise UserError(f"frequency_warp.smallest={self.smallest} is no share: choose one above 0 and up to 1.")

    def __call__(self, mel_bqt: Tensor) -> Tensor:
        """[B, Q, T] to the same shape."""
        if not self.probability:
            return mel_bqt
        count, bands, frames = mel_bqt.shape
        warped = torch.rand(count, 1) < self.probability
        width = torch.where(warped, 1 - (1 - self.smallest) * torch.rand(count, 1), 1.0)
        lowest = (1 - width) * torch.rand(count, 1)
        position_bq = (bands - 1) * (lowest + width * torch.linspace(0, 1, bands)).to(mel_bqt.device)
        below_bq = position_bq.long().clamp_max(bands - 2)

        def at(band_bq: Tensor) -> Tensor:
            return mel_bqt.gather(1, band_bq[..., None].expand(-1, -1, frames))

        return torch.lerp(at(below_bq), at(below_bq + 1), (position_bq - below_bq)[..., None])


@dataclass(frozen=True)
class SpecAugment:
    """Masks of bands and of stretches of time (Park et al. 2019), each scene's its own; what is masked is at the mean.

    Labels stay, also where a stretch of their event is masked: keep stretches short.

    Attributes:
        band_masks: masks of bands.
        widest: share of the bands that a mask covers at most; its width is uniform from none.
        time_masks: masks of stretches of time.
        longest: share of the time that one covers at most, likewise.

    Raises:
        UserError: a share that is none.
    """

    band_masks: int = 2
    widest: float = 0.15
    time_masks: int = 2
    longest: float = 0.05

    def __post_init__(self) -> None:
        for name in ("widest", "longest"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"specaugment.{name}={getattr(self, name)} is no share: choose one from 0 to 1.")

    def __call__(self, mel_bqt: Tensor) -> Tensor:
        """[B, Q, T] to the same shape."""
        _, bands, frames = mel_bqt.shape
        masks = [(1, self.widest * bands)] * self.band_masks + [(2, self.longest * frames)] * self.time_masks
        for axis, most in masks:
            mel_bqt = mask_along_axis_iid(mel_bqt, int(most) + 1, 0.0, axis)  # from 0 to below this
        return mel_bqt


@dataclass(frozen=True)
class FilterAugment:
    """Gains drawn at the edges of a few random bands, and interpolated in between (Nam et al. 2022, linear type): other
    microphones, rooms and distances.

    Attributes:
        gain_db: most that an edge goes up or down, uniform.
        bands: fewest and most of them, alike for the scenes of a batch, as their edges are.
        narrowest: mel bands of one.
        std: of the log-mels, which the spectrogram is in units of.

    Raises:
        UserError: numbers that are none of their kind.
    """

    gain_db: float
    bands: tuple[int, int]
    narrowest: int
    std: float

    def __post_init__(self) -> None:
        if self.gain_db < 0 or self.std <= 0 or not 1 <= self.bands[0] <= self.bands[1] or self.narrowest < 1:
            raise UserError(
                f"filteraugment has gain_db={self.gain_db}, bands={list(self.bands)}, narrowest={self.narrowest}, "
                f"std={self.std}: choose a gain from 0, bands from 1, the smaller number first, and a std above 0."
            )

    def __call__(self, mel_bqt: Tensor) -> Tensor:
        """[B, Q, T] to the same shape.

        Raises:
            UserError: the spectrogram has too few bands.
        """
        batch, mels, _ = mel_bqt.shape
        count = int(torch.randint(self.bands[0], self.bands[1] + 1, ()))
        spare = mels - count * self.narrowest
        if spare < 0:
            raise UserError(
                f"filteraugment.bands={list(self.bands)} of {self.narrowest} mel bands and more do not fit into "
                f"{mels}: choose fewer, or a smaller filteraugment.narrowest."
            )
        inner = torch.randint(spare + 1, (count - 1,)).sort().values + self.narrowest * torch.arange(1, count)
        edges = torch.cat([torch.tensor([0]), inner, torch.tensor([mels])])
        gains_db = self.gain_db * (2 * torch.rand(batch, count + 1) - 1)
        # Of each mel band: the edge below it, and how far it lies from there to the next.
        band = torch.arange(mels)
        below = torch.searchsorted(edges, band, right=True) - 1
        share = (band - edges[below]) / (edges[below + 1] - edges[below])
        filter_bq = torch.lerp(gains_db[:, below], gains_db[:, below + 1], share)
        return mel_bqt + (filter_bq * math.log(10) / 10 / self.std).to(mel_bqt)[..., None]


def _check_probability(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name}.probability={value} is no probability: choose one from 0 to 1.")
