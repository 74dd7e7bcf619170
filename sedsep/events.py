"""From a SED model's frame-wise probabilities to events: flicker out of the curves.

Axes: N classes, S frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sedsep.errors import UserError
from sedsep.types import FloatArray


@dataclass(frozen=True)
class EventRule:
    """What is flicker in a curve of probabilities, and what an event.

    Each step is a filter of the curve itself that does at every threshold at once what its name says (flat
    morphology commutes with thresholding), so a list of events and PSDS, which tries all thresholds, see the same.
    What lies at an end of the recording may go on beyond it and is left as it is.

    Args:
        median: width in seconds of a median filter over each curve; 0 for none.
        medians: other widths, by class.
        shortest_gap: pauses of less, in seconds, between two events of a class are part of one event; 0 for none.
        shortest_event: events of less, in seconds, are dropped; 0 for none.

    Raises:
        UserError: a duration that is negative or not finite.
    """

    median: float = 0.28
    medians: Mapping[str, float] = field(default_factory=dict)
    shortest_gap: float = 0.6
    shortest_event: float = 0.24

    def __post_init__(self) -> None:
        durations = {name: getattr(self, name) for name in ("median", "shortest_gap", "shortest_event")}
        for name, seconds in (durations | {f"medians.{label}": width for label, width in self.medians.items()}).items():
            if not 0 <= seconds < math.inf:
                raise UserError(f"events.{name}={seconds} is no duration: give seconds, 0 for none.")

    def smooth(self, activity_ns: FloatArray, names: Sequence[str], frame_s: float) -> FloatArray:
        """The curves without flicker.

        Args:
            activity_ns: probabilities.
            names: of the N classes.
            frame_s: seconds a frame.

        Returns:
            Probabilities [N, S].

        Raises:
            UserError: `medians` names a class that is none of them.
        """
        from scipy.ndimage import grey_closing, grey_opening, median_filter  # half a second

        if unknown := sorted(set(self.medians) - set(names)):
            raise UserError(f"events.medians names {', '.join(unknown)}, which is no class: use {', '.join(names)}.")
        # A filter of so many frames takes what is shorter.
        gap, event = (math.ceil(round(seconds / frame_s, 6)) for seconds in (self.shortest_gap, self.shortest_event))
        margin = gap + event
        smooth = np.empty_like(activity_ns)
        for row, (name, curve) in enumerate(zip(names, activity_ns, strict=True)):
            width = round(self.medians.get(name, self.median) / frame_s) | 1
            padded = np.pad(median_filter(curve, width, mode="nearest"), margin, mode="edge")
            padded = grey_opening(grey_closing(padded, max(gap, 1)), max(event, 1))
            smooth[row] = padded[margin : margin + len(curve)]
        return smooth
