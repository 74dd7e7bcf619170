"""Deterministic weights and inputs for the golden vectors.

Every tensor is a pure function of its name and shape, so a model that carries the same
state-dict names and shapes can be filled with the same numbers on any machine, without a
weight file.
"""

import zlib

import numpy as np

SAMPLE_RATE = 32_000
DURATION_S = 10.0


def _normal(name: str, shape) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode("utf-8"))))
    return rng.standard_normal(tuple(shape), dtype=np.float32)


def weight(name: str, shape) -> np.ndarray:  # noqa: PLR0911 - as it was handed down
    """The float32 value of state-dict entry `name` with `shape` (float32, C order)."""
    shape = tuple(int(s) for s in shape)
    x = _normal(name, shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 1.0 + 0.1 * np.abs(x)
    if leaf == "running_mean":
        return 0.1 * x
    if leaf == "soundbeam_weights":  # spread out, so that the weighting of layers is visible
        return x
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if len(shape) >= 2:
        fan_in = int(np.prod(shape[1:]))
        return x / np.float32(np.sqrt(fan_in))
    if leaf == "weight" or name.endswith(("weight_x_center", "weight_soundbeam_features")):
        return 1.0 + 0.1 * x
    return 0.1 * x


def mixture(batch: int = 1, channels: int = 4, seed: str = "mixture") -> np.ndarray:
    """A float32 mixture [batch, channels, samples]: noise bursts and chirps with silence between."""
    n = int(SAMPLE_RATE * DURATION_S)
    t = np.arange(n, dtype=np.float64) / SAMPLE_RATE
    out = np.empty((batch, channels, n), np.float32)
    for b in range(batch):
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}{b}".encode())))
        scene = np.zeros((channels, n))
        for _ in range(4):
            on = rng.uniform(0, 7)
            off = on + rng.uniform(1, 3)
            env = ((t >= on) & (t < off)) * np.hanning(n)
            f0, f1 = rng.uniform(100, 4000, 2)
            carrier = np.sin(2 * np.pi * (f0 * t + (f1 - f0) * t**2 / 20))
            gains = rng.uniform(-1, 1, (channels, 1))
            scene += gains * env * (0.2 * carrier + 0.05 * rng.standard_normal(n))
        scene += 0.003 * rng.standard_normal((channels, n))
        out[b] = scene
    return out


def label_vector(class_indices, num_classes: int = 18) -> np.ndarray:
    """Float32 one-hot rows [len(class_indices), num_classes]; -1 gives an all-zero (silence) row."""
    out = np.zeros((len(class_indices), num_classes), np.float32)
    for row, index in enumerate(class_indices):
        if index >= 0:
            out[row, index] = 1.0
    return out
