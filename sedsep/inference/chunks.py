"""Long recordings piece by piece: spans that overlap, the rate on the way, and estimates put together again.

Axes: F frames, C channels or stems. Streams are iterators of arrays [f, C] of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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


def spans(reached: Callable[[int], int], chunk: int, edge: int, fade: int, step: int) -> Iterator[Span]:
    """Cover a recording, which may still be going on: a span comes as soon as it is known where it ends.

    Args:
        reached: of a number of frames, those of them that the recording has.
        chunk: frames of a span; the last has up to `step` more, and a recording that fits is one span.
        edge: at least so many frames are discarded where a span ends and the recording does not.
        fade: frames of a cross-fade.
        step: spans start at multiples of it; at least so much of a chunk must be left without edges and fade.
    """
    advance = (chunk - 2 * edge - fade) // step * step
    start = keep_from = 0
    while (length := reached(start + chunk + step)) == start + chunk + step:
        stop = start + chunk
        # The middle of what neighbours share is farthest from the edges of both.
        middle = (start + advance + stop - fade) // 2
        yield Span(start, stop, keep_from, middle + fade)
        start, keep_from = start + advance, middle
    # The last is no shorter than the others: it begins earlier where little is left.
    yield Span(max(0, (length - chunk) // step * step), length, keep_from, length)


def windows(queue: FrameQueue, pieces: Iterable[Span]) -> Iterator[tuple[Span, FloatArray]]:
    """Each span with its samples [stop - start, C], zeros beyond the stream's end."""
    position = 0
    for piece in pieces:
        queue.drop(piece.start - position)
        position = piece.start
        yield piece, queue.look(piece.stop - piece.start)


def joined(parts: Iterable[tuple[Span, FloatArray]], fade: int) -> Iterator[FloatArray]:
    """One stream from spans and their estimates [stop - start, C]."""
    tail: FloatArray | None = None
    for piece, part in parts:
        body = part[piece.keep_from - piece.start : piece.keep_to - piece.start]
        if tail is not None:
            rise = np.sin(np.pi / 2 * (np.arange(len(tail), dtype=np.float32)[:, None] + 0.5) / len(tail)) ** 2
            body = np.concatenate([tail + rise * (body[: len(tail)] - tail), body[len(tail) :]])
        cut = len(body) if piece.keep_to == piece.stop else len(body) - fade
        yield body[:cut]
        tail = body[cut:]


def resampled(
    stream: Iterable[FloatArray], rate: int, new_rate: int, channels: int, length: Callable[[], int]
) -> Iterator[FloatArray]:
    """A stream [f, channels] at another rate.

    Args:
        stream: at the old one.
        rate: Hz.
        new_rate: Hz.
        channels: of the stream.
        length: frames that are to come of it, all in all, as far as is known when the stream has ended or before.
    """
    if rate != new_rate:
        resampler = soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")
        end = np.zeros((0, channels), np.float32)
        # What is given as the end flushes the filter.
        stream = (
            resampler.resample_chunk(np.ascontiguousarray(block), last=block is end) for block in chain(stream, [end])
        )
    done = 0
    for block in stream:
        if count := min(length() - done, len(block)):
            yield block[:count]
            done += count
    if missing := length() - done:
        yield np.zeros((missing, channels), np.float32)


class FrameQueue:
    """The frames of a stream, which holds at least one, that are still wanted."""

    def __init__(self, stream: Iterable[FloatArray]) -> None:
        self._stream = iter(stream)
        self._frames = next(self._stream)
        self._dropped = 0

    def take(self, count: int) -> FloatArray:
        """The next `count` frames."""
        frames = self.look(count)
        self.drop(count)
        return frames

    def look(self, count: int) -> FloatArray:
        """The next `count` frames, which stay; zeros beyond the stream's end."""
        self.reached(self._dropped + count)
        return fit(self._frames, count)

    def reached(self, count: int) -> int:
        """`count`, or the frames of the whole stream where it has fewer: waits for them to come."""
        parts, available = [self._frames], self._dropped + len(self._frames)
        while available < count and (block := next(self._stream, None)) is not None:
            parts.append(block)
            available += len(block)
        if len(parts) > 1:
            self._frames = np.concatenate(parts)
        return min(count, available)

    def drop(self, count: int) -> None:
        """Forget the next `count` frames, which have been looked at."""
        self._frames = self._frames[count:].copy()  # a view would keep them
        self._dropped += count
