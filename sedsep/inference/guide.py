"""The Stage 2 SED model on a recording longer than a chunk: heard once, as it would hear the recording whole.

Its transformer divides a recording into units from the start on. Were each chunk heard anew, the units would lie
elsewhere, and neighbouring chunks would be guided by different curves: here all chunks are guided by the same.

Axes: N classes, W patches along time of the whole recording, w of a chunk, G patches along frequency, s guiding frames.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sedsep.evaluation.ensemble import AnySeparator, SeparatorEnsemble
from sedsep.inference.chunks import Span
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.models.separator import Separator
from sedsep.types import Guidance, SedOutput

Mixtures = Callable[[Sequence[Span]], Iterator[Tensor]]
"""Gives the samples [1, M, stop - start] of spans, in order."""


def guide_of(network: AnySeparator, length: int, mixtures: Mixtures) -> Callable[[Span], Guidance] | None:
    """What guides a separator in each chunk of a recording, asked for in order.

    Args:
        network: the separator.
        length: samples of the recording at its input rate.
        mixtures: gives them.

    Returns:
        `None` where each chunk guides itself, for want of a guide, or because the guide has a memory that cannot be cut
        into pieces.
    """
    if isinstance(network, SeparatorEnsemble):
        guides: list[Any] = [guide_of(member, length, mixtures) for member in network.members]
        return lambda piece: [guide and guide(piece) for guide in guides]
    if isinstance(network, GuidedSeparator) and network.sed is not None and network.sed.sequence is None:
        return Guide(network.sed, network.separator, length, mixtures).of
    return None


@dataclass(frozen=True)
class _Unit:
    """A unit of the transformer.

    Attributes:
        span: samples, with enough around them for its spectra.
        before: mel frames of these that are not its own.
        frames: mel frames of its own.
        first: its first patch along time.
        end: the patch after its last.
    """

    span: Span
    before: int
    frames: int
    first: int
    end: int

    def own(self, mel_bqt: Tensor) -> Tensor:
        """The unit's part of the spectrum of its span."""
        return mel_bqt[:, :, self.before : self.before + self.frames]


class Guide:
    """What guides a separator in each chunk of a recording, asked for in order.

    Args:
        sed: the Stage 2 SED model, without recurrence over time.
        separator: what it guides.
        length: samples of the recording at the separator's input rate.
        mixtures: gives them.
    """

    def __init__(self, sed: SedModel, separator: Separator, length: int, mixtures: Mixtures) -> None:
        self._separator = separator
        self._sed = copy.copy(sed)
        self._sed.frame_s = None  # patch by patch: `of` interpolates across the joints of units
        units = _units(sed, length)
        self._patches = units[-1].end
        self._points = sed.frames(length) or self._patches
        self._frames = _padded_frames(separator, length)
        self._units = zip(units, mixtures([unit.span for unit in units]), strict=True)
        self._recent: deque[tuple[_Unit, SedOutput]] = deque()

    @torch.inference_mode()
    def of(self, piece: Span) -> SedOutput:
        """The part of the recording's curve and layer features that a chunk gets when the separator hears it all."""
        separator = self._separator
        frames = _padded_frames(separator, piece.stop - piece.start)
        before = piece.start * separator.sample_rate // (separator.input_rate * separator.stft.hop)

        def places(whole: int) -> Tensor:
            """Of the chunk's share of points that the recording has evenly spread, in patches of the recording."""
            count = max(1, round(whole * frames / self._frames))
            points = (torch.arange(count, dtype=torch.float64) + 0.5) * frames / count + before
            return (points * self._patches / self._frames - 0.5).clamp(0, self._patches - 1)

        curve, patches = places(self._points), places(self._patches).round().long()
        first, last = int(min(curve[0], patches[0])), math.ceil(max(curve[-1], patches[-1]))
        recent = self._recent
        while not recent or recent[-1][0].end <= last:
            unit, mixture = next(self._units)
            recent.append((unit, self._sed(mixture, "layers" in separator.reads, warp=unit.own)))
        while recent[0][0].end <= first:
            recent.popleft()
        origin, outputs = recent[0][0].first, [output for _, output in recent]
        logits = [output.strong_logits for output in outputs if output.strong_logits is not None]
        indices = (patches - origin).to(outputs[0].clip_probabilities.device)
        return SedOutput(
            clip_probabilities=outputs[0].clip_probabilities,
            strong_logits=_between(torch.cat(logits, dim=2), curve - origin) if logits else None,
            layers=[
                torch.cat([part.unflatten(1, output.grid) for part, output in zip(parts, outputs, strict=True)], dim=2)
                .index_select(2, indices)
                .flatten(1, 2)
                for parts in zip(*(output.layers for output in outputs), strict=True)
            ],
            grid=(outputs[0].grid[0], len(indices)),
        )


def _units(sed: SedModel, length: int) -> list[_Unit]:
    """The units that a SED model divides a recording of some samples into."""
    backbone, frontend = sed.backbone, sed.backbone.frontend
    per_frame = frontend.stft.hop * frontend.input_rate / frontend.sample_rate
    around = frontend.stft.n_fft // frontend.stft.hop + 2
    total = math.ceil(length * frontend.sample_rate / frontend.input_rate) // frontend.stft.hop + 1
    units: list[_Unit] = []
    for first in range(0, total, backbone.unit_frames):
        last = min(first + backbone.unit_frames, total)
        begin = max(0, first - around)
        span = Span(round(begin * per_frame), min(round((last + around) * per_frame), length), 0, length)
        count = min(-(-(last - first) // backbone.patch[1]), backbone.grid[1])
        start = len(units) * backbone.grid[1]
        units.append(_Unit(span, first - begin, last - first, start, start + count))
    return units


def _padded_frames(separator: Separator, length: int) -> int:
    """Frames of the U-Net's widest map for a clip of some samples at the input rate."""
    working = math.ceil(length * separator.sample_rate / separator.input_rate)
    frames = working // separator.stft.hop + 1
    return frames + -frames % separator.unet.time_stride


def _between(curve_bnw: Tensor, places: Tensor) -> Tensor:
    """A curve at places between its points, linearly."""
    below = places.floor().long()
    above = (below + 1).clamp_max(curve_bnw.shape[2] - 1)
    weight = (places - below).to(curve_bnw)
    low, high = (curve_bnw.index_select(2, index.to(curve_bnw.device)) for index in (below, above))
    return torch.lerp(low, high, weight)
