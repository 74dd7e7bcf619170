"""Sound event detection: M2D with a head that names clips and frames.

Axes: B batch, M microphones, L samples, W backbone frames, S SED frames, V features, N classes, K tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.errors import UserError, choice
from sedsep.models.m2d import M2d
from sedsep.models.tracks import TracksHead, anywhere
from sedsep.modules.recurrence import recur
from sedsep.types import SedOutput

HEADS = ("attention", "linear", "two_linear", "tracks")
SEQUENCES = {"none": None, "bigru": nn.GRU, "bilstm": nn.LSTM}
ATTENTION_FLOOR = 1e-7
PRIOR_LOGIT = -2.0


class SedModel(nn.Module):
    """SED model of the paper, and the challenge's baseline taggers (heads `linear` and `tracks`, native frames).

    Args:
        backbone: the M2D transformer.
        classes: N.
        head: `attention` (strong probabilities pooled by attention over classes), `linear` (mean over time; names
            clips only), `two_linear` (frames and their mean, each with a layer of its own), `tracks` (mean over time;
            names sources one by one).
        head_norm: BatchNorm1d without affine over the features before the head.
        frame_s: seconds a SED frame; `None` keeps the backbone's own frames.
        sequence: recurrence between backbone and head: `none`, `bigru` or `bilstm`.
        reference_channel: the microphone listened to.
        microphones: M, where `tracks` listens to all of them; 1 for the reference channel alone.
        tracks: K, of head `tracks`.
        track_width: features of a track.
        track_hidden: its hidden features.

    Raises:
        UserError: an unknown head or recurrence, or sizes that do not fit.
    """

    def __init__(
        self,
        backbone: M2d,
        classes: int,
        head: Literal["attention", "linear", "two_linear"] = "attention",
        head_norm: bool = True,
        frame_s: float | None = 0.04,
        sequence: str = "none",
        reference_channel: int = 0,
        microphones: int = 1,
        tracks: int = 3,
        track_width: int = 1024,
        track_hidden: int = 512,
    ) -> None:
        super().__init__()
        self.head = choice(head, HEADS, "sed.head")
        choice(sequence, tuple(SEQUENCES), "sed.sequence")
        self.backbone = backbone
        self.classes, self.frame_s, self.reference_channel = classes, frame_s, reference_channel
        if frame_s is not None and frame_s <= 0:
            raise UserError(
                f"sed.frame_s={frame_s} is no duration: give seconds, or null for the backbone's own frames."
            )
        if microphones > 1 and head != "tracks":
            raise UserError(f"sed.head={head} listens to one microphone: set sed.microphones=1, or sed.head=tracks.")
        features, self.microphones = backbone.features, microphones
        cell = SEQUENCES[sequence]
        if cell and features % 2:
            raise UserError(
                f"sed.sequence={sequence} halves {features} features between its directions: choose an even width."
            )
        self.sequence = cell and cell(features, features // 2, batch_first=True, bidirectional=True)
        heard = features * microphones
        self.head_norm = nn.BatchNorm1d(heard, affine=False) if head_norm else None
        self.strong_head = nn.Linear(features, classes) if head in ("attention", "two_linear") else None
        self.weak_head = nn.Linear(features, classes) if head != "tracks" else None
        self.tracks = TracksHead(heard, classes + 1, tracks, track_width, track_hidden) if head == "tracks" else None
        for head_layer in (self.strong_head, self.weak_head):
            if head_layer is not None:  # most classes are silent most of the time: start there
                nn.init.constant_(head_layer.bias, PRIOR_LOGIT)

    longest: int | None = None  # samples that it can hear at once

    @property
    def shortest(self) -> int:
        """Samples of the shortest clip that it can hear."""
        frontend = self.backbone.frontend
        return frontend.stft.shortest(frontend.input_rate, frontend.sample_rate)

    @property
    def input_rate(self) -> int:
        """Hz that `forward` expects."""
        return self.backbone.frontend.input_rate

    def frames(self, samples: int) -> int | None:
        """SED frames S of a clip of `samples`; `None` where the backbone's own frames are kept."""
        return None if self.frame_s is None else max(1, round(samples / self.input_rate / self.frame_s))

    def forward(
        self, mixture: Tensor, layers: bool = False, warp: Callable[[Tensor], Tensor] | None = None
    ) -> SedOutput:
        """Detect events.

        Args:
            mixture: [B, M, L] at `input_rate`.
            layers: ask for the layer features too.
            warp: augments the mel spectrogram [B, Q, T] in training.

        Raises:
            UserError: fewer microphones than the reference channel asks for, or others than a head of tracks hears.
        """
        if self.microphones > 1 and mixture.shape[1] != self.microphones:
            raise UserError(
                f"The SED model listens to {self.microphones} channels, but the recording has {mixture.shape[1]}: give "
                "a recording or a separator of as many, or a SED model of one channel."
            )
        if mixture.shape[1] <= self.reference_channel:
            raise UserError(
                f"The SED model listens to channel {self.reference_channel}, but the recording has "
                f"{mixture.shape[1]}: give a recording with more channels or set sed.reference_channel."
            )
        heard = mixture.flatten(0, 1) if self.microphones > 1 else mixture[:, self.reference_channel]
        x_bwv, features = self.backbone(heard, layers, warp)
        grid = (self.backbone.grid[0], x_bwv.shape[1])
        x_bsv = _to_frames(x_bwv, self.frames(mixture.shape[-1]))
        return self.decide(x_bsv, len(mixture), features, grid)

    def decide(self, x_bsv: Tensor, batch: int, features: list[Tensor], grid: tuple[int, int]) -> SedOutput:
        """What the heads make of the backbone's frames.

        Args:
            x_bsv: [B, S, V], or [B * M, S, V] of a head that listens to all microphones.
            batch: B.
            features: of the layers, passed on.
            grid: their grid.
        """
        if self.sequence is not None:
            x_bsv = recur(self.sequence, x_bsv)
        strong_bns = weak_bsn = tracks = None
        if self.tracks is not None:
            tracks = self.tracks(self._norm(x_bsv.mean(1).view(batch, -1))).float()
            clip = anywhere(tracks)
        elif self.strong_head is None:
            clip = self.weak_head(self._norm(x_bsv.mean(1))).float().sigmoid()
        else:
            x_bsv = self._norm(x_bsv)
            strong_bsn = self.strong_head(x_bsv).float() if self.training else _precise(self.strong_head, x_bsv)
            strong_bns = strong_bsn.transpose(1, 2)
            if self.head == "two_linear":
                clip = self.weak_head(x_bsv.mean(1)).float().sigmoid()
            else:
                weak_bsn = self.weak_head(x_bsv).float()
                attention = weak_bsn.softmax(-1).clamp(ATTENTION_FLOOR, 1.0)
                clip = (strong_bsn.sigmoid() * attention).sum(1) / attention.sum(1)
        return SedOutput(clip, strong_bns, weak_bsn, features, grid, tracks)

    def _norm(self, x: Tensor) -> Tensor:
        """Normalise the features of [B, S, V] or [B, V].

        Raises:
            UserError: one value of each in training, which has no spread.
        """
        if self.head_norm is None:
            return x
        if self.training and x.numel() == x.shape[-1]:
            raise UserError(
                f"sed.head={self.head} with sed.head_norm=true cannot train on a batch of a single clip: choose a "
                "batch_size of 2 or more that leaves no single clip over from epoch_size."
            )
        return self.head_norm(x) if x.ndim == 2 else self.head_norm(x.transpose(1, 2)).transpose(1, 2)


def _precise(linear: nn.Linear, x: Tensor) -> Tensor:
    """Evaluate a linear layer in float64, to float32.

    In quiet frames a logit is a small sum of thousands of large terms, and Time-FiLM's LayerNorm amplifies its error:
    summed in float32 it cost the waveform there up to 10 dB of agreement with the published system.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.double(), linear.weight.double(), linear.bias.double()).float()


def _to_frames(x_bwv: Tensor, frames: int | None) -> Tensor:
    """Stretch [B, W, V] to [B, S, V]: linear interpolation upwards, adaptive averages downwards."""
    width = x_bwv.shape[1]
    if frames is None or frames == width:
        return x_bwv
    x_bvw = x_bwv.transpose(1, 2)
    if frames > width:
        x_bvw = F.interpolate(x_bvw, size=frames, mode="linear", align_corners=False)
    else:
        x_bvw = F.adaptive_avg_pool1d(x_bvw, frames)
    return x_bvw.transpose(1, 2)
