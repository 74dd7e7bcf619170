"""From a network's logits to a mixture's bins, masked, rotated and summed over microphones.

Axes: R rows, C channels, M microphones, O outputs of a row, T frames, F bins.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sedsep.models.scratch import tiles
from sedsep.modules.steps import channels_last, flat

MASK_PARTS = 3
"""Magnitude, and the two coordinates of the phase rotation."""

ROTATION_FLOOR = 1e-10


def masked(logits: Tensor, spec: Tensor, weight: Tensor, outputs: int) -> Tensor:
    """Mask and rotate the bins of a mixture and sum its microphones.

    Args:
        logits: of all parts of the masks, [R, O * M * parts, T, F], with frames and without bins at the end.
        spec: [R, M, T, F].
        weight: of each microphone [M].
        outputs: O.

    Returns:
        Complex [R, O, T, F], without the last bin.
    """
    parts = logits[:, :, : spec.shape[2]].float().unflatten(1, (outputs, -1, MASK_PARTS))
    real, imag = parts[:, :, :, 1].tanh(), parts[:, :, :, 2].tanh()
    length_inverse = (real.square() + imag.square()).clamp_min(ROTATION_FLOOR**2).rsqrt()
    mask = torch.complex(real, imag) * (parts[:, :, :, 0].sigmoid() * length_inverse)
    return torch.einsum("romtf,m->rotf", mask * spec[:, None, ..., :-1], weight.to(spec.dtype))


def masked_in_tiles(x: Tensor, conv: nn.Conv2d, spec: Tensor, weight: Tensor, outputs: int) -> Tensor:
    """`masked`, of the logits that a 1x1 convolution gives, without autograd: a few frames at a time, part by part.

    Args:
        x: what the convolution is given, [R, C, T, F].
        conv: gives the logits.
        spec: as in `masked`.
        weight: as in `masked`.
        outputs: O.
    """
    x, (rows, _, frames, bins) = channels_last(x), spec.shape  # a compiler may have laid it out otherwise
    kernel, offset = conv.weight[:, :, 0, 0].to(x.dtype), conv.bias
    assert offset is not None
    mixed = spec.new_empty(rows, outputs, frames, bins - 1)
    for row in range(rows):
        one = slice(row, row + 1)
        for tile in tiles(x[one, :, :frames]):
            pixels = x[one, :, :frames][:, :, tile]
            logits = torch.addmm(offset.to(x.dtype)[:, None], kernel, flat(pixels).T)
            logits = logits.view(1, -1, *pixels.shape[2:])
            mixed[one, :, tile] = masked(logits, spec[one, :, tile], weight, outputs)
    return mixed
