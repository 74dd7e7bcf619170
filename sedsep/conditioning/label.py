"""What the queried class says to every layer: bias-only FiLM.

Axes: R rows (queries), N classes, K queries that a row answers, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sedsep.conditioning.base import Condition, Host, Maps
from sedsep.modules.film import FilmBank, FilmTerm
from sedsep.types import SedOutput


def embedding(inputs: int, width: int) -> nn.Sequential:
    """Two Linear-LayerNorm-ReLU layers, [..., inputs] to [..., width]."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LayerNorm(width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.LayerNorm(width),
        nn.ReLU(),
    )


class LabelFilm(Condition):
    """Query one-hot rows [R, N * K] to a bias [R, C, 1, 1] for every site."""

    title = "The label"

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.embedding = embedding(host.query, host.width)
        self.film = FilmBank(host.width, host.sites)

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> list[Tensor]:
        return [bias[:, :, None, None] for bias in self.film(self.embedding(query))]

    def forward(self, x: Sequence[FilmTerm], prepared: Sequence[Tensor]) -> list[FilmTerm]:
        return [term.biased(bias) for term, bias in zip(x, prepared, strict=True)]
