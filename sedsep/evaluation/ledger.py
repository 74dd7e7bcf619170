"""The ledger: where the decibels between a system's score and its ceiling are lost.

Each part is what one link of the chain (`sedsep.evaluation.chain`) scores more than the one before, in the metric that
systems are ranked by: of a mixture, of a class, and of all mixtures. The parts add up to the distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sedsep.evaluation.chain import LINKS, OWN, Chain
from sedsep.metrics.bootstrap import Bootstrap, Estimate, differences, ratios
from sedsep.metrics.registry import CEILING, LEDGER, REFERENCES
from sedsep.metrics.rows import PARTS, MixtureRow, Part, class_part


@dataclass(frozen=True)
class Account:
    """A score, what is lost between it and its ceiling, and the ceiling, dB.

    Attributes:
        score: of the system as it is.
        lost: by part, in the order of `LEDGER`.
        ceiling: of the best complex mask.
    """

    score: Estimate
    lost: dict[str, Estimate]
    ceiling: Estimate


@dataclass(frozen=True)
class Ledger:
    """The ledger of a system.

    Attributes:
        source: the label source that it is of.
        overall: of all mixtures, with intervals.
        references: what else knows the truth, in the same metric.
        by_class: of the classes that sound.
        events: how often each of them sounds.
    """

    source: str
    overall: Account
    references: dict[str, Estimate]
    by_class: dict[str, Account]
    events: dict[str, int]

    @property
    def metrics(self) -> dict[str, Estimate]:
        """By the names of their metrics."""
        named = {LEDGER[part].name: lost for part, lost in self.overall.lost.items()}
        named[CEILING.name] = self.overall.ceiling
        return named | {REFERENCES[name].name: score for name, score in self.references.items()}


def make_ledger(chains: Sequence[Chain], ranking: str, bootstrap: Bootstrap) -> Ledger:
    """The ledger of mixtures.

    Args:
        chains: of each.
        ranking: the metric.
        bootstrap: of the intervals; classes have none.
    """
    events = Counter(label for chain in chains for label in chain[OWN].true)
    references = _table(chains, tuple(REFERENCES), PARTS[ranking])
    return Ledger(
        chains[0][OWN].labels_from,
        _account(chains, PARTS[ranking], bootstrap),
        dict(zip(REFERENCES, ratios(references, bootstrap), strict=True)),
        {label: _account(chains, class_part(label), Bootstrap(0)) for label in sorted(events)},
        {label: events[label] for label in sorted(events)},
    )


def lost_in(chain: Chain, ranking: str) -> dict[str, float | None]:
    """What is lost in a mixture, by the names of the metrics, and its ceiling; `None` where a link has no score.

    A mixture in which nothing sounds has no ceiling: what is invented there counts 0 dB, and is left out of the mean
    once it is gone.
    """
    parts = [PARTS[ranking](chain[link]) if chain else (0.0, 0.0) for link in LINKS]
    scores = [total / count if count else None for total, count in parts]
    lost = {
        LEDGER[part].name: None if last is None or score is None else score - last
        for part, last, score in zip(LEDGER, scores, scores[1:], strict=False)
    }
    return {**lost, CEILING.name: scores[-1]}


def _account(chains: Sequence[Chain], part: Callable[[MixtureRow], Part], bootstrap: Bootstrap) -> Account:
    table_nm2 = _table(chains, LINKS, part)
    scores = ratios(table_nm2, bootstrap)
    lost = differences(table_nm2[:, :-1], table_nm2[:, 1:], bootstrap)
    return Account(scores[0], dict(zip(LEDGER, lost, strict=True)), scores[-1])


def _table(chains: Sequence[Chain], links: Sequence[str], part: Callable[[MixtureRow], Part]) -> NDArray[np.float64]:
    """Numerators and denominators of a metric, by mixture and link."""
    return np.array([[part(chain[link]) for link in links] for chain in chains], dtype=float)
