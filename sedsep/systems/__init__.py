"""Lightning systems: step, log, optimiser groups."""

from sedsep.systems.augment import FrequencyWarp, Mixup
from sedsep.systems.checkpointing import LastCheckpoint
from sedsep.systems.groups import SedRates, SeparatorRates
from sedsep.systems.schedules import warmup_constant, warmup_cosine, warmup_linear
from sedsep.systems.sed import SedSystem
from sedsep.systems.separation import SeparatorSystem
from sedsep.systems.speed import Speed

__all__ = [
    "FrequencyWarp",
    "LastCheckpoint",
    "Mixup",
    "SedRates",
    "SedSystem",
    "SeparatorRates",
    "SeparatorSystem",
    "Speed",
    "warmup_constant",
    "warmup_cosine",
    "warmup_linear",
]
