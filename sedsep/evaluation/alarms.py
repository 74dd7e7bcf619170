"""How often a tagger names what does not sound, in hours without targets, against how often it misses what does.

Axes: W windows, V scenes, N classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sedsep.labelling import SURE, PerClass
from sedsep.types import FloatArray


@dataclass(frozen=True)
class Operation:
    """A class at a threshold.

    Attributes:
        threshold: probability from which it is named.
        alarms_per_hour: windows without targets in which it is named.
        recall: of the scenes in which it sounds, those in which it is named, %; NaN where it sounds in none.
    """

    threshold: float
    alarms_per_hour: float
    recall: float


@dataclass(frozen=True)
class Alarms:
    """What a tagger says where nothing sounds that it knows, and of scenes whose labels are known.

    Attributes:
        labels: the classes.
        hours: of sound without targets.
        windows: probabilities there [W, N].
        scenes: probabilities of the labelled scenes [V, N].
        true: whether each class sounds in them, bool [V, N].
    """

    labels: Sequence[str]
    hours: float
    windows: FloatArray
    scenes: FloatArray
    true: NDArray[np.bool_]

    def at(self, label: str, threshold: float) -> Operation:
        """A class at a threshold."""
        index = list(self.labels).index(label)
        alarms = np.count_nonzero(self.windows[:, index] >= np.float32(threshold))
        sounding = self.scenes[self.true[:, index], index] >= np.float32(threshold)
        return Operation(threshold, alarms / self.hours, 100 * float(sounding.mean()) if sounding.size else math.nan)

    def curve(self, label: str) -> list[Operation]:
        """A class at each threshold that lets one more window through, the highest first: that lets none through."""
        index = list(self.labels).index(label)
        column = np.unique(self.windows[:, index])[::-1]
        return [self.at(label, self._above(column[0])), *(self.at(label, float(value)) for value in column)]

    def wanted(self, rate: float) -> dict[str, Operation]:
        """Each class at the lowest threshold with at most so many alarms an hour."""
        allowed = math.floor(rate * self.hours + 1e-9)
        operations = {}
        for index, label in enumerate(self.labels):
            ranked = np.sort(self.windows[:, index])[::-1]
            threshold = self._above(ranked[allowed]) if allowed < len(ranked) else SURE
            operations[label] = self.at(label, threshold)
        return operations

    def labelling(self, rate: float) -> PerClass:
        """The thresholds of `wanted`, to choose labels by."""
        return PerClass({label: one.threshold for label, one in self.wanted(rate).items()})

    @staticmethod
    def _above(value: np.float32) -> float:
        """The next number of float32, below 1 in any case: a tagger that is so sure cannot be kept quiet."""
        return float(min(np.nextafter(value, np.float32(1)), np.nextafter(np.float32(1), np.float32(0))))
