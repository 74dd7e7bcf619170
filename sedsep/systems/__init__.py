"""Lightning systems: step, log, optimiser groups."""

from sedsep.systems.groups import SedRates, SeparatorRates
from sedsep.systems.schedules import warmup_constant, warmup_cosine
from sedsep.systems.sed import SedSystem
from sedsep.systems.separation import SeparatorSystem

__all__ = ["SedRates", "SedSystem", "SeparatorRates", "SeparatorSystem", "warmup_constant", "warmup_cosine"]
