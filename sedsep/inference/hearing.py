"""What an ear makes of a recording that was taken apart, from the files it was written to.

Axes: f frames at the recording's rate, F frames at the ear's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sedsep.evaluation.ear import Ear
from sedsep.inference.chunks import FrameQueue, Span, resampled, windows
from sedsep.inference.job import SeparationJob, factor
from sedsep.inference.recordings import from_file
from sedsep.types import FloatArray

HeardSounds = dict[str, tuple[float | None, float | None]]


def hear(ear: Ear, job: SeparationJob, files: Mapping[str, Path], residual: Path) -> HeardSounds:
    """Probability of each sound in its stem and in the residual; `None` of those that the ear does not know.

    Stems are heard as much louder or softer than they are as the recording was: what is faint beside it stays faint.

    Args:
        ear: listens.
        job: of the recording.
        files: the stems, by label.
        residual: what is left.
    """

    def judged(path: Path) -> dict[str, float]:
        recording = from_file(path)
        length = math.ceil(recording.frames * ear.rate / recording.rate)
        stream = resampled(recording.blocks(), recording.rate, ear.rate, 1, lambda: length)
        spans = [Span(start, stop, start, stop) for start, stop in ear.pieces(length)]
        return ear.judge(heard(samples) for _, samples in windows(FrameQueue(stream), spans))

    def heard(samples: FloatArray) -> Tensor:
        return torch.from_numpy(samples[:, 0] * factor(job.gain_db)).to(job.system.device)

    ear.to(job.system.device)
    known = [label for label in job.labels if label in ear.labels]
    left = judged(residual) if known else {}
    return {
        label: (judged(files[label])[label], left[label]) if label in known else (None, None) for label in job.labels
    }
