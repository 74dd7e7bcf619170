"""The task's metrics; `sedsep.metrics.aggregate` has them for several devices, as torchmetrics."""

from sedsep.metrics.bootstrap import Bootstrap, Estimate
from sedsep.metrics.labels import constant_answer_accuracy, mixture_accuracy, source_accuracy
from sedsep.metrics.rows import METRICS, MixtureRow, by_class, by_count, by_level, separated_row, summarise
from sedsep.metrics.sdri import ClassScore, ca_sdri, label_rows, score_mixture
from sedsep.metrics.sed import SedEvent, SedScene, SedScore, collar_f1, psds1, sed_scenes, segment_pauroc

__all__ = [
    "METRICS",
    "Bootstrap",
    "ClassScore",
    "Estimate",
    "MixtureRow",
    "SedEvent",
    "SedScene",
    "SedScore",
    "by_class",
    "by_count",
    "by_level",
    "ca_sdri",
    "collar_f1",
    "constant_answer_accuracy",
    "label_rows",
    "mixture_accuracy",
    "psds1",
    "score_mixture",
    "sed_scenes",
    "segment_pauroc",
    "separated_row",
    "source_accuracy",
    "summarise",
]
