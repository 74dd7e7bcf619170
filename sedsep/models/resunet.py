"""The U-Net of AudioSep's ResUNet (Kong et al. 2023; Liu et al. 2023), conditioned at every BatchNorm.

Axes: R rows (queries), C channels, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sedsep.models.scratch import Scratch, write_block, write_norm
from sedsep.modules.film import FilmNorm, FilmTerm, Site

Terms = Iterator[FilmTerm]
Step = Callable[[Tensor], Tensor]


class ResidualBlock(nn.Module):
    """Two pre-activated 3x3 convolutions and a shortcut, 1x1 where the width changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = FilmNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = FilmNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, parts: Sequence[Tensor], terms: Terms, scratch: Scratch | None) -> Tensor:
        """Maps the concatenation of `parts` along channels.

        Args:
            scratch: memory to work in, for evaluation without autograd; `None` records the steps for a gradient.
        """
        if scratch is not None:
            return write_block(self, parts, terms, scratch)
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

    def forward(self, x: Tensor, skip: Tensor, terms: Terms, scratch: Scratch | None) -> Tensor:
        term = next(terms)
        # x is read nowhere else: it can be overwritten.
        y = self.norm(x, term) if scratch is None else write_norm(self.norm, [x], term, x)
        return self.block([self.up(y), skip], terms, scratch)


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
        self.time_stride = 2 ** (len(widths) - 1)
        self.frequency_stride = 2 ** len(widths)
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

    def forward(
        self, x: Tensor, terms: Sequence[FilmTerm], at_bottleneck: Sequence[Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Map [R, C, T, F] to the same shape.

        Args:
            x: T a multiple of `time_stride`, F of `frequency_stride`.
            terms: the condition of each of `sites`.
            at_bottleneck: what the innermost map goes through, one after the other, before the decoder.
        """
        remaining = iter(terms)
        scratch = None
        if not self.training and not torch.is_grad_enabled() and not torch.compiler.is_compiling():  # it plans itself
            # The last decoder block normalises the widest map: as large as x, with the skip beside it.
            scratch = Scratch(2 * x.numel(), x)
        skips = []
        for block, pool in zip(self.encoder, self.pools, strict=True):
            skips.append(block([x], remaining, scratch))
            x = pool(skips[-1])
        x = self.bottleneck([x], remaining, scratch)
        for step in at_bottleneck:
            x = step(x)
        for block in self.decoder:
            x = block(x, skips.pop(), remaining, scratch)
        return x
