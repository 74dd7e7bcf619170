"""What is injected into a separator; each condition can be left out or swapped by config."""

from sedsep.conditioning.base import Condition, Host, Maps, NoCondition
from sedsep.conditioning.label import LabelFilm
from sedsep.conditioning.soundbeam import Soundbeam
from sedsep.conditioning.time_film import TimeFilm

__all__ = ["Condition", "Host", "LabelFilm", "Maps", "NoCondition", "Soundbeam", "TimeFilm"]
