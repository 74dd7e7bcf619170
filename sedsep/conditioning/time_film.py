"""Temporal guidance: the SED model's activity curve of the queried class, sent through FiLM at every frame.

Axes: R rows, K queries of a row, N classes, S SED frames, T frames of a site, C its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sedsep.conditioning.base import Condition, Host, Maps
from sedsep.conditioning.label import embedding
from sedsep.errors import UserError, choice
from sedsep.modules.film import FilmBank, FilmTerm
from sedsep.types import SedOutput


class TimeFilm(Condition):
    """Time-FiLM (Morocutti et al. 2025).

    Args:
        host: the separator it is made for.
        mode: `additive` gives bn(x) + label + time; `multiplicative` gives sigmoid(time) * (bn(x) + label).
        shared: send the time embedding through the FiLM layers that the separator offers, the label's, as the published
            checkpoints do (their bias then counts twice); otherwise through layers of its own.
        binarised: reduce the logits to active (1) or not (0) at a logit of 0.
    """

    title = "Time-FiLM"
    reads = frozenset({"frames"})

    def __init__(
        self,
        host: Host,
        mode: Literal["additive", "multiplicative"] = "additive",
        shared: bool = True,
        binarised: bool = False,
    ) -> None:
        super().__init__()
        self.mode = choice(mode, ("additive", "multiplicative"), "time_film.mode")
        self.binarised = binarised
        self.teaches = frozenset() if binarised else self.reads  # a step has no slope
        self.levels = [site.level for site in host.sites]
        self.queries = host.queries
        self.embedding = embedding(host.queries, host.width)
        self.film = None if shared else FilmBank(host.width, host.sites)

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> list[Tensor]:
        """What the curves of a row's queries, 0 for silence, amount to: for every channel and frame of each site,
        [R, C, T, 1], channels innermost.

        Raises:
            UserError: the SED model names clips only.
        """
        if sed is None or sed.strong_logits is None:
            raise UserError(f"{self.title} needs a SED model that names frames: use head attention or two_linear.")
        curve_rsk = torch.einsum("rkn,rns->rsk", query.unflatten(1, (self.queries, -1)), sed.strong_logits)
        if self.binarised:
            curve_rsk = (curve_rsk > 0).to(curve_rsk.dtype)
        betas = (maps.film if self.film is None else self.film)(self.embedding(curve_rsk))
        stretched = []
        for beta_rsc, level in zip(betas, self.levels, strict=True):
            frames = maps.frames // 2**level
            beta_rct = F.interpolate(beta_rsc.transpose(1, 2), size=frames, mode="linear", align_corners=False)
            stretched.append(beta_rct[..., None].contiguous(memory_format=torch.channels_last))
        return stretched

    def forward(self, x: Sequence[FilmTerm], prepared: Sequence[Tensor]) -> list[FilmTerm]:
        if self.mode == "additive":
            return [term.biased(time) for term, time in zip(x, prepared, strict=True)]
        return [term.gated(time.sigmoid()) for term, time in zip(x, prepared, strict=True)]
