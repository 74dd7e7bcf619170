"""How well the events were named.

Axes: none; label sets are Python sets of class names or indices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence


def mixture_accuracy(predicted: Sequence[Collection[Hashable]], true: Sequence[Collection[Hashable]]) -> float:
    """Share of mixtures whose labels are named exactly, multiplicities included, in %."""
    hits = sum(Counter(p) == Counter(t) for p, t in zip(predicted, true, strict=True))
    return 100.0 * hits / len(true) if true else float("nan")


def source_accuracy(predicted: Sequence[Collection[Hashable]], true: Sequence[Collection[Hashable]]) -> float:
    """TP / (TP + FP + FN) summed over mixtures, in %; NaN when there is neither a prediction nor a source."""
    hits = errors = 0
    for p, t in zip(predicted, true, strict=True):
        both = sum((Counter(p) & Counter(t)).values())
        hits += both
        errors += len(p) + len(t) - 2 * both
    return 100.0 * hits / (hits + errors) if hits + errors else float("nan")


def constant_answer_accuracy(true: Sequence[Collection[Hashable]]) -> float:
    """Mixture accuracy of always answering the most frequent label set, in %: what a tagger has to beat."""
    counts = Counter(frozenset(Counter(t).items()) for t in true)
    return 100.0 * max(counts.values()) / len(true) if true else float("nan")
