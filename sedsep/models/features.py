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
    return _product(real[:, 1:], imag[:, 1:], real[:, :1], imag[:, :1])[0] / energy.clamp_min(POWER_FLOOR)


def phase(real: Tensor, imag: Tensor) -> Tensor:
    """Cosine and sine of each microphone's phase against the first one's, [B, 2 * (M - 1), T, F] (Wang et al. 2018,
    "Multi-channel deep clustering")."""
    return angle(real[:, 1:], imag[:, 1:], real[:, :1], imag[:, :1])


def angle(real: Tensor, imag: Tensor, first_real: Tensor, first_imag: Tensor) -> Tensor:
    """Cosines and then sines of the angles of spectra [B, C, T, F] to a first one [B, 1, T, F], [B, 2 * C, T, F]; zeros
    where either is silent."""
    cosine, sine = _product(real, imag, first_real, first_imag)
    length_inverse = (cosine.square() + sine.square()).clamp_min(POWER_FLOOR**2).rsqrt()
    return torch.cat([cosine * length_inverse, sine * length_inverse], dim=1)


def _product(real: Tensor, imag: Tensor, first_real: Tensor, first_imag: Tensor) -> tuple[Tensor, Tensor]:
    """Spectra times the conjugate of a first one."""
    return real * first_real + imag * first_imag, imag * first_real - real * first_imag


SPATIAL: Mapping[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "intensity": (intensity, 1),
    "phase": (phase, 2),
}
"""Features beside the magnitudes, and the channels that each has for a microphone but the first."""


def spatial(features: Sequence[str], microphones: int) -> dict[str, int]:
    """Those of `features` that stand beside the magnitudes, and the channels of each.

    Raises:
        UserError: one is not known, magnitudes are not among them, or nothing tells them.
    """
    names = [choice(name, (MAGNITUDE, *SPATIAL), "model.features") for name in features]
    if MAGNITUDE not in names or len(set(names)) < len(names):
        raise UserError(f"model.features={names} has to name {MAGNITUDE}, and nothing twice.")
    names.remove(MAGNITUDE)
    if names and microphones == 1:
        raise UserError(f"One microphone tells no {names[0]}: leave it out of model.features.")
    return {name: SPATIAL[name][1] * (microphones - 1) for name in names}
