"""What is injected into a separator; each unit can be left out or swapped by config."""

from sedsep.conditioning.label import FilmBank, LabelFilm
from sedsep.conditioning.soundbeam import Soundbeam
from sedsep.conditioning.time_film import TimeFilm

__all__ = ["FilmBank", "LabelFilm", "Soundbeam", "TimeFilm"]
