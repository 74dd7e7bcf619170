from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from sedsep.inference.chunks import FrameQueue, Span, joined, resampled, spans, windows


def sound(frames: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((frames, channels)).astype(np.float32)


def known(length: int, *sizes: int) -> list[Span]:
    """The spans of a recording that has come to its end."""
    return list(spans(lambda frames: min(frames, length), *sizes))


def blocks(samples: np.ndarray, size: int = 777) -> list[np.ndarray]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@given(st.integers(1, 20_000), st.integers(100, 3000), st.integers(1, 60))
def test_spans_cover_everything_away_from_their_edges(length: int, chunk: int, step: int) -> None:
    edge, fade = chunk // 10, chunk // 20
    pieces = known(length, chunk, edge, fade, step)
    assert (pieces[0].start, pieces[0].keep_from, pieces[-1].stop, pieces[-1].keep_to) == (0, 0, length, length)
    assert all(piece.start % step == 0 for piece in pieces)
    assert all(piece.stop - piece.start < chunk + step for piece in pieces)
    for one, after in pairwise(pieces):
        assert one.start < after.start
        assert one.keep_to - after.keep_from == fade
        assert one.stop - one.keep_to >= edge
        assert after.keep_from - after.start >= edge


@pytest.mark.parametrize("length", [1, 999, 1000, 1031, 1032, 5000, 12_345])
def test_pieces_that_nothing_is_done_to_make_the_whole(length: int) -> None:
    samples = sound(length)
    pieces = known(length, 1000, 100, 50, 32)
    parts = list(windows(FrameQueue(blocks(samples)), pieces))
    assert [len(part) for _, part in parts] == [piece.stop - piece.start for piece in pieces]
    np.testing.assert_allclose(np.concatenate(list(joined(parts, 50))), samples, atol=1e-6)


def test_neighbours_that_disagree_are_faded_into_each_other() -> None:
    pieces = known(1700, 1000, 100, 50, 100)
    parts = [(piece, np.full((piece.stop - piece.start, 1), number, np.float32)) for number, piece in enumerate(pieces)]
    whole = np.concatenate(list(joined(parts, 50)))[:, 0]
    assert np.all(np.diff(whole) >= 0)
    assert np.diff(whole).max() < 0.04  # 50 frames long, and smooth


@pytest.mark.parametrize("rates", [(44100, 32000), (8000, 32000), (48000, 44100), (16000, 16000)])
def test_the_rate_changes_on_the_way_as_it_does_at_once(rates: tuple[int, int]) -> None:
    samples = sound(30_011)
    once = samples if rates[0] == rates[1] else soxr.resample(samples, *rates, quality="HQ")
    np.testing.assert_array_equal(np.concatenate(list(resampled(blocks(samples), *rates, 2, lambda: len(once)))), once)
    for length in (len(once) - 3000, len(once) + 5):
        assert sum(len(block) for block in resampled(blocks(samples), *rates, 2, partial(int, length))) == length


def test_a_queue_forgets_what_is_taken() -> None:
    queue = FrameQueue(iter(blocks(np.arange(2000, dtype=np.float32))))
    assert queue.take(3).tolist() == [0, 1, 2]
    assert queue.look(2).tolist() == [3, 4]
    queue.drop(1)
    assert queue.take(1995).tolist() == list(range(4, 1999))
    assert queue.take(2).tolist() == [1999, 0]
