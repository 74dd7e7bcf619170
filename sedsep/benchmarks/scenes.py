"""What rendering costs: scenes a second on one core, next to bare Fourier transforms, and on a device.

Axes: P source positions, M microphones, N taps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.fft import next_fast_len
from torch.profiler import ProfilerActivity, profile

from sedsep.benchmarks.costs import CostTable, clock, machine, processor
from sedsep.devices import one_thread
from sedsep.labels import LabelSet
from sedsep.memory import keep_freed_memory
from sedsep.scenes.device import UnmixedBatch, collate_parts, mix_batch
from sedsep.scenes.layout import Layout
from sedsep.scenes.mixing import SceneParts
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler

SPLIT = "train"
BATCH_SIZE = 4
"""Scenes that are mixed at once on a device."""
PARTITIONS = (1, 2, 3, 4, 6)
"""Blocks of a response that bare convolutions are tried with."""
WARM_UP = 0.2
"""Share of the scenes rendered before the clock starts: files come from the system's cache from then on."""


@dataclass(frozen=True)
class NoiseSet:
    """A data set of noise, by default with the sizes of the challenge's.

    Attributes:
        sample_rate: of everything, Hz.
        channels: M.
        rooms: SOFA files.
        positions: P of each.
        taps: N of each response.
        labels: target classes, and as many of interference.
        source_seconds: shortest and longest sound.
        background_seconds: length of a background recording.
        scene_seconds: length of a scene.
        files_per_label: sounds of each class.
        backgrounds: background recordings.
    """

    sample_rate: int = 32000
    channels: int = 4
    rooms: int = 20
    positions: int = 36
    taps: int = 32000
    labels: int = 18
    source_seconds: tuple[float, float] = (2.0, 10.0)
    background_seconds: float = 10.0
    scene_seconds: float = 10.0
    files_per_label: int = 2
    backgrounds: int = 4

    def write(self, root: Path, seed: int = 0) -> Layout:
        """Write it, one split with rooms that decay; a folder that holds one already is used as it is."""
        rng = np.random.default_rng(seed)
        rooms = [root / "room_ir" / SPLIT / f"room{number:02d}.sofa" for number in range(self.rooms)]
        sounds = {
            root / group / SPLIT / f"Class{label:02d}" / f"{number}.wav": (rng.uniform(*self.source_seconds), 1)
            for group in ("sound_event", "interference")
            for label in range(self.labels)
            for number in range(self.files_per_label)
        }
        for number in range(self.backgrounds):
            sounds[root / "noise" / SPLIT / f"{number}.wav"] = (self.background_seconds, self.channels)
        # The rooms come last: where the last one lies, the rest does.
        if not rooms[-1].is_file():
            for path, (seconds, channels) in sounds.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                samples = 0.1 * rng.standard_normal((int(seconds * self.sample_rate), channels))
                soundfile.write(path, samples, self.sample_rate)
            decay = 10 ** (-3 * np.arange(self.taps) / self.taps)  # 60 dB over the response
            for path in rooms:
                responses = rng.standard_normal((self.positions, self.channels, self.taps))
                responses *= decay
                positions = rng.standard_normal((self.positions, 3))
                write_sofa(
                    path, responses, positions, self.sample_rate, title=path.stem, dtype=np.float64, compressed=False
                )
        return Layout(root, self.sample_rate, self.channels)


def scene_costs(noise: NoiseSet, layout: Layout, device: torch.device, scenes: int, seed: int = 0) -> CostTable:
    """Render scenes one by one as a worker does, on one core, and mix them on a device in batches.

    Args:
        noise: the data set.
        layout: where it was written.
        device: to mix on.
        scenes: how many are measured; on the device in whole batches.
        seed: of the scenes.
    """
    keep_freed_memory()
    labels = layout.labels()
    most = min(3, len(labels))
    sampler = SceneSampler(layout.split(SPLIT), noise.scene_seconds, events=(1, most), slots=most)
    renderer = Renderer(layout)
    with one_thread():
        draw, read, transforms, mix, padded, *partitioned = _on_one_core(sampler, renderer, scenes, seed)
        read_device, mix_device = _on_device(sampler, renderer, labels, device, scenes, seed)
    total, cheapest = draw + read + mix, min(partitioned)
    alone = [f"{value:.1f}" for value in (draw, read, transforms, mix - transforms, total)]
    bare = [f"{cheapest:.1f}", f"{mix / cheapest:.2f}", f"{padded:.1f}"]
    both = [f"{value:.1f}" for value in (mix_device, read_device + mix_device)]
    sizes = f"{noise.rooms} rooms of {noise.positions} x {noise.channels} x {noise.taps}"
    where = processor() if device.type == "cpu" else f"{processor()}, {machine(device)}"
    return CostTable(
        title=f"scenes of {noise.scene_seconds:g} s, {sizes}, {where}",
        columns=(
            *("ms", "draw", "read", "transforms", "adding", "all", "scenes/s", "over transforms"),
            *("convolutions", "mixing over them", "zero-padded"),
        ),
        rows=[
            ["one core", *alone, f"{1000 / total:.1f}", f"{total / transforms:.2f}", *bare],
            [f"mixed on {device.type}", "", f"{read_device:.1f}", "", *both, *[""] * 5],
        ],
        metrics={
            "benchmark/scenes/scene_ms": total,
            "benchmark/scenes/read_ms": read,
            "benchmark/scenes/transforms_ms": transforms,
            "benchmark/scenes/ratio": total / transforms,
            "benchmark/scenes/convolutions_ms": cheapest,
            "benchmark/scenes/padded_ms": padded,
            "benchmark/scenes/device/read_ms": read_device,
            "benchmark/scenes/device/mix_ms": mix_device,
        },
    )


