"""Sound taken apart while it arrives, from a microphone or a file: the chunks of `SeparationJob`, one at a time.

Axes: F frames at the networks' rate, f at the stream's, C channels, K stems.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sedsep.errors import UserError
from sedsep.inference.chunks import FrameQueue, Span, joined, resampled, windows
from sedsep.inference.job import Request, factor, heard, listened, separated
from sedsep.inference.recordings import channel_mix, frames_first, from_array
from sedsep.types import FloatArray

if TYPE_CHECKING:
    from sedsep.inference.separator import SceneSeparator

FILTERS = 2700
"""Frames of the lower rate that filters hold back on the way in and out; measured: 1171 to 2679."""


class SceneStream:
    """Stems of sound that is still coming: iterate to have them, block by block and in order.

    Each step gives stems, float32 [f, K], and the residual [f], at the stream's rate. Chunks are those of a recording
    of the same sound, and so are the stems, but that a stream has no level of its own, and its chunks are guided one by
    one (`Request.guided_by_chunk`).

    Args:
        system: takes it apart.
        blocks: samples [f], or [C, f], of any length; the next one is asked for when it is needed.
        sample_rate: Hz.
        request: what is wanted; without labels each chunk is asked for what is heard in it. Its levels do not count.
        gain_db: by how much louder than it comes networks hear it.

    Attributes:
        labels: the K sounds: those asked for, or all.
        latency_s: a frame's stems come at most so many seconds of sound after it, and what computing takes.

    Raises:
        UserError: as `SceneSeparator.check`.
    """

    def __init__(
        self,
        system: SceneSeparator,
        blocks: Iterable[FloatArray | Tensor],
        sample_rate: int,
        request: Request,
        gain_db: float = 0.0,
    ) -> None:
        system.check(request)
        self._system, self._blocks, self._rate, self._gain_db = system, blocks, sample_rate, gain_db
        self._request = replace(request, per_chunk=request.per_chunk or request.labels is None)
        self.labels = request.labels or system.labels
        waits = 0.0 if sample_rate == system.rate else FILTERS / min(sample_rate, system.rate)
        self.latency_s = (system.chunk + system.step) / system.rate + waits
        self._arrived, self._busy = 0, 0.0

    @property
    def real_time_factor(self) -> float:
        """Seconds that networks took for a second of sound until now; below 1 they keep pace."""
        return self._busy * self._rate / max(1, self._arrived)

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        system, rate = self._system, self._rate
        arrivals = self._arrivals()
        if (first := next(arrivals, None)) is None:
            return
        mix = channel_mix(first.shape[1], system.network.microphones).matrix
        reference: list[FloatArray] = []

        def mixed() -> Iterator[FloatArray]:
            for block in chain([first], arrivals):
                if block.shape[1] != first.shape[1]:
                    raise UserError(
                        f"A block has {block.shape[1]} channels, the first had {first.shape[1]}: keep them."
                    )
                reference.append(block @ mix[0])
                yield block @ (mix * factor(self._gain_db)).T

        def length() -> int:
            return math.ceil(self._arrived * system.rate / rate)

        queue = FrameQueue(resampled(mixed(), rate, system.rate, len(mix), length))
        chunks = ((piece, self._chunk(piece, window)) for piece, window in windows(queue, system.spans(queue.reached)))
        estimates = joined(chunks, system.fade)
        for stems in resampled(estimates, system.rate, rate, len(self.labels), lambda: self._arrived):
            waiting = np.concatenate(reference)
            reference[:] = [waiting[len(stems) :]]
            yield stems, waiting[: len(stems)] - stems.sum(axis=1)

    def _arrivals(self) -> Iterator[FloatArray]:
        """The blocks [f, C] that hold something."""
        for block in self._blocks:
            samples = frames_first(block)
            if len(samples):
                from_array(samples, self._rate)  # refuses what no recording may hold
                self._arrived += len(samples)
                yield samples

    def _chunk(self, piece: Span, window: FloatArray) -> FloatArray:
        """Stems [F, K] of a chunk."""
        system, request, begin = self._system, self._request, time.perf_counter()
        mixture, asked = heard(system, window), [True] * len(self.labels)
        if request.per_chunk:
            assert system.listener is not None
            clip, _ = listened(system, system.listener, mixture, piece)
            named = request.names(torch.from_numpy(clip)[None])[0]
            asked = [system.label_set.index(label) in named for label in self.labels]
        stems = separated(system, mixture, piece, self.labels, asked, request, self._gain_db)
        self._busy += time.perf_counter() - begin
        return stems
