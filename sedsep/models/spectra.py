"""What a separator has of its mixtures, computed once.

Axes: B mixtures, M microphones, T frames, F bins.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sedsep.modules.film import Affine


@dataclass(frozen=True)
class Spectrum:
    """Mixtures at the working rate, [B, ..., T, F] each, or those of rows.

    Attributes:
        spec: complex.
        heard: features.
        affine: scale and shift [F] of the magnitudes' normalisation, where feedback is normalised alike.
        length: samples of the waveforms.
    """

    spec: Tensor
    heard: Tensor
    affine: Affine | None
    length: int

    def of(self, item: Tensor) -> Spectrum:
        """Those of rows, by the mixture of each."""
        return Spectrum(self.spec[item], self.heard[item], self.affine, self.length)
