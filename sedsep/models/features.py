"""What a separator hears of a mixture's spectrum: magnitudes and, beside them, where in space each bin's sound is from.

Axes: B mixtures, M microphones, T frames, F bins. Spectra come as their real and imaginary parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sedsep.errors import UserError, choice

POWER_FLOOR = 1e-10

MAGNITUDE = "magnitude"


def magnitude(real: Tensor, imag: Tensor) -> Tensor:
    """Of every bin, no less than that of silence."""
    return (real.square() + imag.square()).clamp_min(POWER_FLOOR).sqrt()


def intensity(real: Tensor, imag: Tensor) -> Tensor:
    """Active intensity over energy: for each microphone but the first, [B, M - 1, T, F] between -1 and 1.

    Of first-order ambisonics (W, Y, Z, X) it points to where a plane wave is from (Perotin et al. 2019, section III).
    """
    power = real.square() + imag.square()
    energy = (power[:, :1] + power[:, 1:].sum(1, keepdim=True)) / 2
    return _product(real, imag)[0] / energy.clamp_min(POWER_FLOOR)


def phase(real: Tensor, imag: Tensor) -> Tensor:
    """Cosine and sine of each microphone's phase against the first one's, [B, 2 * (M - 1), T, F] (Wang et al. 2018,
    "Multi-channel deep clustering"); zeros in silence."""
    product_real, product_imag = _product(real, imag)
    length = (product_real.square() + product_imag.square()).sqrt().clamp_min(POWER_FLOOR)
    return torch.cat([product_real / length, product_imag / length], dim=1)


def _product(real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Each microphone but the first times the first one's conjugate."""
    first_real, first_imag, others_real, others_imag = real[:, :1], imag[:, :1], real[:, 1:], imag[:, 1:]
    return (
        others_real * first_real + others_imag * first_imag,
        others_imag * first_real - others_real * first_imag,
    )


SPATIAL: Mapping[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "intensity": (intensity, 1),
    "phase": (phase, 2),
}
"""Features beside the magnitudes, and the channels that each has for a microphone but the first."""


def spatial(features: Sequence[str], microphones: int) -> tuple[list[str], int]:
    """Those of `features` that stand beside the magnitudes, and their channels in all.

    Raises:
        UserError: one is not known, magnitudes are not among them, or nothing tells them.
    """
    names = [choice(name, (MAGNITUDE, *SPATIAL), "model.features") for name in features]
    if MAGNITUDE not in names or len(set(names)) < len(names):
        raise UserError(f"model.features={names} has to name {MAGNITUDE}, and nothing twice.")
    names.remove(MAGNITUDE)
    if names and microphones == 1:
        raise UserError(f"One microphone tells no {names[0]}: leave it out of model.features.")
    return names, sum(SPATIAL[name][1] for name in names) * (microphones - 1)
