"""BatchNorm with feature-wise conditioning and its activation, as one step.

Axes: R rows (one query of one mixture), C channels, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

BATCH_NORM_MOMENTUM = 0.01  # the separator's published value
LEAKY_SLOPE = 0.01

Affine = tuple[Tensor, Tensor]
"""Scale and shift [C] of a norm."""


@dataclass(frozen=True)
class Site:
    """One BatchNorm of a network that takes a condition.

    Attributes:
        channels: its width.
        level: how many times time has been halved on the way to it.
    """

    channels: int
    level: int


@dataclass(frozen=True)
class FilmTerm:
    """What one site is told; without arguments nothing.

    Attributes:
        bias: added after normalisation, [R, C, 1, 1] or [R, C, T, 1].
        gate: multiplies the biased map, [R, C, T, 1]; `None` for 1.
    """

    bias: Tensor | float = 0.0
    gate: Tensor | None = None

    def biased(self, bias: Tensor) -> FilmTerm:
        """With another bias beside its own."""
        return FilmTerm(self.bias + bias, self.gate)

    def gated(self, gate: Tensor) -> FilmTerm:
        """With another gate beside its own."""
        return FilmTerm(self.bias, gate if self.gate is None else self.gate * gate)


class FilmBank(nn.Module):
    """One bias-only FiLM layer a site, computed as a single matrix product.

    `forward` gives a tensor [..., C] a site for an embedding [..., width].
    """

    def __init__(self, width: int, sites: Sequence[Site]) -> None:
        super().__init__()
        self.channels = [site.channels for site in sites]
        self.linear = nn.Linear(width, sum(self.channels))

    def forward(self, embedded: Tensor) -> tuple[Tensor, ...]:
        return self.linear(embedded).split(self.channels, dim=-1)


def affine_of(bn: nn.modules.batchnorm._BatchNorm) -> Affine:
    """Scale and shift [C] that an evaluated BatchNorm amounts to."""
    assert bn.running_mean is not None and bn.running_var is not None
    scale = torch.rsqrt(bn.running_var + bn.eps)
    if bn.weight is not None:
        scale = scale * bn.weight
    shift = -bn.running_mean * scale
    return scale, shift if bn.bias is None else shift + bn.bias


def processes(bn: nn.Module | None) -> Any:
    """The processes whose batches a BatchNorm normalises together; `None` for this one alone."""
    if not isinstance(bn, nn.SyncBatchNorm) or not bn.training or not dist.is_initialized():
        return None
    return bn.process_group or dist.group.WORLD


class FilmNorm(nn.Module):
    """lrelu(gate * (bn(x) + bias)): the step before every convolution of the U-Net.

    In evaluation the three become one affine map, so the tensor is read and written once, not four times.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, momentum=BATCH_NORM_MOMENTUM)

    def forward(self, x: Tensor, film: FilmTerm) -> Tensor:
        """x [R, C, T, F] to a new tensor of the same shape."""
        if self.training:
            y = self.bn(x) + film.bias
            y = y if film.gate is None else y * film.gate
        else:
            scale, bias = self.affine(film)
            y = torch.addcmul(bias.to(x.dtype), x, scale.to(x.dtype))
        return F.leaky_relu_(y, LEAKY_SLOPE)

    def affine(self, film: FilmTerm) -> tuple[Tensor, Tensor]:
        """Scale and bias, broadcast over [R, C, T, F], that the evaluated step amounts to before its activation."""
        scale, shift = affine_of(self.bn)
        scale, bias = scale[None, :, None, None], shift[None, :, None, None] + film.bias
        return (scale, bias) if film.gate is None else (scale * film.gate, bias * film.gate)


class BinNorm(nn.Module):
    """BatchNorm over the frequency bins of a spectrogram [B, M, T, F]: each bin has its own statistics."""

    def __init__(self, bins: int, affine: bool = True) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(bins, momentum=BATCH_NORM_MOMENTUM, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.bn(x.transpose(1, 3)).transpose(1, 3)
        scale, shift = affine_of(self.bn)
        return torch.addcmul(shift, x, scale)

    def affine(self, x: Tensor) -> Affine:
        """Scale and shift [F] that `forward` amounts to for x."""
        if not self.bn.training:
            return affine_of(self.bn)
        variance, mean = torch.var_mean(x, (0, 1, 2), correction=0)
        if group := processes(self.bn):
            sums = (
                x.numel() // len(mean) * torch.stack([torch.ones_like(mean), mean, variance + mean.square()]).double()
            )
            dist.all_reduce(sums, group=group)
            mean, square = (sums[1:] / sums[0]).to(mean)
            variance = square - mean.square()
        scale = self.bn.weight * torch.rsqrt(variance + self.bn.eps)
        return scale, self.bn.bias - mean * scale
