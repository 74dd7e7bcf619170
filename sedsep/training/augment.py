"""What a SED model may train on in place of a scene: two scenes mixed, a spectrogram stretched along frequency.

All draws come from torch's own generator. With a probability of 0, the paper's, nothing is drawn.

Axes: B batch, Q mel bands, T mel frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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


def _check_probability(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name}.probability={value} is no probability: choose one from 0 to 1.")
