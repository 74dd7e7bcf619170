"""What a refinement pass is told of the pass before it.

Axes: R rows (one query of one mixture each), O outputs of a row, T frames, F bins, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sedsep.errors import choice
from sedsep.models.features import angle
from sedsep.modules.film import Affine, BinNorm, FilmTerm, Site

Gradient = Literal["last", "each", "through"]
"""Which passes learn: the last alone; each by itself; each, and those before by way of what they feed back."""


@dataclass(frozen=True)
class Feedback:
    """How an estimate comes back; without arguments as published (Morocutti et al. 2025).

    Attributes:
        statistics: what its magnitudes are normalised by: `own`, statistics of all passes together, of which the first
            sees silence; `pass`, those of each pass; `mixture`, the mixture's, which no pass changes.
        phase: whether its phase is told, too: cosine and sine of the angle to the mixture's first channel, 0 where
            either is silent; no gradient goes back through them.
        numbered: whether the network is told which pass it is in.
    """

    statistics: Literal["own", "pass", "mixture"] = "own"
    phase: bool = False
    numbered: bool = False

    def __post_init__(self) -> None:
        choice(self.statistics, tuple(NORMS), "refinement.feedback.statistics")

    def channels(self, outputs: int) -> dict[str, int]:
        """Input channels of a row's estimates, by what they tell."""
        return {"feedback": outputs, **({"feedback phase": 2 * outputs} if self.phase else {})}

    def phases(self, real: Tensor, imag: Tensor, first_real: Tensor, first_imag: Tensor) -> list[Tensor]:
        """What tells the phase of estimates [R, O, T, F] against the mixtures' first channel [R, 1, T, F], if anything;
        without a gradient, which grows without bound where an estimate is quiet."""
        return [angle(real.detach(), imag.detach(), first_real, first_imag)] if self.phase else []

    def norm(self, bins: int, passes: int) -> nn.Module:
        """What normalises its magnitudes: of [R, O, T, F], the index of the pass, and scale and shift of the mixture's
        normalisation, which `mixture` alone needs."""
        return NORMS[self.statistics](bins, passes)


class OwnStatistics(BinNorm):
    """The statistics of all passes together."""

    def __init__(self, bins: int, passes: int) -> None:
        super().__init__(bins)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return super().forward(x)


class PassStatistics(nn.Module):
    """Those of each pass for itself; passes beyond the trained ones have the last one's. What is learnt they share: in
    a step that ends with an early pass, all of it still gets its gradient."""

    def __init__(self, bins: int, passes: int) -> None:
        super().__init__()
        self.passes = nn.ModuleList(BinNorm(bins, affine=False) for _ in range(passes))
        self.weight = nn.Parameter(torch.ones(bins))
        self.bias = nn.Parameter(torch.zeros(bins))

    def forward(self, x: Tensor, index: int, *_: object) -> Tensor:
        return torch.addcmul(self.bias, self.passes[min(index, len(self.passes) - 1)](x), self.weight)


class MixtureStatistics(nn.Module):
    """The mixture's: an estimate that is the mixture looks like it."""

    def __init__(self, bins: int, passes: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, index: int, mixture: Affine) -> Tensor:
        scale, shift = mixture
        return torch.addcmul(shift, x, scale)


NORMS: dict[str, type[nn.Module]] = {"own": OwnStatistics, "pass": PassStatistics, "mixture": MixtureStatistics}


class PassFilm(nn.Module):
    """A bias for every conditioned BatchNorm that says which pass it is: none in the first, which is the plain network,
    and in passes beyond the trained ones that of the last. They start at zero."""

    def __init__(self, passes: int, sites: Sequence[Site]) -> None:
        super().__init__()
        self.channels = [site.channels for site in sites]
        self.biases = nn.Parameter(torch.zeros(max(passes - 1, 1), sum(self.channels)))

    def forward(self, terms: Sequence[FilmTerm], index: int) -> list[FilmTerm]:
        """Terms with what is told beside theirs in the pass of an index."""
        chosen = self.biases.new_zeros(len(self.biases))
        if index:
            chosen[min(index, len(chosen)) - 1] = 1.0
        told = (chosen @ self.biases).split(self.channels)  # a product: what is not chosen has a gradient, of zero
        return [term.biased(bias[None, :, None, None]) for term, bias in zip(terms, told, strict=True)]
