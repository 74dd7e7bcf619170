"""Attention and convolution along one axis of a time-frequency map, as in TF-Locoformer (Saijo et al. 2024).

Axes: R rows, C channels, T frames, G bands, H hidden channels, s steps along the axis, o those of the other one,
d width of a head.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.modules.film import FilmTerm

Axis = Literal["time", "bands"]

ROTATION_BASE = 10_000.0


class FilmLayerNorm(nn.Module):
    """gate * (norm(x) + bias) of [R, C, T, G]: the step before every attention and convolution.

    Each point is normalised over its channels, which torch does in one pass over memory; the paper groups channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, film: FilmTerm) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + film.bias
        return y if film.gate is None else y * film.gate


class ConvSwiGlu(nn.Module):
    """Convolution to H gated channels and back along an axis, [R, C, T, G] to the same shape (section 3.2 there)."""

    def __init__(self, channels: int, hidden: int, kernel: int, axis: Axis) -> None:
        super().__init__()
        size = (kernel, 1) if axis == "time" else (1, kernel)
        self.widen = nn.Conv2d(channels, 2 * hidden, size, padding="same")
        self.narrow = nn.Conv2d(hidden, channels, size, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.widen(x).chunk(2, dim=1)
        return self.narrow(F.silu(gate) * value)


class AxialAttention(nn.Module):
    """Self-attention along an axis, [R, C, T, G] to the same shape, that knows distances (RoPE, Su et al. 2021)."""

    def __init__(self, channels: int, heads: int, axis: Axis) -> None:
        super().__init__()
        self.heads, self.axis = heads, axis
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x_rosc = x.permute(0, 3, 2, 1) if self.axis == "time" else x.permute(0, 2, 3, 1)
        qkv = self.qkv(x_rosc).flatten(0, 1).unflatten(2, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(rotated(query), rotated(key), value)
        y = self.proj(y.transpose(1, 2).flatten(2)).unflatten(0, x_rosc.shape[:2])
        return y.permute(0, 3, 2, 1) if self.axis == "time" else y.permute(0, 3, 1, 2)


class AxialBlock(nn.Module):
    """Convolution, attention and convolution along an axis, each added to what it is given.

    `sites` norms take FiLM terms.
    """

    sites = 3

    def __init__(self, channels: int, heads: int, hidden: int, kernel: int, axis: Axis) -> None:
        super().__init__()
        self.norms = nn.ModuleList(FilmLayerNorm(channels) for _ in range(self.sites))
        self.parts = nn.ModuleList(
            [
                ConvSwiGlu(channels, hidden, kernel, axis),
                AxialAttention(channels, heads, axis),
                ConvSwiGlu(channels, hidden, kernel, axis),
            ]
        )

    def forward(self, x: Tensor, terms: list[FilmTerm]) -> Tensor:
        for norm, part, term in zip(self.norms, self.parts, terms, strict=True):
            x = x + part(norm(x, term))
        return x


def rotated(x: Tensor) -> Tensor:
    """Turn each pair of values of [..., s, d] by an angle that grows along s, faster for earlier pairs."""
    half = x.shape[-1] // 2
    speeds = ROTATION_BASE ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * speeds
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
