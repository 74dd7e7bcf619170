"""A network of attention and convolution along time and along bands, in the U-Net's place and under its conditions.

Bands have weights of their own (Lu et al. 2023, "Music source separation with band-split RoPE transformer"), blocks are
those of TF-Locoformer (Saijo et al. 2024). What comes out is what the U-Net gives, and so are the masks made of it:
complex, one for each microphone.

Axes: R rows (queries), c outer channels, C inner channels, T frames, F bins, t frames of a step, G bands of one width,
P points (rows and steps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sedsep.errors import UserError
from sedsep.modules.axial import AxialBlock, FilmLayerNorm
from sedsep.modules.film import FilmTerm, Site


class TfAttention(nn.Module):
    """Bands of the spectrum, blocks along them and along time, and the spectrum again.

    Args:
        widths: channels of its maps, outer and inner.
        bands: [count, bins] of neighbouring bands of one width, from the lowest on; together they have all bins but the
            last.
        time_stride: frames of a step; a power of two.
        depth: blocks along each axis.
        heads: of attention.
        hidden: channels within a convolutional part.
        kernel: its steps or bands.

    Raises:
        UserError: sizes that do not fit together.
    """

    def __init__(
        self,
        widths: Sequence[int],
        bands: Sequence[Sequence[int]],
        time_stride: int,
        depth: int,
        heads: int,
        hidden: int,
        kernel: int,
    ) -> None:
        super().__init__()
        if len(widths) != 2:
            raise UserError(f"widths={list(widths)} has to be two: the outer and the inner channels of tf_attention.")
        if time_stride.bit_count() != 1:
            raise UserError(f"time_stride={time_stride} is no power of two: choose 1, 2, 4 or more.")
        outer, inner = widths
        if inner % (2 * heads):
            raise UserError(f"{inner} inner channels do not make {heads} heads of even width: change widths or heads.")
        self.bands, self.time_stride = [(count, bins) for count, bins in bands], time_stride
        sizes = [(count, time_stride * bins * outer) for count, bins in self.bands]
        self.split = nn.ModuleList(BandLinear(count, size, inner) for count, size in sizes)
        self.blocks = nn.ModuleList(
            AxialBlock(inner, heads, hidden, kernel, axis) for _ in range(depth) for axis in ("bands", "time")
        )
        self.norm = FilmLayerNorm(inner)
        self.merge = nn.ModuleList(BandLinear(count, inner, size) for count, size in sizes)
        self.local = nn.Conv2d(outer, outer, 3, padding=1)
        self.checkpoint = False  # whether blocks run again in the backward pass, and only what leads into them is kept
        self.sites = [Site(inner, time_stride.bit_length() - 1)] * (AxialBlock.sites * len(self.blocks) + 1)

    def check(self, n_fft: int) -> None:
        """Refuse transforms of another number of bins than its bands have.

        Raises:
            UserError: one of these.
        """
        bins = sum(count * width for count, width in self.bands)
        if bins != n_fft // 2:
            raise UserError(f"n_fft={n_fft} gives {n_fft // 2} bins, bands have {bins}: change one of them.")

    def innermost(self, frames: int, bins: int) -> tuple[int, int]:
        """(steps, bands) of the inner map, of the frames and bins of the outer one."""
        return frames // self.time_stride, sum(count for count, _ in self.bands)

    def forward(
        self,
        x: Tensor,
        terms: Sequence[FilmTerm],
        at_bottleneck: Sequence[Callable[[Tensor], Tensor]],
        before: nn.Conv2d | None = None,
        after: nn.Conv2d | None = None,
    ) -> Tensor:
        """Map [R, c, T, F] to the same shape.

        Args:
            x: T a multiple of `time_stride`, F the bins of all bands.
            terms: the condition of each of `sites`.
            at_bottleneck: what the inner map goes through, one after the other, before the second half of the blocks.
            before: what leads into the network, for maps of other widths than its own.
            after: what leads out of it.
        """
        x = x if before is None else before(x)
        y = self._split(x)
        for index, block in enumerate(self.blocks):
            if index == len(self.blocks) // 2:
                for step in at_bottleneck:
                    y = step(y)
            told = list(terms[AxialBlock.sites * index : AxialBlock.sites * (index + 1)])
            again = self.checkpoint and y.requires_grad
            y = checkpoint(block, y, told, use_reentrant=False) if again else block(y, told)
        x = x + self._merge(self.norm(y, terms[-1]))
        x = x + self.local(F.silu(x))
        return x if after is None else after(x)

    def _split(self, x: Tensor) -> Tensor:
        """[R, c, T, F] to [R, C, T / t, bands]."""
        x_rtfc, points = x.permute(0, 2, 3, 1), []
        parts = x_rtfc.split([count * width for count, width in self.bands], dim=2)
        for part, linear, (count, _) in zip(parts, self.split, self.bands, strict=True):
            pieces = part.unflatten(2, (count, -1)).unflatten(1, (-1, self.time_stride))  # [R, T / t, t, G, F', c]
            points.append(linear(pieces.permute(3, 0, 1, 2, 4, 5).flatten(3).flatten(1, 2)))
        y = torch.cat(points).unflatten(1, (-1, x.shape[2] // self.time_stride)).permute(1, 3, 2, 0)
        return y.contiguous(memory_format=torch.channels_last)

    def _merge(self, y: Tensor) -> Tensor:
        """[R, C, T / t, bands] to [R, c, T, F]."""
        steps, maps = y.shape[2], []
        parts = y.permute(3, 0, 2, 1).flatten(1, 2).split([count for count, _ in self.bands])
        for part, linear, (_, width) in zip(parts, self.merge, self.bands, strict=True):
            pieces = linear(part).unflatten(2, (self.time_stride, width, -1)).unflatten(1, (-1, steps))
            maps.append(pieces.permute(1, 5, 2, 3, 0, 4).flatten(4).flatten(2, 3))  # of [G, R, T / t, t, F', c]
        return torch.cat(maps, dim=3).contiguous(memory_format=torch.channels_last)


class BandLinear(nn.Module):
    """A linear layer for each of some bands, [G, P, inputs] to [G, P, outputs]; they start as torch's `Linear` does."""

    def __init__(self, bands: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bands, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(bands, 1, outputs))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)
