"""How well the events were named.

Axes: none; label sets are collections of class names or indices, in which a label may repeat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence

Labels = Collection[Hashable]


def exact(predicted: Labels, true: Labels) -> bool:
    """Whether a mixture's labels are named exactly, multiplicities included."""
    return Counter(predicted) == Counter(true)


def hits(predicted: Labels, true: Labels) -> int:
    """True positives: labels named, as often as they sound."""
    return sum((Counter(predicted) & Counter(true)).values())


def mixture_accuracy(predicted: Sequence[Labels], true: Sequence[Labels]) -> float:
    """Share of mixtures whose labels are named exactly, multiplicities included, in %."""
    named = sum(exact(p, t) for p, t in zip(predicted, true, strict=True))
    return 100.0 * named / len(true) if true else float("nan")


def source_accuracy(predicted: Sequence[Labels], true: Sequence[Labels]) -> float:
    """TP / (TP + FP + FN) summed over mixtures, in %; NaN when there is neither a prediction nor a source."""
    found = every = 0
    for p, t in zip(predicted, true, strict=True):
        both = hits(p, t)
        found += both
        every += len(p) + len(t) - both
    return 100.0 * found / every if every else float("nan")


def constant_answer_accuracy(true: Sequence[Labels]) -> float:
    """Mixture accuracy of always answering the most frequent label set, in %: what a tagger has to beat."""
    counts = Counter(frozenset(Counter(t).items()) for t in true)
    return 100.0 * max(counts.values()) / len(true) if true else float("nan")
