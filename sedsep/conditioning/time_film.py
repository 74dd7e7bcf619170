"""Temporal guidance: the SED model's activity curve of the queried class, sent through FiLM at every frame.

Axes: R rows (queries), S SED frames, T frames of a site, C its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.conditioning.label import FilmBank, embedding
from sedsep.errors import choice
from sedsep.modules.film import FilmTerm, Site


class TimeFilm(nn.Module):
    """Time-FiLM (Morocutti et al. 2025).

    Args:
        width: embedding width, that of the label embedding.
        sites: the BatchNorms to condition.
        mode: `additive` gives bn(x) + label + time; `multiplicative` gives sigmoid(time) * (bn(x) + label).
        shared: send the time embedding through the label's FiLM layers, as the published checkpoints do
            (their bias then counts twice); otherwise through layers of its own.
        binarised: reduce the logits to active (1) or not (0) at a logit of 0.
    """

    def __init__(
        self,
        width: int,
        sites: Sequence[Site],
        mode: Literal["additive", "multiplicative"] = "additive",
        shared: bool = True,
        binarised: bool = False,
    ) -> None:
        super().__init__()
        self.mode = choice(mode, ("additive", "multiplicative"), "time_film.mode")
        self.binarised = binarised
        self.levels = [site.level for site in sites]
        self.embedding = embedding(1, width)
        self.film = None if shared else FilmBank(width, sites)

    def forward(self, logits_rs: Tensor, label_bias: list[Tensor], label_film: FilmBank, frames: int) -> list[FilmTerm]:
        """Conditions every site.

        Args:
            logits_rs: strong logits of the queried class [R, S], zeros for silence.
            label_bias: the label's bias at every site, [R, C, 1, 1].
            label_film: the label's FiLM layers, used where `shared`.
            frames: T at level 0, padding included.
        """
        curve = (logits_rs > 0).to(logits_rs.dtype) if self.binarised else logits_rs
        bank = label_film if self.film is None else self.film
        terms = []
        for beta_rsc, bias, level in zip(bank(self.embedding(curve[..., None])), label_bias, self.levels, strict=True):
            time = _stretch(beta_rsc, frames >> level)
            if self.mode == "additive":
                terms.append(FilmTerm(bias + time))
            else:
                terms.append(FilmTerm(bias, torch.sigmoid(time)))
        return terms


def _stretch(beta_rsc: Tensor, frames: int) -> Tensor:
    """Linear interpolation of [R, S, C] over the whole of a map's time axis: [R, C, frames, 1], channels innermost."""
    stretched = F.interpolate(beta_rsc.transpose(1, 2), size=frames, mode="linear", align_corners=False)
    return stretched[..., None].contiguous(memory_format=torch.channels_last)
