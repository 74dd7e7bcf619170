"""From nothing to the data set of DCASE 2025 Task 4: downloads, archives, and the sounds of other data sets."""

from sedsep.datasets.dcase2025.assembly import Assembly, prepared
from sedsep.datasets.dcase2025.place import Licence
from sedsep.datasets.dcase2025.sounds import Cleaning
from sedsep.datasets.dcase2025.steps import Curated, Speech, ZenodoArchive

__all__ = ["Assembly", "Cleaning", "Curated", "Licence", "Speech", "ZenodoArchive", "prepared"]