def _on_one_core(sampler: SceneSampler, renderer: Renderer, scenes: int, seed: int) -> list[float]:
    """Milliseconds of a scene, averaged: deciding what is in it, decoding its files, the Fourier transforms of mixing
    it, seen when it is mixed once more, mixing it, transforms included, and the bare transforms of its convolutions,
    zero-padded and with responses cut into so many blocks."""
    skipped = max(1, int(WARM_UP * scenes))
    times = []
    for index in range(skipped + scenes):
        spec, draw = clock(sampler.sample, seed, 0, index)
        parts, read = clock(renderer.read, spec)
        transforms = _transforms(renderer, parts)
        _, mix = clock(renderer.mix, parts)
        times.append((draw, read, transforms, mix, _zero_padded(parts), *(_partitioned(parts, n) for n in PARTITIONS)))
    means: list[float] = (1000 * np.mean(times[skipped:], axis=0)).tolist()
    return means


def _transforms(renderer: Renderer, parts: SceneParts) -> float:
    """Seconds that mixing a scene spends in Fourier transforms."""
    parts = replace(parts, background=parts.background.copy())
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        renderer.mix(parts)
    transforms = ("aten::fft_rfft", "aten::fft_irfft")
    return sum(event.cpu_time_total for event in profiled.key_averages() if event.key in transforms) / 1e6


def _partitioned(parts: SceneParts, number: int) -> float:
    """Seconds of the bare transforms of a scene's convolutions with responses in so many blocks, up to the scene's end
    and without levels: of sources, responses and direct paths there, of the sum of all sounds and each target back."""
    channels, length = parts.background.shape
    step = next_fast_len(math.ceil(max(sound.response.shape[1] for sound in parts.sounds) / number), real=True)
    silent = min(sound.onset for sound in parts.sounds) // step
    there, back = 0, channels * (math.ceil(length / step) - silent)
    for sound in parts.sounds:
        blocks = math.ceil((sound.onset % step + len(sound.source)) / step)
        there += blocks + channels * number + (sound.slot is not None)
        back += blocks * (sound.slot is not None)
    return _bare(2 * step, there, back)


def _zero_padded(parts: SceneParts) -> float:
    """Seconds of the bare transforms of a scene's convolutions, each sound on its own and padded to its full length."""
    seconds = 0.0
    for sound in parts.sounds:
        channels, taps = sound.response.shape
        tracks = channels + (sound.slot is not None)
        seconds += _bare(next_fast_len(len(sound.source) + taps - 1, real=True), 1 + tracks, tracks)
    return seconds


def _bare(size: int, there: int, back: int) -> float:
    """Seconds of so many transforms of so many samples."""
    signals = torch.randn(there, size)
    spectra = torch.randn(back, size // 2 + 1, dtype=torch.complex64)
    return clock(torch.fft.rfft, signals)[1] + clock(torch.fft.irfft, spectra, size)[1]


def _on_device(
    sampler: SceneSampler, renderer: Renderer, labels: LabelSet, device: torch.device, scenes: int, seed: int
) -> tuple[float, float]:
    """Milliseconds of a scene, averaged: what is left to a worker (drawing, decoding, stacking), and moving it to the
    device and mixing it there."""

    def read(first: int) -> UnmixedBatch:
        specs = [sampler.sample(seed, 0, index) for index in range(first, first + BATCH_SIZE)]
        return collate_parts([renderer.read(spec) for spec in specs], labels)

    mix_batch(read(0), device)  # the libraries choose their algorithms
    count = max(1, scenes // BATCH_SIZE) * BATCH_SIZE
    reading = mixing = 0.0
    for first in range(0, count, BATCH_SIZE):
        batch, seconds = clock(read, first)
        reading += seconds
        batch = batch.pin_memory() if device.type == "cuda" else batch
        mixing += clock(mix_batch, batch, device)[1]
    return 1000 * reading / count, 1000 * mixing / count
