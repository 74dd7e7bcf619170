"""The contract of a condition: what a separator is told beside the mixture.

A separator makes its conditions from a `Host` and takes them all alike: `prepare` once, before the first pass, and
`forward` at their site. A new one is a class that keeps to this, and a config that names it under
`conditioning.conditions`.

Axes: B mixtures, R rows (one query of one mixture each), N classes, C channels, T frames, F bins, D SED width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from sedsep.modules.film import FilmBank, Site
from sedsep.types import SedOutput


@dataclass(frozen=True)
class Host:
    """The separator that a condition is made for.

    Attributes:
        query: length of a row's query, N for each waveform that the row gives.
        width: of embeddings.
        sites: the BatchNorms that take FiLM terms, in the order they are met.
        channels: C of the innermost map.
        sed_layers: layer features of the SED model; 0 without one.
        sed_width: D; 0 without a SED model.
        queries: that a row answers at once, K.
    """

    query: int
    width: int
    sites: Sequence[Site]
    channels: int
    sed_layers: int = 0
    sed_width: int = 0
    queries: int = 1


@dataclass(frozen=True)
class Maps:
    """What a separator offers its conditions for mixtures of some length.

    Attributes:
        frames: T of the widest map, padding included.
        bottleneck: (T, F) of the innermost map.
        film: FiLM layers that conditions may share: the label's.
    """

    frames: int
    bottleneck: tuple[int, int]
    film: FilmBank


class Condition(nn.Module):
    """What every condition is. Called as it stands, it says nothing.

    Attributes:
        title: its name in errors.
        site: `film` to act on the FiLM terms of every BatchNorm, `bottleneck` to act on the innermost map.
        per_row: prepared for each row; otherwise once a mixture, as a tensor [B, ...] that its rows then share.
        reads: what it takes from the SED model: `frames` (strong logits), `layers`.
        teaches: those of `reads` that a gradient goes back through.
    """

    title = "This condition"
    site: Literal["film", "bottleneck"] = "film"
    per_row = True
    reads: frozenset[str] = frozenset()
    teaches: frozenset[str] = frozenset()

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> Any:
        """Whatever does not change from pass to pass.

        Args:
            query: one-hot rows [R, N], or [R, K * N]; zeros for silence. Where not `per_row`: the mixtures' [B, K, N].
            sed: of the same rows or mixtures, with what it `reads`; `None` where nothing reads any.
            maps: sizes to fit.
        """

    def forward(self, x: Any, prepared: Any) -> Any:
        """The FiLM terms of every site, or the innermost map [R, C, T, F], with the condition applied."""
        return x


class NoCondition(Condition):
    """The explicit none, to put in another one's place."""

    def __init__(self, host: Host) -> None:
        super().__init__()
