"""The task's metrics."""

from sedsep.metrics.ca_sdri import ClassScore, ca_sdri, label_rows, score_mixture
from sedsep.metrics.labels import constant_answer_accuracy, mixture_accuracy, source_accuracy

__all__ = [
    "ClassScore",
    "ca_sdri",
    "constant_answer_accuracy",
    "label_rows",
    "mixture_accuracy",
    "score_mixture",
    "source_accuracy",
]
