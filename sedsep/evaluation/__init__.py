"""Two-stage evaluation and its label sources."""

from sedsep.evaluation.evaluator import Evaluation, MixtureResult, evaluate, separate_sources, true_sources
from sedsep.evaluation.label_sources import SOURCES, cached_probabilities, labels_of, oracle_labels

__all__ = [
    "SOURCES",
    "Evaluation",
    "MixtureResult",
    "cached_probabilities",
    "evaluate",
    "labels_of",
    "oracle_labels",
    "separate_sources",
    "true_sources",
]
