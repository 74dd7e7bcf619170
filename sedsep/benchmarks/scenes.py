"""What rendering costs: scenes a second on one core, next to their bare transforms, and on a device.

Axes: P source positions, M microphones, N taps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
from numpy.typing import DTypeLike
from scipy import fft

from sedsep.memory import keep_freed_memory
from sedsep.scenes.device import UnmixedBatch, collate_parts, mix_batch
from sedsep.scenes.layout import Layout
from sedsep.scenes.rendering import Renderer, SceneParts, partition
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler

T = TypeVar("T")

SPLIT = "train"
WARM_UP = 0.2
"""Share of the scenes rendered before the clock starts: files come from the system's cache from then on."""


@dataclass(frozen=True)
class SetSize:
    """A data set of noise with the sizes of the challenge's.

    Attributes:
        rooms, positions, channels, taps: P, M and N of each SOFA file. dtype: their numbers'.
        labels: target and interference classes. files_per_label: sounds of each. backgrounds: recordings.
        source_seconds: shortest and longest sound. background_seconds, scene_seconds: lengths.
        sample_rate: of everything, Hz.
    """

    rooms: int = 20
    positions: int = 36
    channels: int = 4
    taps: int = 32000
    dtype: DTypeLike = np.float64
    labels: int = 18
    files_per_label: int = 2
    backgrounds: int = 4
    source_seconds: tuple[float, float] = (2.0, 10.0)
    background_seconds: float = 10.0
    scene_seconds: float = 10.0
    sample_rate: int = 32000


@dataclass(frozen=True)
class WorkerCost:
    """Milliseconds of a scene on one core, averaged.

    Attributes:
        draw: deciding what is in it. read: decoding its files. mix: playing and adding up its sounds.
        transforms: the Fourier transforms of `mix` alone, of the same sizes and in turn with it.
    """

    scenes: int
    draw: float
    read: float
    mix: float
    transforms: float

    @property
    def total(self) -> float:
        """Milliseconds of a scene."""
        return self.draw + self.read + self.mix

    @property
    def adding(self) -> float:
        """Milliseconds of what mixing does beside transforms: levels, products and sums."""
        return self.mix - self.transforms

    @property
    def ratio(self) -> float:
        """The whole scene over its bare transforms."""
        return self.total / self.transforms

    @property
    def scenes_per_second(self) -> float:
        """Scenes that one core renders in a second."""
        return 1000 / self.total


@dataclass(frozen=True)
class DeviceCost:
    """Milliseconds of a scene that is mixed on a device, averaged.

    Attributes:
        batch_size: scenes mixed at once. read: what is left to a worker: drawing, decoding and stacking.
        mix: moving to the device and mixing there.
        sent_mb, peak_mb: memory of a scene, as sent, and while it is mixed; the latter is `None` on a CPU.
    """

    scenes: int
    batch_size: int
    read: float
    mix: float
    sent_mb: float
    peak_mb: float | None


def write_set(root: Path, size: SetSize | None = None, seed: int = 0) -> Layout:
    """Write a data set of noise, one split with rooms that decay; a folder that holds one already is used as it is."""
    size = size or SetSize()
    root = Path(root)
    # The rooms come last: where the last one lies, the rest does.
    rooms = [root / "room_ir" / SPLIT / f"room{number:02d}.sofa" for number in range(size.rooms)]
    if not rooms[-1].is_file():
        rng = np.random.default_rng(seed)
        for group in ("sound_event", "interference"):
            for label in range(size.labels):
                for number in range(size.files_per_label):
                    seconds = rng.uniform(*size.source_seconds)
                    _write_noise(root / group / SPLIT / f"Class{label:02d}" / f"{number}.wav", rng, size, seconds, 1)
        for number in range(size.backgrounds):
            _write_noise(root / "noise" / SPLIT / f"{number}.wav", rng, size, size.background_seconds, size.channels)
        decay = 10 ** (-3 * np.arange(size.taps) / size.taps)  # 60 dB over the response
        for path in rooms:
            responses = rng.standard_normal((size.positions, size.channels, size.taps)) * decay
            positions = rng.standard_normal((size.positions, 3))
            write_sofa(
                path, responses, positions, size.sample_rate, title=path.stem, dtype=size.dtype, compressed=False
            )
    return Layout(root, size.sample_rate, size.channels)


