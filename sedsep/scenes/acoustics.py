"""Simulated rooms heard by a first-order-ambisonics microphone, and the noise that fills them.

Channels are in ACN order (W, Y, Z, X) with SN3D gains: for a plane wave from the unit vector (x, y, z) they hold the
signal times (1, y, z, x). x points ahead, y to the left, z up.

Axes: P source positions, M = 4 channels, N taps, L samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyroomacoustics as pra
from numpy.random import Generator
from numpy.typing import NDArray
from pyroomacoustics.directivities import DirectionVector, FigureEight, Omnidirectional
from scipy import signal

from sedsep.types import FloatArray

# Its threads each add up a share of the reflections: the last bits of a response would depend on the number of cores.
pra.constants.set("num_threads", 1)

CHANNELS = 4
SPEED = 343.0
"""Of sound, m/s."""
WALL = 0.3
"""Nothing stands nearer to a wall than this, metres."""
MAX_ORDER = 30
"""Reflections followed; 30 fill a quarter of a second in all but the smallest rooms, and more cost their cube."""


def simulate_room(
    rng: Generator,
    *,
    positions: int,
    sample_rate: int,
    seconds: float = 0.25,
    rt60_range: tuple[float, float] = (0.15, 0.5),
    distance_range: tuple[float, float] = (0.5, 2.5),
) -> tuple[FloatArray, NDArray[np.float64], float]:
    """Draw a room, a listener and the sources around it, and simulate the responses by the image-source method.

    Args:
        rng: decides everything; equal generators give equal rooms.
        positions: P, the number of sources.
        sample_rate: Hz.
        seconds: length of the responses; the last fifth fades out.
        rt60_range: reverberation time, seconds, by Sabine's formula (raised where a room cannot be that dry).
        distance_range: from listener to source, metres.

    Returns:
        Responses, float32 [P, 4, N], W Y Z X; positions of the sources relative to the listener, metres [P, 3]; the
        reverberation time the walls were chosen for, seconds.
    """
    size = np.array([rng.uniform(3.6, 7.5), rng.uniform(3.2, 6.0), rng.uniform(2.4, 3.4)])
    listener = size * rng.uniform(0.4, 0.6, 3)
    listener[2] = rng.uniform(1.2, 1.7)
    offsets = _around(rng, positions, listener, size, distance_range)
    # The time that absorption gives by Sabine's formula, longer where 0.9 of the energy would have to be absorbed.
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    rt60 = max(rng.uniform(*rt60_range), float(24 * np.log(10) / SPEED * volume / surface / 0.9))
    absorption, _ = pra.inverse_sabine(rt60, size, c=SPEED)
    places = size.tolist(), listener, listener + offsets
    responses = foa_responses(*places, absorption=float(absorption), sample_rate=sample_rate, seconds=seconds)
    return responses, offsets, rt60


def foa_responses(
    size: Sequence[float],
    listener: NDArray[np.float64],
    sources: NDArray[np.float64],
    *,
    absorption: float,
    sample_rate: int,
    seconds: float,
) -> FloatArray:
    """Responses of a rectangular room at an omnidirectional and three figure-of-eight microphones in one spot.

    Args:
        size: width (x), depth (y) and height (z), metres.
        listener: its place in the room, metres from a corner [3].
        sources: their places [P, 3].
        absorption: energy the walls take from each reflection, 0 to 1.
        sample_rate: Hz.
        seconds: N / sample_rate.

    Returns:
        float32 [P, 4, N], ACN/SN3D.
    """
    order = min(MAX_ORDER, int(np.ceil(seconds * SPEED / min(size))))
    room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=order)
    room.add_microphone(listener, directivity=Omnidirectional())
    for azimuth, colatitude in ((90, 90), (0, 0), (0, 90)):
        direction = DirectionVector(azimuth=azimuth, colatitude=colatitude, degrees=True)
        room.add_microphone(listener, directivity=FigureEight(direction))
    for source in sources:
        room.add_source(source)
    room.compute_rir()

    taps = round(seconds * sample_rate)
    responses = np.zeros((len(sources), CHANNELS, taps), np.float32)
    for m, row in enumerate(room.rir):
        for p, response in enumerate(row):
            responses[p, m, : len(response)] = response[:taps]
    fade = taps // 5
    responses[..., taps - fade :] *= np.linspace(1, 0, fade, dtype=np.float32) ** 2
    return responses


def foa_gains(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """SN3D gains (W, Y, Z, X) [P, 4] of plane waves from `directions` [P, 3] of any length but zero."""
    x, y, z = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    return np.stack([np.ones_like(x), y, z, x], axis=1)


def room_noise(rng: Generator, responses: FloatArray, *, sample_rate: int, seconds: float) -> FloatArray:
    """The background of a room: an isotropic field, a few noise sources in it (a window, a ventilator) and mains hum.

    In an isotropic field the channels are uncorrelated and Y, Z and X carry a third of the power of W, because the mean
    of x^2 over the sphere is 1/3; so four independent noises are the exact field, without summing plane waves.

    Args:
        rng: decides everything.
        responses: of the room, [P, 4, N]; the noise sources stand at some of the P positions.
        sample_rate: Hz.
        seconds: L / sample_rate.

    Returns:
        float32 [4, L], peak 0.5.
    """
    length = round(seconds * sample_rate)
    field = np.sqrt([1.0, 1 / 3, 1 / 3, 1 / 3])
    noise = field[:, None] * _coloured(rng, CHANNELS, length, sample_rate)
    for p in rng.choice(len(responses), size=min(len(responses), int(rng.integers(1, 4))), replace=False):
        dry = _coloured(rng, 1, length, sample_rate)[0]
        wet = signal.fftconvolve(np.broadcast_to(dry, (CHANNELS, length)), responses[p], axes=1)[:, :length]
        noise += rng.uniform(0.2, 0.8) * wet / wet[0].std()
    t = np.arange(length) / sample_rate
    mains = float(rng.choice([50.0, 60.0]))
    hum = np.zeros(length)
    for k in (1, 2, 3):
        hum += rng.uniform(0, 0.2) / k * np.sin(2 * np.pi * (mains * k * t + rng.random()))
    noise += foa_gains(rng.standard_normal((1, 3))).T * hum
    return (noise * (0.5 / np.abs(noise).max())).astype(np.float32)


def _coloured(rng: Generator, count: int, length: int, sample_rate: int) -> NDArray[np.float64]:
    """Independent noises of one random colour and unit power [count, L]: falling by 3 to 7 dB an octave, with bumps."""
    freqs = np.fft.rfftfreq(length, 1 / sample_rate)
    octaves = np.log2(np.maximum(freqs, 20.0) / 20.0)
    corners = np.arange(12)
    level = -rng.uniform(3, 7) * corners + rng.uniform(-4, 4, 12)
    level[:2] -= rng.uniform(3, 12)  # rooms and microphones pass little of the lowest octaves
    gain = 10 ** (np.interp(octaves, corners, level) / 20)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal((count, length))) * gain, length)
    return np.asarray(noise / noise.std())


def _around(
    rng: Generator, count: int, listener: NDArray[np.float64], size: NDArray[np.float64], distances: tuple[float, float]
) -> NDArray[np.float64]:
    """Offsets [P, 3] of sources in all directions, mostly near the listener's height, that lie within the walls."""
    offsets: list[NDArray[np.float64]] = []
    while len(offsets) < count:
        # Azimuths in even steps with some play, so that a few sources already surround the listener.
        azimuth = 2 * np.pi * (len(offsets) + rng.uniform(-0.5, 0.5)) / count
        elevation, distance = np.radians(rng.uniform(-35, 35)), rng.uniform(*distances)
        offset = distance * np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        place = listener + offset
        if (place > WALL).all() and (place < size - WALL).all():
            offsets.append(offset)
    return np.array(offsets)
