"""Which sounds of other data sets are fit for scenes, and how they are kept.

Axes: F frames, C channels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sedsep.files import whole
from sedsep.scenes import audio
from sedsep.types import FloatArray

UNREADABLE = "unreadable"
SHORT = "too short"
QUIET = "too quiet"
GAP = "long silence"


class UnfitSound(Exception):
    """A sound is not fit for scenes; the message says why, in two words."""


@dataclass(frozen=True)
class Cleaning:
    """What is asked of a sound, and what is done to it.

    A scene takes up to `window_seconds` from anywhere in a file: a quiet stretch of that length would be a source that
    nobody hears.

    Args:
        sample_rate: of the files written, Hz.
        min_peak: magnitude (full scale 1) that a sound, and every window of it, must reach.
        min_seconds: shortest sound, without the zeros around it.
        window_seconds: length of the windows looked at.
        step_seconds: their spacing.
    """

    sample_rate: int
    min_peak: float = 0.02
    min_seconds: float = 0.1
    window_seconds: float = 10.0
    step_seconds: float = 0.1

    def clean(self, samples: FloatArray, rate: int) -> FloatArray:
        """Trim the zeros at both ends and resample.

        Args:
            samples: float32 [F, C].
            rate: theirs, Hz.

        Returns:
            Float32 [F, C] at `sample_rate`.

        Raises:
            UnfitSound: too quiet, too short, or with a stretch of silence.
        """
        levels = np.abs(samples).max(axis=1, initial=0.0)
        sounding = np.flatnonzero(levels)
        if not len(sounding) or levels.max() < self.min_peak:
            raise UnfitSound(QUIET)
        kept = slice(sounding[0], sounding[-1] + 1)
        if len(samples[kept]) < self.min_seconds * rate:
            raise UnfitSound(SHORT)
        step = max(round(self.step_seconds * rate), 1)
        steps = round(self.window_seconds / self.step_seconds)
        sound = levels[kept]
        peaks = sound[: len(sound) // step * step].reshape(-1, step).max(axis=1)
        if len(peaks) >= steps:  # shorter sounds have no window but the whole
            windows = np.lib.stride_tricks.sliding_window_view(peaks, steps)
            if windows.max(axis=1).min() < self.min_peak:
                raise UnfitSound(GAP)
        return audio.resample(np.ascontiguousarray(samples[kept]), rate, self.sample_rate)

    def write(self, content: bytes, path: Path) -> None:
        """Clean a sound file and write it as 16-bit WAV, which appears when it is whole.

        Args:
            content: of a file in any format libsndfile reads.
            path: where to.

        Raises:
            UnfitSound: it is not fit, and nothing is written.
        """
        try:
            with audio.opened(io.BytesIO(content)) as file:
                samples, rate = np.concatenate([*audio.decoded(file)]), file.samplerate
        except ValueError as error:
            raise UnfitSound(UNREADABLE) from error
        if not np.isfinite(samples.sum(dtype=np.float64)):
            raise UnfitSound(UNREADABLE)
        clean = self.clean(samples, rate)
        # Resampling may overshoot full scale; scenes set the level of each source themselves.
        clean /= max(np.abs(clean).max(), 1.0)
        with whole(path) as partial:
            audio.write(partial, clean, self.sample_rate)
