"""BatchNorm with feature-wise conditioning and its activation, as one step.

Axes: R rows (one query of one mixture), C channels, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_MOMENTUM = 0.01  # the separator's published value
LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class Site:
    """One BatchNorm of a network that takes a condition.

    Attributes:
        channels: its width.
        level: how many times time has been halved on the way to it.
    """

    channels: int
    level: int


@dataclass
class FilmTerm:
    """The condition of one site.

    Attributes:
        bias: added after normalisation, [R, C, 1, 1] or [R, C, T, 1].
        gate: multiplies the biased map, [R, C, T, 1]; `None` for 1.
    """

    bias: Tensor
    gate: Tensor | None = None


def affine_of(bn: nn.modules.batchnorm._BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift [C] that an evaluated BatchNorm amounts to."""
    assert bn.running_mean is not None and bn.running_var is not None
    scale = torch.rsqrt(bn.running_var + bn.eps)
    if bn.weight is not None:
        scale = scale * bn.weight
    shift = -bn.running_mean * scale
    return scale, shift if bn.bias is None else shift + bn.bias


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
            scale, bias = self._affine(film)
            y = torch.addcmul(bias.to(x.dtype), x, scale.to(x.dtype))
        return F.leaky_relu_(y, LEAKY_SLOPE)

    def write(self, parts: Sequence[Tensor], film: FilmTerm, out: Tensor) -> Tensor:
        """Evaluate on the concatenation of `parts` along C into memory at hand, without autograd.

        Fresh memory costs more than the arithmetic: on a CPU the system hands it out page by page, zeroed.

        Args:
            parts: [R, c, T, F] each, their widths add up to C.
            out: [R, C, T, F]; may be the single part itself.
        """
        start = 0
        scale, bias = self._affine(film)
        scale, bias = scale.to(out.dtype), bias.to(out.dtype)
        for part in parts:
            channels = slice(start, start + part.shape[1])
            torch.addcmul(bias[:, channels], part, scale[:, channels], out=out[:, channels])
            start = channels.stop
        return F.leaky_relu_(out, LEAKY_SLOPE)

    def _affine(self, film: FilmTerm) -> tuple[Tensor, Tensor]:
        """Scale and bias, broadcast over [R, C, T, F], that the evaluated step amounts to before its activation."""
        scale, shift = affine_of(self.bn)
        scale, bias = scale[None, :, None, None], shift[None, :, None, None] + film.bias
        return (scale, bias) if film.gate is None else (scale * film.gate, bias * film.gate)


class Scratch:
    """One block of memory lent out again and again, channels last, to whoever needs a map for a moment.

    Args:
        numel: elements of the largest map expected; it grows when more is asked.
    """

    def __init__(self, numel: int, dtype: torch.dtype, device: torch.device) -> None:
        self.block = torch.empty(numel, dtype=dtype, device=device)

    def lend(self, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
        """An uninitialised [R, C, T, F], valid until the next call."""
        rows, channels, frames, bins = shape
        numel = rows * channels * frames * bins
        if self.block.dtype != dtype or self.block.numel() < numel:
            self.block = torch.empty(numel, dtype=dtype, device=self.block.device)
        return self.block[:numel].view(rows, frames, bins, channels).permute(0, 3, 1, 2)


class BinNorm(nn.Module):
    """BatchNorm over the frequency bins of a spectrogram [B, M, T, F]: each bin has its own statistics."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(bins, momentum=BATCH_NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.bn(x.transpose(1, 3)).transpose(1, 3)
        scale, shift = affine_of(self.bn)
        return torch.addcmul(shift, x, scale)
