"""Long recordings piece by piece: spans that overlap, the rate on the way, and estimates put together again.

Axes: F frames, C channels or stems. Streams are iterators of arrays [f, C] of any length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import soxr

from sedsep.scenes.audio import fit
from sedsep.types import FloatArray


@dataclass(frozen=True)
class Span:
    """A piece that is processed at once; what is kept of neighbours overlaps by the fade between them.

    Attributes:
        start: its first frame.
        stop: the frame after its last.
        keep_from: the first frame that is kept.
        keep_to: the frame after the last that is kept.
    """

    start: int
    stop: int
    keep_from: int
    keep_to: int


def spans(length: int, chunk: int, edge: int, fade: int, step: int) -> list[Span]:
    """Cover a recording evenly.

    Args:
        length: its frames.
        chunk: frames of a span; the last has up to `step` more, and a recording that fits is one span.
        edge: at least so many frames are discarded where a span ends and the recording does not.
        fade: frames of a cross-fade.
        step: spans start at multiples of it; at least so much of a chunk must be left without edges and fade.
    """
    if length < chunk + step:
        return [Span(0, length, 0, length)]
    steps = (length - chunk) // step
    count = math.ceil(steps / ((chunk - 2 * edge - fade) // step))
    starts = [index * steps // count * step for index in range(count + 1)]
    stops = [*(start + chunk for start in starts[:-1]), length]
    # The middle of what neighbours share is farthest from the edges of both.
    fades = [(start + stop - fade) // 2 for start, stop in zip(starts[1:], stops, strict=False)]
    return list(map(Span, starts, stops, [0, *fades], [*(begin + fade for begin in fades), length]))


def windows(stream: Iterable[FloatArray], pieces: Sequence[Span]) -> Iterator[FloatArray]:
    """The samples [stop - start, C] of each span, zeros beyond the stream's end."""
    queue, position = FrameQueue(stream), 0
    for piece in pieces:
        queue.drop(piece.start - position)
        position = piece.start
        yield queue.look(piece.stop - piece.start)


def joined(parts: Iterable[FloatArray], pieces: Sequence[Span]) -> Iterator[FloatArray]:
    """One stream from the estimates [stop - start, C] of each span."""
    tail: FloatArray | None = None
    for part, piece, after in zip(parts, pieces, [*pieces[1:], None], strict=True):
        body = part[piece.keep_from - piece.start : piece.keep_to - piece.start]
        if tail is not None:
            rise = np.sin(np.pi / 2 * (np.arange(len(tail), dtype=np.float32)[:, None] + 0.5) / len(tail)) ** 2
            fade = tail + rise * (body[: len(tail)] - tail)
            body = np.concatenate([fade, body[len(tail) :]])
        cut = len(body) if after is None else after.keep_from - piece.keep_to + len(body)
        yield body[:cut]
        tail = body[cut:]


def resampled(
    stream: Iterable[FloatArray], rate: int, new_rate: int, channels: int, length: int
) -> Iterator[FloatArray]:
    """A stream [f, channels] at another rate, `length` frames in all."""
    if rate != new_rate:
        resampler = soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")
        end = np.zeros((0, channels), np.float32)
        # What is given as the end flushes the filter.
        stream = (
            resampler.resample_chunk(np.ascontiguousarray(block), last=block is end) for block in chain(stream, [end])
        )
    missing = length
    for block in stream:
        if count := min(missing, len(block)):
            yield block[:count]
            missing -= count
    if missing:
        yield np.zeros((missing, channels), np.float32)


class FrameQueue:
    """The frames of a stream, which holds at least one, that are still wanted."""

    def __init__(self, stream: Iterable[FloatArray]) -> None:
        self._stream = iter(stream)
        self._frames = next(self._stream)

    def take(self, count: int) -> FloatArray:
        """The next `count` frames."""
        frames = self.look(count)
        self.drop(count)
        return frames

    def look(self, count: int) -> FloatArray:
        """The next `count` frames, which stay; zeros beyond the stream's end."""
        parts, available = [self._frames], len(self._frames)
        while available < count and (block := next(self._stream, None)) is not None:
            parts.append(block)
            available += len(block)
        self._frames = np.concatenate(parts)
        return fit(self._frames, count)

    def drop(self, count: int) -> None:
        """Forget the next `count` frames, which have been looked at."""
        self._frames = self._frames[count:].copy()  # a view would keep them
