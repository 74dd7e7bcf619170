"""Embedding injection: the SED model's layer features, merged into the separator's bottleneck.

Axes: B mixtures, R rows (queries), P patches, D SED width, C bottleneck channels, T x F bottleneck map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.conditioning.base import Condition, Host, Maps
from sedsep.errors import UserError, choice
from sedsep.modules.film import BATCH_NORM_MOMENTUM, LEAKY_SLOPE
from sedsep.types import SedOutput


class Soundbeam(Condition):
    """Learned mixture of all SED layers, resized to the bottleneck and merged with it.

    Args:
        host: the separator it is made for.
        merge: `add` standardises both maps and adds them with learned weights; `concat` projects their concatenation.
    """

    title = "Soundbeam"
    site = "bottleneck"
    per_row = False
    reads = teaches = frozenset({"layers"})

    def __init__(self, host: Host, merge: Literal["add", "concat"] = "add") -> None:
        super().__init__()
        channels, sed_width = host.channels, host.sed_width
        self.merge = choice(merge, ("add", "concat"), "injection.merge")
        self.layer_weights = nn.Parameter(torch.zeros(host.sed_layers))
        self.norm = nn.BatchNorm2d(sed_width, momentum=BATCH_NORM_MOMENTUM)
        self.project = nn.Conv2d(sed_width, channels, 1)
        if merge == "add":
            self.weight_x = nn.Parameter(torch.tensor(1.0))
            self.weight_sed = nn.Parameter(torch.tensor(1.0))
        else:
            self.concat_norm = nn.BatchNorm2d(2 * channels, momentum=BATCH_NORM_MOMENTUM)
            self.concat_project = nn.Conv2d(2 * channels, channels, 1)

    def prepare(self, query: Tensor, sed: SedOutput | None, maps: Maps) -> Tensor:
        """The map to inject, [B, C, T, F]: depends on the mixture alone, so made once.

        Raises:
            UserError: another number of layer features than it was made for.
        """
        assert sed is not None
        if len(sed.layers) != len(self.layer_weights):
            raise UserError(
                f"Soundbeam mixes {len(self.layer_weights)} layer features, the SED model gave {len(sed.layers)}: ask "
                "the SED model that it was made for, with layers=True."
            )
        weights = torch.softmax(self.layer_weights, dim=0)
        mixed_bpd = sum(weight * layer for weight, layer in zip(weights, sed.layers, strict=True))
        assert isinstance(mixed_bpd, Tensor)
        map_bdtf = mixed_bpd.unflatten(1, sed.grid).permute(0, 3, 2, 1)
        y = F.leaky_relu(self.norm(map_bdtf), LEAKY_SLOPE)
        y = F.interpolate(y, size=maps.bottleneck, mode="bilinear", align_corners=False)
        y = self.project(y)
        return standardise(y) if self.merge == "add" else y

    def forward(self, x: Tensor, prepared: Tensor) -> Tensor:
        """Merge the bottleneck x [R, C, T, F] with the prepared map of each row's mixture, [R, C, T, F]."""
        if self.merge == "add":
            return self.weight_x * standardise(x) + self.weight_sed * prepared
        y = F.leaky_relu(self.concat_norm(torch.cat([x, prepared], dim=1)), LEAKY_SLOPE)
        return self.concat_project(y)


def standardise(x: Tensor) -> Tensor:
    """Zero mean and unit deviation of each sample and channel over (T, F); zeros where a map is a single point."""
    points = x.shape[2] * x.shape[3]
    std, mean = torch.std_mean(x.float(), dim=(2, 3), keepdim=True, correction=int(points > 1))
    return ((x - mean) / (std + 1e-6)).to(x.dtype)
