"""Mixing whole batches with batched transforms, on the training device: what `data.render=device` does.

Workers read (`sedsep.scenes.rendering.Renderer.read`); everything that costs arithmetic happens here. It gives the
scenes that `sedsep.scenes.mixing` gives, to within a few 1e-8, by another way: every source is laid into a zero signal
at its onset, so that all sounds of a batch share one transform length and no sample has to be moved afterwards; their
levels come from their spectra (Parseval); sounds are added up as spectra, and each scene's mixture is transformed back
once.

The sounds of a batch are dealt into groups with at most one sound of each scene: there are as many groups as the
richest scene has sounds. At the challenge's sizes (10 s, 4 microphones, 1 s responses, 32 kHz) a scene takes about
12 MB to send and 50 MB while it is mixed.

Axes: B batch, E sounds of a group, K slots, M microphones, N taps, L samples, T samples of a transform, F bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from lightning_utilities import apply_to_collection
from scipy.fft import next_fast_len
from torch import Tensor

from sedsep.labels import LabelSet
from sedsep.scenes.dataset import check_alike, query
from sedsep.scenes.mixing import SceneParts, Sound
from sedsep.types import Batch


@dataclass
class SoundGroup:
    """Sounds of different scenes, all with targets or all without.

    Attributes:
        scenes: whose they are, int64 [E].
        slots: of their targets, int64 [E]; `None` for interference.
        sources: laid at their onsets, float32 [E, at least L].
        responses: float32 [E, M, N].
        direct: first and last-plus-one tap of the targets' responses, int64 [E, 2].
        levels: mean power wanted, dB, float64 [E].
        counts: samples it is the mean of, float64 [E].
    """

    scenes: Tensor
    slots: Tensor | None
    sources: Tensor
    responses: Tensor
    direct: Tensor
    levels: Tensor
    counts: Tensor


@dataclass
class UnmixedBatch:
    """Scenes read but not mixed.

    Attributes:
        background: float32 [B, M, L].
        groups: the sounds.
        ref_channel: the microphone of the targets.
        query: as in `Batch`.
        spans: as in `Batch`.
        names: as in `Batch`.
    """

    background: Tensor
    groups: list[SoundGroup]
    ref_channel: int
    query: Tensor
    spans: Tensor
    names: list[str]

    def pin_memory(self) -> UnmixedBatch:
        """The batch in pinned memory; torch's loaders look for this method."""
        batch: UnmixedBatch = apply_to_collection(self, Tensor, Tensor.pin_memory)
        return batch

    def to(self, device: torch.device) -> UnmixedBatch:
        """The batch with its tensors on a device."""
        batch: UnmixedBatch = apply_to_collection(self, Tensor, Tensor.to, device, non_blocking=True)
        return batch


def collate_parts(scenes: Sequence[SceneParts], labels: LabelSet) -> UnmixedBatch:
    """Stack what was read of scenes of equal length, slot count and reference channel.

    Raises:
        UserError: the scenes differ, or hold a label that is no class.
    """
    check_alike([(scene.background.shape, len(scene.labels), scene.ref_channel) for scene in scenes], scenes)
    background = torch.from_numpy(np.stack([scene.background for scene in scenes]))
    return UnmixedBatch(
        background=background,
        groups=[_group(sounds, background.shape[-1]) for sounds in _deal(scenes)],
        ref_channel=scenes[0].ref_channel,
        query=query([scene.labels for scene in scenes], labels),
        spans=torch.tensor([scene.spans for scene in scenes], dtype=torch.int64),
        names=[scene.name for scene in scenes],
    )


def _deal(scenes: Sequence[SceneParts]) -> Iterator[list[tuple[int, Sound]]]:
    """Groups of (scene's number, sound): the first sounds with targets of all scenes, the second ones, and so on; then
    the interference."""
    for with_target in (True, False):
        rows = [
            [(number, sound) for sound in scene.sounds if (sound.slot is not None) == with_target]
            for number, scene in enumerate(scenes)
        ]
        for group in zip_longest(*rows):
            yield [sound for sound in group if sound is not None]


def _group(sounds: Sequence[tuple[int, Sound]], length: int) -> SoundGroup:
    longest = max(length, *(sound.onset + len(sound.source) for _, sound in sounds))
    channels = len(sounds[0][1].response)
    taps = max(sound.response.shape[1] for _, sound in sounds)
    sources = np.zeros((len(sounds), longest), np.float32)
    responses = np.zeros((len(sounds), channels, taps), np.float32)
    for source, response, (_, sound) in zip(sources, responses, sounds, strict=True):
        source[sound.onset : sound.onset + len(sound.source)] = sound.source
        response[:, : sound.response.shape[1]] = sound.response
    slots = [sound.slot for _, sound in sounds if sound.slot is not None]
    counts = [(len(sound.source) + sound.response.shape[1] - 1) * channels for _, sound in sounds]
    return SoundGroup(
        scenes=torch.tensor([number for number, _ in sounds]),
        slots=torch.tensor(slots) if slots else None,
        sources=torch.from_numpy(sources),
        responses=torch.from_numpy(responses),
        direct=torch.tensor([sound.direct for _, sound in sounds]),
        levels=torch.tensor([sound.level_db for _, sound in sounds], dtype=torch.float64),
        counts=torch.tensor(counts, dtype=torch.float64),
    )


@torch.no_grad()
def mix_batch(batch: UnmixedBatch, device: torch.device) -> Batch:
    """Play and add up a batch of scenes on a device; the batch that comes back lies there."""
    batch = batch.to(device)
    mixture = batch.background
    scenes, channels, length = mixture.shape
    targets = mixture.new_zeros(scenes, batch.query.shape[1], length)
    # Long enough for the last tail, so that nothing wraps around.
    longest = max((group.sources.shape[1] + group.responses.shape[2] - 1 for group in batch.groups), default=length)
    size = next_fast_len(longest, real=True)
    total = torch.zeros(scenes, channels, size // 2 + 1, dtype=torch.complex64, device=device)
    for group in batch.groups:
        source = torch.fft.rfft(group.sources, size)
        wet = torch.fft.rfft(group.responses, size)
        source *= _gains(source, wet, group, size)[:, None]
        if group.slots is not None:
            # A target is heard through the response at one microphone, zero but for its direct path.
            taps = torch.arange(group.responses.shape[2], device=device)
            window = (group.direct[:, :1] <= taps) & (taps < group.direct[:, 1:])
            direct = torch.fft.rfft(group.responses[:, batch.ref_channel] * window, size)
            dry = torch.fft.irfft(source * direct, size)
            targets[group.scenes, group.slots] = dry[:, :length]
        wet *= source[:, None]
        total[group.scenes] += wet
    mixture += torch.fft.irfft(total, size)[..., :length]
    return Batch(mixture, targets, batch.query, batch.spans, batch.names)


def _gains(source: Tensor, wet: Tensor, group: SoundGroup, size: int) -> Tensor:
    """The factors that bring sounds to their levels, float32 [E], from the spectra of sources [E, F] and responses
    [E, M, F]; 1 for silence."""
    source_energy, wet_energy = (torch.view_as_real(spectrum).square().sum(-1) for spectrum in (source, wet))
    energies = (source_energy * wet_energy.sum(1)).double()
    # A real signal's spectrum is stored by half: all but the first bin, and the last of an even length, count twice.
    twice = energies.sum(-1) * 2 - energies[:, 0] - (energies[:, -1] if size % 2 == 0 else 0)
    power = twice / size / group.counts
    gains = 10 ** (group.levels / 20) / power.sqrt()
    return torch.where(power > 0, gains, 1.0).float()