def measure_worker(layout: Layout, duration: float = 10.0, scenes: int = 60, seed: int = 0) -> WorkerCost:
    """Render scenes one by one as a worker does, on one core, and their transforms alone in turn.

    Args:
        layout: a set with a split `train`. duration: of a scene, seconds. scenes: how many are measured.
    """
    keep_freed_memory()
    sampler, renderer = _engine(layout, duration)
    times = {"draw": 0.0, "read": 0.0, "mix": 0.0, "transforms": 0.0}
    skipped = max(1, int(WARM_UP * scenes))
    for index in range(-skipped, scenes):
        if index == 0:
            times = dict.fromkeys(times, 0.0)
        spec, drawing = _clock(partial(sampler.sample, seed, 0, index + skipped))
        parts, reading = _clock(partial(renderer.read, spec))
        _, transforming = _clock(_bare_transforms(parts))
        _, mixing = _clock(partial(renderer.mix, parts))
        for name, seconds in zip(times, (drawing, reading, mixing, transforming), strict=True):
            times[name] += 1000 * seconds / scenes
    return WorkerCost(scenes, **times)


def measure_device(
    layout: Layout, device: torch.device, duration: float = 10.0, scenes: int = 64, batch_size: int = 4, seed: int = 0
) -> DeviceCost:
    """Read scenes as a worker does and mix them on a device in batches.

    Args:
        layout: a set with a split `train`. duration: of a scene, seconds. scenes: how many are measured, in whole
            batches.
    """
    keep_freed_memory()
    sampler, renderer = _engine(layout, duration)
    labels = layout.labels()

    def read(first: int) -> UnmixedBatch:
        specs = [sampler.sample(seed, 0, index) for index in range(first, first + batch_size)]
        return collate_parts([renderer.read(spec) for spec in specs], labels)

    mix_batch(read(0), device)  # the libraries choose their algorithms
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reading = mixing = sent = 0.0
    count = max(1, scenes // batch_size) * batch_size
    for first in range(0, count, batch_size):
        batch, seconds = _clock(partial(read, first))
        reading += seconds
        sent += batch.nbytes
        batch = batch.pin_memory() if device.type == "cuda" else batch
        mixing += _clock(partial(_mix, batch, device))[1]
    peak = torch.cuda.max_memory_allocated(device) / 1e6 / batch_size if device.type == "cuda" else None
    return DeviceCost(count, batch_size, 1000 * reading / count, 1000 * mixing / count, sent / 1e6 / count, peak)


def _engine(layout: Layout, duration: float) -> tuple[SceneSampler, Renderer]:
    split, labels = layout.split(SPLIT), layout.labels()
    most = min(3, len(labels))
    sampler = SceneSampler(split, labels, duration, layout.sample_rate, events=(1, most), slots=most)
    return sampler, Renderer(layout)


def _bare_transforms(parts: SceneParts) -> Callable[[], None]:
    """The transforms that mixing a scene takes, as a function of nothing."""
    work = []
    for sound in parts.sounds:
        rows = len(sound.response) + (sound.slot is not None)
        blocks, _, size = partition(len(sound.source), sound.response.shape[1])
        signals = np.ones((blocks + rows, size), np.float32)
        work.append((signals, np.ones((blocks, size // 2 + 1), np.complex64), rows, size))

    def run() -> None:
        for signals, spectra, rows, size in work:
            fft.rfft(signals)
            for _ in range(rows):
                fft.irfft(spectra, size, overwrite_x=True)

    return run


def _mix(batch: UnmixedBatch, device: torch.device) -> None:
    mix_batch(batch, device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _clock(run: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds."""
    started = time.perf_counter()
    result = run()
    return result, time.perf_counter() - started


def _write_noise(path: Path, rng: np.random.Generator, size: SetSize, seconds: float, channels: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * rng.standard_normal((int(seconds * size.sample_rate), channels))
    soundfile.write(path, samples, size.sample_rate)
