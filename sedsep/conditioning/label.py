"""What the queried class says to every layer: bias-only FiLM.

Axes: R rows (queries), N classes, H embedding width, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sedsep.modules.film import Site


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


class FilmBank(nn.Module):
    """One bias-only FiLM layer a site, computed as a single matrix product.

    `forward` gives a tensor [..., C] a site for an embedding [..., H].
    """

    def __init__(self, width: int, sites: Sequence[Site]) -> None:
        super().__init__()
        self.channels = [site.channels for site in sites]
        self.linear = nn.Linear(width, sum(self.channels))

    def forward(self, embedded: Tensor) -> tuple[Tensor, ...]:
        return self.linear(embedded).split(self.channels, dim=-1)


class LabelFilm(nn.Module):
    """Query one-hot rows [R, N * K] to a bias [R, C, 1, 1] for every site.

    Args:
        classes: length of a query row.
        width: embedding width H.
        sites: the BatchNorms to condition.
    """

    def __init__(self, classes: int, width: int, sites: Sequence[Site]) -> None:
        super().__init__()
        self.embedding = embedding(classes, width)
        self.film = FilmBank(width, sites)

    def forward(self, query_rn: Tensor) -> list[Tensor]:
        return [bias[:, :, None, None] for bias in self.film(self.embedding(query_rn))]
