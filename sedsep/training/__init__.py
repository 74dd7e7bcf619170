"""Lightning systems: step, log, optimiser groups."""

from sedsep.training.augment import FilterAugment, FrequencyWarp, Mixup, SpecAugment
from sedsep.training.averaging import EpochAverage, MovingAverage
from sedsep.training.checkpointing import LastCheckpoint
from sedsep.training.groups import SedRates, SeparatorRates
from sedsep.training.schedules import warmup_constant, warmup_cosine, warmup_linear
from sedsep.training.sed import SedSystem
from sedsep.training.separator import SeparatorSystem
from sedsep.training.speed import Speed
from sedsep.training.unlabelled import UnlabelledSystem

__all__ = [
    "EpochAverage",
    "FilterAugment",
    "FrequencyWarp",
    "LastCheckpoint",
    "Mixup",
    "MovingAverage",
    "SedRates",
    "SedSystem",
    "SeparatorRates",
    "SeparatorSystem",
    "SpecAugment",
    "Speed",
    "UnlabelledSystem",
    "warmup_constant",
    "warmup_cosine",
    "warmup_linear",
]
