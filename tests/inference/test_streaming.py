from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from minis import RATE, noise, refused
from whole_systems import ATTENTION, GUIDED, system, tagger

from sedsep.inference import Request, SceneSeparator, from_array
from sedsep.types import FloatArray

NAMED = ("Dog", "Rain")


def sound(frames: int, channels: int = 4) -> FloatArray:
    return 0.015 * noise(channels, frames).numpy()


def blocks(samples: FloatArray, size: int = 777) -> Iterator[FloatArray]:
    return (samples[:, start : start + size] for start in range(0, samples.shape[1], size))


def in_chunks(ours: SceneSeparator, samples: FloatArray, rate: int, request: Request) -> tuple[FloatArray, FloatArray]:
    job = ours.begin(from_array(np.ascontiguousarray(samples.T), rate), request)
    stems, residual = (np.concatenate(parts) for parts in zip(*job.stems(), strict=True))
    return stems, residual


@pytest.mark.parametrize("rate", [RATE, 11025])
@pytest.mark.parametrize("frames", [37, 4000, 4128, 23_923])
@pytest.mark.parametrize("changes", [{}, ATTENTION], ids=["U-Net", "attention"])
def test_a_stream_gives_what_chunks_of_the_whole_give(rate: int, frames: int, changes: dict[str, Any]) -> None:
    samples, ours = sound(frames), system(0.5, **GUIDED, **changes)
    stream = ours.stream(blocks(samples), rate, NAMED)
    stems, residual = (np.concatenate(parts) for parts in zip(*stream, strict=True))
    expected = in_chunks(ours, samples, rate, Request(NAMED, level_db=None, guided_by_chunk=True))
    np.testing.assert_array_equal(stems, expected[0])
    np.testing.assert_allclose(residual, expected[1], atol=1e-7)
    assert stream.real_time_factor > 0


@pytest.mark.parametrize("rate", [RATE, 11025, 44100])
def test_stems_are_no_later_than_stated(rate: int) -> None:
    samples, ours, arrived = sound(4 * rate), system(0.5, tagger()), 0

    def microphone() -> Iterator[FloatArray]:
        nonlocal arrived
        for block in blocks(samples, 100):
            arrived += 100
            yield block

    stream, given = ours.stream(microphone(), rate, threshold=0.4), 0
    assert stream.labels == ours.labels
    for stems, _ in stream:
        assert arrived - given <= stream.latency_s * rate + 100
        given += len(stems)
    assert given == samples.shape[1]


def test_a_stream_may_be_mono_or_nothing_and_is_checked() -> None:
    ours = system(0.5)
    assert list(ours.stream([], RATE, NAMED)) == []
    stems, residual = next(iter(ours.stream([torch.zeros(900)], RATE, "Dog")))
    assert (stems.shape, residual.shape) == ((900, 1), (900,))
    with refused("A block has 2 channels, the first had 4"):
        list(ours.stream([sound(900), sound(900, 2)], RATE, NAMED))
    with refused("NaN"):
        list(ours.stream([sound(900) * np.nan], RATE, NAMED))
    with refused("Nothing names the sounds"):
        ours.stream([], RATE)
