"""Two-stage evaluation and its label sources."""

from sedsep.evaluation.evaluator import FILES, ORACLE, Evaluator, FileJudge, Heard, Judged
from sedsep.evaluation.label_sources import SOURCES, cached_probabilities, labels_of
from sedsep.evaluation.results import CONSTANT, Evaluation
from sedsep.evaluation.separating import Found, separate_sources, true_classes, true_sources

__all__ = [
    "CONSTANT",
    "FILES",
    "ORACLE",
    "SOURCES",
    "Evaluation",
    "Evaluator",
    "FileJudge",
    "Found",
    "Heard",
    "Judged",
    "cached_probabilities",
    "labels_of",
    "separate_sources",
    "true_classes",
    "true_sources",
]
