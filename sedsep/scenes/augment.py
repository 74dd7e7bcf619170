"""What training may draw in place of a scene: turned and mirrored, its sounds coloured, short sounds in a row.

Labels and times stay. All draws come from the generator handed over, which is the scene's own: an augmented scene is a
function of (seed, epoch, index), too. With `pool` a scene is drawn once, and so is what becomes of it.

Axes: M = 4 channels, N taps, L samples, F of a source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import firwin2, oaconvolve

from sedsep.errors import UserError
from sedsep.scenes.mixing import SceneParts, Sound
from sedsep.types import FloatArray

Augment = Callable[[SceneParts, Generator], SceneParts]

TAPS = 1025
"""Of the filter of an equaliser: it tells frequencies apart that lie 1/512 of the highest one from each other."""


@dataclass(frozen=True)
class Rotation:
    """Turns a scene about the vertical axis and mirrors it left to right, top to bottom (after Mazzon et al. 2019).

    W, the reference of the targets, stays as it is; Y, Z and X turn as the directions do. Floors stay level: no other
    rotation, which recordings would not have.

    Attributes:
        probability: of a scene to be turned, by any angle, and then mirrored each way as often as not.

    Raises:
        UserError: a probability that is none.
    """

    probability: float = 1.0

    def __post_init__(self) -> None:
        _check_probability(self.probability, "rotation")

    def __call__(self, parts: SceneParts, rng: Generator) -> SceneParts:
        """The scene as heard when all directions have changed."""
        if rng.random() >= self.probability:
            return parts
        angle, (left, up) = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1], size=2)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        return change_directions(parts, np.diag([1, left, up]) @ turn)


def change_directions(parts: SceneParts, change_xyz: NDArray[np.float64]) -> SceneParts:
    """A scene whose directions (x, y, z) are multiplied by an orthogonal matrix [3, 3]; FOA in ACN order (W, Y, Z, X),
    whose first-order channels have gains in common, be they SN3D or N3D."""
    yzx = [1, 2, 0]
    matrix = np.eye(4, dtype=np.float32)
    matrix[1:, 1:] = change_xyz[np.ix_(yzx, yzx)]
    sounds = tuple(replace(sound, response=matrix @ sound.response) for sound in parts.sounds)
    return replace(parts, background=matrix @ parts.background, sounds=sounds)


@dataclass(frozen=True)
class Equaliser:
    """Changes the level of a sound, and the gain of each of its octaves. The target, played from the same source,
    changes with it.

    Attributes:
        probability: of each target and interfering sound to be changed.
        level_db: most that its level goes up or down, uniform.
        octave_db: most that an octave does, each for itself; in between gains are interpolated.

    Raises:
        UserError: a probability or a change that is none.
    """

    probability: float = 0.5
    level_db: float = 6.0
    octave_db: float = 6.0

    def __post_init__(self) -> None:
        _check_probability(self.probability, "equaliser")
        for name in ("level_db", "octave_db"):
            if getattr(self, name) < 0:
                raise UserError(f"equaliser.{name}={getattr(self, name)} is no range: choose a number from 0.")

    def __call__(self, parts: SceneParts, rng: Generator) -> SceneParts:
        """The scene with other sounds in the same places."""
        sounds = [self._change(sound, rng) if rng.random() < self.probability else sound for sound in parts.sounds]
        return replace(parts, sounds=tuple(sounds))

    def _change(self, sound: Sound, rng: Generator) -> Sound:
        level_db = sound.level_db + rng.uniform(-self.level_db, self.level_db)
        octaves = 2.0 ** np.arange(-7, 1, dtype=np.float64)  # of the highest frequency: 125 Hz to 16 kHz at 32 kHz
        gains_db = rng.uniform(-self.octave_db, self.octave_db, len(octaves))
        return replace(sound, level_db=level_db, source=equalised(sound.source, octaves, gains_db))


def equalised(source: FloatArray, frequencies: NDArray[np.float64], gains_db: NDArray[np.float64]) -> FloatArray:
    """A source [F] with other gains at some frequencies, in place and with peak 1 (unless it is silent).

    Args:
        source: the source.
        frequencies: rising, as shares of the highest one, which is the last.
        gains_db: at them; the first one below, too.
    """
    gains = 10 ** (np.concatenate([gains_db[:1], gains_db]) / 20)
    response = firwin2(TAPS, np.concatenate([[0.0], frequencies]), gains).astype(np.float32)
    changed = oaconvolve(source, response)[TAPS // 2 :][: len(source)]  # of linear phase: no sound moves
    peak = np.abs(changed).max(initial=0.0)
    return changed / peak if peak > 0 else changed


@dataclass(frozen=True)
class Joining:
    """Follows a short sound with others of its class, as if the source had sounded again and again.

    They become one event, pauses included, with one label, place and level; `SceneSampler` draws them.

    Attributes:
        probability: of a short sound to be followed.
        shorter: than so many seconds are short sounds.
        pause: shortest and longest between two, seconds.

    Raises:
        UserError: a probability or a range that is none.
    """

    probability: float = 0.5
    shorter: float = 2.0
    pause: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        _check_probability(self.probability, "joining")
        if not 0 <= self.pause[0] <= self.pause[1]:
            raise UserError(
                f"joining.pause={list(self.pause)} is no range: give two numbers from 0, the smaller first."
            )


def _check_probability(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name}.probability={value} is no probability: choose one from 0 to 1.")
