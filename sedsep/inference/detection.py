"""What a SED model hears in a recording, and the events in it.

Axes: N classes, S frames of the whole recording, P pieces, s frames of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sedsep.events import EventRule
from sedsep.inference.chunks import Span
from sedsep.types import FloatArray

FRAME_S = 0.04
"""A frame where the SED model has none of its own."""


@dataclass(frozen=True)
class SoundEvent:
    """A sound and when it was heard.

    Attributes:
        label: its class.
        onset: seconds.
        offset: seconds.
        probability: the SED model's mean while it lasts.
    """

    label: str
    onset: float
    offset: float
    probability: float


@dataclass(frozen=True)
class Detection:
    """What a SED model says of a recording.

    Attributes:
        names: of the N classes.
        activity: probability of each at each frame, float32 [N, S].
        frame_s: seconds a frame.
        duration: of the recording, seconds.
        pieces: probability that each sounds in each of the pieces it was heard in, float32 [N, P].
    """

    names: tuple[str, ...]
    activity: FloatArray
    frame_s: float
    duration: float
    pieces: FloatArray

    @property
    def probabilities(self) -> dict[str, float]:
        """Of each class, that it sounds in the piece where it is likeliest; the likeliest class first."""
        highest = dict(zip(self.names, self.pieces.max(axis=1).tolist(), strict=True))
        return dict(sorted(highest.items(), key=lambda item: -item[1]))

    def events(self, thresholds: Mapping[str, float], rule: EventRule = EventRule()) -> list[SoundEvent]:  # noqa: B008
        """When each of some classes is at or above its threshold, without flicker, in order of onset."""
        smooth, events = rule.smooth(self.activity, self.names, self.frame_s), []
        for label, threshold in thresholds.items():
            row = self.names.index(label)
            curve, active = self.activity[row], smooth[row] >= threshold
            turns = np.flatnonzero(np.diff(active, prepend=False, append=False)).reshape(-1, 2)
            for start, stop in turns.tolist():
                onset, offset = start * self.frame_s, min(stop * self.frame_s, self.duration)
                events.append(SoundEvent(label, onset, offset, float(curve[start:stop].mean())))
        return sorted(events, key=lambda event: (event.onset, event.label))


def combine(
    names: Sequence[str], clips: Sequence[FloatArray], strong: Sequence[FloatArray], pieces: Sequence[Span], rate: int
) -> Detection:
    """One curve a class from those of overlapping pieces; each frame is taken from the piece whose edges are farther.

    Args:
        names: of the N classes.
        clips: [N] of each piece.
        strong: [N, s] of each piece.
        pieces: of the recording.
        rate: Hz that pieces are counted at.
    """
    duration = pieces[-1].stop / rate
    frames = max(1, round(duration / FRAME_S))
    centres = (np.arange(frames) + 0.5) * FRAME_S * rate
    turns = [(one.keep_to + after.keep_from) / 2 for one, after in pairwise(pieces)]
    owner = np.searchsorted(turns, centres, side="right")
    activity = np.empty((len(names), frames), np.float32)
    for index, (piece, curve) in enumerate(zip(pieces, strong, strict=True)):
        own = owner == index
        place = (centres[own] - piece.start) / (piece.stop - piece.start) * curve.shape[1]
        activity[:, own] = curve[:, np.minimum(place.astype(int), curve.shape[1] - 1)]
    return Detection(tuple(names), activity, FRAME_S, duration, np.stack(clips, axis=1))
