"""From nothing to the data set of a year of DCASE Task 4: downloads, archives, and the sounds of other data sets."""

from sedsep.datasets.challenge.assembly import Assembly, prepared
from sedsep.datasets.challenge.place import Licence
from sedsep.datasets.challenge.sounds import Cleaning
from sedsep.datasets.challenge.steps import Curated, Speech, ZenodoArchive

__all__ = ["Assembly", "Cleaning", "Curated", "Licence", "Speech", "ZenodoArchive", "prepared"]
