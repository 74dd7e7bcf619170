"""The U-Net of AudioSep's ResUNet (Kong et al. 2023; Liu et al. 2023), conditioned at every BatchNorm.

Axes: R rows (queries), C channels, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sedsep.errors import UserError
from sedsep.models.remade import DEVICES, Remade, train_block
from sedsep.models.scratch import Scratch, write_block, write_norm
from sedsep.modules.film import FilmNorm, FilmTerm, Site

Terms = Iterator[FilmTerm]
Way = Scratch | Remade | None


class ResidualBlock(nn.Module):
    """Two pre-activated 3x3 convolutions and a shortcut, 1x1 where the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = FilmNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = FilmNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, parts: Sequence[Tensor], terms: Terms, way: Way, before: nn.Conv2d | None = None) -> Tensor:
        """Maps the concatenation of `parts` along channels.

        Args:
            way: memory to work in, for evaluation without autograd; how to train in little memory; `None` for the
                layers one by one as modules, of which autograd or a compiler keeps what it likes.
            before: what the only part goes through first, where `way` says how to train.
        """
        if isinstance(way, Scratch):
            return write_block(self, parts, terms, way)
        if isinstance(way, Remade):
            return train_block(self, parts, terms, way, None if before is None else (None, before))
        x = torch.cat(list(parts), dim=1) if len(parts) > 1 else parts[0]
        y = self.conv1(self.norm1(x, next(terms)))
        y = self.conv2(self.norm2(y, next(terms)))
        return y + self.shortcut(x)


class DecoderBlock(nn.Module):
    """Upsampling by a transposed convolution, the skip beside it, and a residual block on both."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.norm = FilmNorm(inputs)
        self.up = nn.ConvTranspose2d(inputs, outputs, stride, stride=stride, bias=False)
        self.block = ResidualBlock(2 * outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor, terms: Terms, way: Way, after: nn.Conv2d | None = None) -> Tensor:
        """Maps x and its skip.

        Args:
            way: as in `ResidualBlock`.
            after: what comes of them goes through last, where `way` says how to train.
        """
        if isinstance(way, Remade):
            return train_block(self.block, [x, skip], terms, way, (self.norm, self.up), after)
        term = next(terms)
        # x is read nowhere else: it can be overwritten.
        y = write_norm(self.norm, [x], term, x) if isinstance(way, Scratch) else self.norm(x, term)
        return self.block([self.up(y), skip], terms, way)


class UNet(nn.Module):
    """Encoder, bottleneck and decoder over a time-frequency map.

    Args:
        widths: channels of each encoder stage, outermost first. Every stage halves frequency, every one but the
            innermost halves time.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        widths = list(widths)
        strides = [(2, 2)] * (len(widths) - 1) + [(1, 2)]
        inputs = [widths[0], *widths[:-1]]
        self.encoder = nn.ModuleList(ResidualBlock(i, o) for i, o in zip(inputs, widths, strict=True))
        self.pools = nn.ModuleList(nn.AvgPool2d(stride) for stride in strides)
        self.bottleneck = ResidualBlock(widths[-1], widths[-1])
        decoder_inputs = [widths[-1], *widths[:0:-1]]
        self.decoder = nn.ModuleList(
            DecoderBlock(i, o, stride) for i, o, stride in zip(decoder_inputs, widths[::-1], strides[::-1], strict=True)
        )
        self.remade: Remade | None = Remade()  # how it trains; `None`: autograd keeps what it likes
        self.time_stride = 2 ** (len(widths) - 1)
        # The conditioned BatchNorms in the order that `forward` meets them.
        deepest = len(widths) - 1
        self.sites: list[Site] = []
        for level, (i, o) in enumerate(zip(inputs, widths, strict=True)):
            self.sites += [Site(i, level), Site(o, level)]
        self.sites += [Site(widths[-1], deepest)] * 2
        for level, i, o in zip(range(deepest, -1, -1), decoder_inputs, widths[::-1], strict=True):
            self.sites += [Site(i, min(level + 1, deepest)), Site(2 * o, level), Site(o, level)]
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def check(self, n_fft: int) -> None:
        """Refuse transforms whose bins it cannot halve.

        Raises:
            UserError: one of these.
        """
        stride = 2 ** len(self.encoder)
        if n_fft // 2 % stride:
            raise UserError(
                f"n_fft={n_fft} gives {n_fft // 2} bins, which {len(self.encoder)} stages cannot halve: choose a "
                f"multiple of {2 * stride} or fewer widths."
            )

    def innermost(self, frames: int, bins: int) -> tuple[int, int]:
        """(T, F) of the innermost map, of those of the widest."""
        return frames // self.time_stride, bins // 2 ** len(self.encoder)

    def forward(
        self,
        x: Tensor,
        terms: Sequence[FilmTerm],
        at_bottleneck: Sequence[Callable[[Tensor], Tensor]],
        before: nn.Conv2d | None = None,
        after: nn.Conv2d | None = None,
    ) -> Tensor:
        """Map [R, C, T, F] to the same shape.

        Args:
            x: T a multiple of `time_stride`, F one that `check` lets pass.
            terms: the condition of each of `sites`.
            at_bottleneck: what the innermost map goes through, one after the other, before the decoder.
            before: what leads into the network, for maps of other widths than its own.
            after: what leads out of it.
        """
        remaining = iter(terms)
        way: Way = None
        training = self.training or torch.is_grad_enabled()
        if training and x.device.type in DEVICES and not torch.compiler.is_compiling():  # a compiler plans itself
            way = self.remade
        if before is not None and not isinstance(way, Remade):
            x = before(x)
        if not training and not torch.compiler.is_compiling():
            # The last decoder block normalises the widest map: as large as x, with the skip beside it.
            way = Scratch(2 * x.numel(), x)
        skips = []
        for block, pool in zip(self.encoder, self.pools, strict=True):
            skips.append(block([x], remaining, way, before))
            x, before = pool(skips[-1]), None
        x = self.bottleneck([x], remaining, way)
        for step in at_bottleneck:
            x = step(x)
        for block in self.decoder[:-1]:
            x = block(x, skips.pop(), remaining, way)
        x = self.decoder[-1](x, skips.pop(), remaining, way, after)
        return x if after is None or isinstance(way, Remade) else after(x)
