"""A separator composed with the Stage 2 SED model that guides it.

Axes: B mixtures, M microphones, L samples, K queries of a mixture, N classes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor, nn

from sedsep.errors import UserError
from sedsep.models.feedback import Gradient
from sedsep.models.sed import SedModel
from sedsep.models.separator import Separator
from sedsep.types import SedOutput, Separation


class GuidedSeparator(nn.Module):
    """A separator and the Stage 2 SED model that guides it: mixture and queries in, waveforms out.

    Args:
        separator: makes the separator from (sed_layers, sed_width).
        sed: the Stage 2 SED model; `None` for a separator without guidance.
        sed_trainable: whether it learns with the separator; frozen, it stays in evaluation mode without gradient.

    Raises:
        UserError: guidance without a SED model, or from one that does not fit.
    """

    longest: int | None = None  # samples that it can hear at once

    def __init__(self, separator: Callable[..., Separator], sed: SedModel | None = None, sed_trainable: bool = True):
        super().__init__()
        self.sed_trainable = sed_trainable
        sizes = {} if sed is None else {"sed_layers": sed.backbone.layers, "sed_width": sed.backbone.width}
        self.separator = separator(**sizes)
        # What users of the whole ask, and need not know which part says it.
        self.input_rate, self.microphones = self.separator.input_rate, self.separator.microphones
        self.classes, self.outputs = self.separator.classes, self.separator.outputs
        self.iters, self.trained_passes = self.separator.iters, self.separator.trained_passes
        stft, rate, working = self.separator.stft, self.separator.input_rate, self.separator.sample_rate
        # Chunks of a recording begin where the U-Net's strides do: shifted against them, estimates agree to 27 dB
        # instead of 90.
        self.stride = Fraction(stft.hop * self.separator.unet.time_stride * rate, working).numerator
        self.shortest = stft.shortest(rate, working)
        if self.separator.reads and sed is None:
            raise UserError("The conditioning asks for a SED model and none is configured: set conditioning.sed.")
        self.sed = sed if self.separator.reads else None
        if self.sed is not None:
            self._check(self.sed)
            self._freeze(self.sed)

    def _check(self, sed: SedModel) -> None:
        separator = self.separator
        if (sed.input_rate, sed.classes) != (separator.input_rate, separator.classes):
            raise UserError(
                f"The SED model names {sed.classes} classes at {sed.input_rate} Hz, the separator {separator.classes} "
                f"at {separator.input_rate} Hz: give both the same."
            )
        if sed.reference_channel >= separator.microphones:
            raise UserError(
                f"sed.reference_channel={sed.reference_channel} is not among the {separator.microphones} microphones: "
                "choose a lower one."
            )
        for condition in separator.conditions.values():
            if "frames" in condition.reads and sed.strong_head is None:
                raise UserError(
                    f"{condition.title} needs a SED model that names frames: use head attention or two_linear."
                )

    def _freeze(self, sed: SedModel) -> None:
        """Ask for no gradient where none can come: distributed training waits for every one that is asked for."""
        teachers = frozenset().union(*(condition.teaches for condition in self.separator.conditions.values()))
        out_of_reach: list[nn.Module | None] = [sed.weak_head]  # conditions read frames and layer features
        if "frames" not in teachers:  # layer features come before the last norm
            out_of_reach += [sed.backbone.norm, sed.sequence, sed.strong_head]
        if not self.sed_trainable or not teachers:
            out_of_reach = [sed]
        for part in out_of_reach:
            if part is not None:
                part.requires_grad_(False)
        if not self.sed_trainable:
            sed.eval()

    def check_passes(self, passes: int | None) -> None:
        """Refuse refinement passes that it cannot do; `None` for those it is made for.

        Raises:
            UserError: others were asked for.
        """
        # A silent query costs nothing and is checked as any other.
        device = self.separator.out_conv.weight.device
        silence = torch.zeros(1, self.outputs, self.classes, device=device)
        mixture = torch.zeros(1, self.microphones, 1, device=device)
        self.separator(mixture, silence, SedOutput(silence[:, 0]), passes)

    def part(self, name: str) -> object:
        """A size or part of the separator by the name of its argument; `None` for a part that was left out."""
        return getattr(self.separator, name)

    def train(self, mode: bool = True) -> GuidedSeparator:
        super().train(mode)
        if self.sed is not None and not self.sed_trainable:
            self.sed.eval()
        return self

    def listen(self, mixture: Tensor) -> SedOutput | None:
        """The Stage 2 SED model's output for [B, M, L]: depends on the mixture alone."""
        if self.sed is None:
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.sed_trainable):
            return self.sed(mixture, layers="layers" in self.separator.reads)

    def forward(
        self,
        mixture: Tensor,
        query: Tensor,
        passes: int | None = None,
        guidance: SedOutput | None = None,
        gradient: Gradient = "last",
        before: Tensor | None = None,
    ) -> Separation:
        """See `Separator.forward`; `guidance` is what the SED model gave where it has listened already."""
        sed = self.listen(mixture) if guidance is None else guidance
        return self.separator(mixture, query, sed, passes, gradient, before)
