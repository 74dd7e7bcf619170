"""Parametric sound events: each class is a small physical caricature, drawn anew for every file.

Every pitch, rate, resonance and spectral tilt is drawn per file, so that a class is a family and not a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from numpy.random import Generator

from sedsep.datasets.synthesis import machines, nature, struck
from sedsep.datasets.synthesis.blocks import Line, Wave, recording
from sedsep.types import FloatArray

SoundGenerator = Callable[[Generator, int, float], FloatArray]
"""`(rng, sample_rate, duration) -> float32 [round(duration * sample_rate)]`, mono, with a peak of `blocks.PEAK`."""


def _recordings(**models: Callable[[Line, Generator], Wave]) -> dict[str, SoundGenerator]:
    return {name: partial(recording, model) for name, model in models.items()}


EVENTS = _recordings(
    AlarmClock=machines.alarm_clock,
    BicycleBell=struck.bicycle_bell,
    Blender=machines.blender,
    Buzzer=machines.buzzer,
    Clapping=struck.clapping,
    Cough=nature.cough,
    CupboardOpenClose=struck.cupboard,
    Dishes=struck.dishes,
    Doorbell=struck.doorbell,
    FootSteps=struck.footsteps,
    HairDryer=machines.hair_dryer,
    MechanicalFans=machines.mechanical_fan,
    MusicalKeyboard=struck.musical_keyboard,
    Percussion=struck.percussion,
    Pour=nature.pour,
    Speech=nature.speech,
    Typing=struck.typing,
    VacuumCleaner=machines.vacuum_cleaner,
)
"""The target classes, by the names of the DCASE 2025 challenge, Task 4."""

INTERFERENCE = _recordings(
    Rain=nature.rain,
    Wind=nature.wind,
    Engine=machines.engine,
    DogBark=nature.dog_bark,
    Birds=nature.birds,
    Thunder=nature.thunder,
    Siren=machines.siren,
    Crickets=nature.crickets,
)
"""Sounds that a scene may hold and nobody asks for."""
