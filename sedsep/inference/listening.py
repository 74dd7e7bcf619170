"""A tagger alone on a recording of any length, window by window.

Axes: W windows, N classes, F frames at the tagger's rate, M microphones.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sedsep.inference.chunks import FrameQueue, Span, resampled, windows
from sedsep.inference.job import TRAINED_LEVELS, factor
from sedsep.inference.recordings import Recording, channel_mix
from sedsep.models.sed import SedModel
from sedsep.types import FloatArray


@torch.inference_mode()
def window_probabilities(tagger: SedModel, recording: Recording, seconds: float) -> FloatArray:
    """Probabilities [W, N] of a recording's windows, which is streamed and heard at a level as in training.

    Args:
        tagger: in evaluation mode.
        recording: what is left at its end of no window's length is not heard, but where it is all there is.
        seconds: of a window.
    """
    window = max(round(seconds * tagger.input_rate), tagger.shortest)
    length = math.ceil(recording.frames * tagger.input_rate / recording.rate)
    starts = range(0, max(1, length - window + 1), window)
    matrix = channel_mix(recording.channels, max(tagger.microphones, tagger.reference_channel + 1)).matrix
    if math.isfinite(recording.level):
        matrix = matrix * factor(float(np.clip(recording.level, *TRAINED_LEVELS)) - recording.level)
    blocks = (block @ matrix.T for block in recording.blocks())
    stream = resampled(blocks, recording.rate, tagger.input_rate, len(matrix), lambda: length)
    device = next(tagger.parameters()).device
    probabilities = [
        tagger(torch.from_numpy(np.ascontiguousarray(frames.T)).to(device)[None]).clip_probabilities[0].cpu().numpy()
        for _, frames in windows(FrameQueue(stream), (Span(start, start + window, start, start) for start in starts))
    ]
    return np.stack(probabilities)
