"""Evaluation without autograd: the same steps as `resunet` and `film` take, in memory that is lent again and again.

Fresh memory costs more than the arithmetic: on a CPU the system hands it out page by page, zeroed. And what goes value
by value waits for memory alone: several such steps follow each other on a few frames, which the cache holds meanwhile.

Axes: R rows (queries), C channels, T frames, F bins (and `F` for torch's functions, as everywhere).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.modules.film import LEAKY_SLOPE, FilmNorm, FilmTerm
from sedsep.modules.steps import flat

if TYPE_CHECKING:
    from sedsep.models.resunet import ResidualBlock


CACHED = 1 << 20
"""Bytes of a map that a CPU's cache holds from one step to the next."""


class Scratch:
    """One block of memory, channels last, for whoever needs a map for a moment.

    Args:
        numel: elements of the largest map expected; it grows when more is asked.
        like: of the type and device wanted.
    """

    def __init__(self, numel: int, like: Tensor) -> None:
        self.block = like.new_empty(numel)

    def lend(self, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
        """An uninitialised [R, C, T, F], valid until the next call."""
        rows, channels, frames, bins = shape
        numel = rows * channels * frames * bins
        if self.block.dtype != dtype or self.block.numel() < numel:
            self.block = torch.empty(numel, dtype=dtype, device=self.block.device)
        return self.block[:numel].view(rows, frames, bins, channels).permute(0, 3, 1, 2)


def tiles(x: Tensor) -> list[slice]:
    """The frames of [..., T, F], as many at a time as a CPU's cache holds; on a GPU all at once."""
    frames = x.shape[-2]
    at_once = frames
    if x.device.type == "cpu":
        at_once = max(1, CACHED * frames // (x.numel() * x.element_size()))
    return [slice(start, start + at_once) for start in range(0, frames, at_once)]


def write_norm(norm: FilmNorm, parts: Sequence[Tensor], film: FilmTerm, out: Tensor) -> Tensor:
    """`FilmNorm` of the concatenation of `parts` along C, written into memory at hand.

    Args:
        norm: in evaluation mode.
        parts: [R, c, T, F] each, their widths add up to C.
        film: what the site is told.
        out: [R, C, T, F]; may be the single part itself.
    """
    widths, length = [part.shape[1] for part in parts], out.shape[2]
    scale, bias = (x.to(out.dtype).expand(-1, -1, length, -1) for x in norm.affine(film))
    for frames in tiles(out):
        some = [x[:, :, frames] for x in (bias, scale, out)]
        for part, b, s, o in zip(parts, *(x.split(widths, dim=1) for x in some), strict=True):
            torch.addcmul(b, part[:, :, frames], s, out=o)
        F.leaky_relu_(out[:, :, frames], LEAKY_SLOPE)
    return out


def write_block(block: ResidualBlock, parts: Sequence[Tensor], terms: Iterator[FilmTerm], scratch: Scratch) -> Tensor:
    """`ResidualBlock`, with nothing concatenated, and only the convolutions' outputs in new memory."""
    first = parts[0]
    widths = [part.shape[1] for part in parts]
    y = scratch.lend((len(first), sum(widths), *first.shape[2:]), first.dtype)
    y = block.conv1(write_norm(block.norm1, parts, next(terms), y))
    y = write_norm(block.norm2, [y], next(terms), y)
    if isinstance(block.shortcut, nn.Identity):
        return block.conv2(y).add_(first)
    y = F.conv2d(y, block.conv2.weight, block.shortcut.bias, padding=1)
    weight = block.shortcut.weight[:, :, 0, 0].T.to(y.dtype)
    for part, rows in zip(parts, weight.split(widths), strict=True):
        flat(y).addmm_(flat(part), rows)
    return y
