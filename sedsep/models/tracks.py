"""A head that names the sources of a clip one by one (DCASE 2026 Task 4, baseline).

Axes: B batch, K tracks, V features, N classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TracksHead(nn.Module):
    """Tracks that each name one class or silence: a class may be named several times, and nothing may be there.

    Args:
        features: V.
        outputs: N, and silence after them.
        tracks: K.
        width: features of a track.
        hidden: its hidden features.
    """

    def __init__(self, features: int, outputs: int, tracks: int, width: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(features, tracks * width), nn.LayerNorm(tracks * width))
        self.tracks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            for _ in range(tracks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K, N + 1] of the features [B, V]."""
        parts = self.linear(x).relu().chunk(len(self.tracks), dim=-1)
        return torch.stack([track(part) for track, part in zip(self.tracks, parts, strict=True)], dim=1)


def anywhere(logits: Tensor) -> Tensor:
    """Probability [B, N] that a class is in any of the tracks whose logits [B, K, N + 1] are given."""
    return 1 - (1 - logits.softmax(-1)[..., :-1]).prod(1)
