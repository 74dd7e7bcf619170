"""Networks as graphs of real numbers and of any length, as exported: what `SedModel` and `GuidedSeparator` compute.

Exchange formats have no complex numbers, and no branches that depend on what is heard: spectra are convolutions, every
query is answered, and silent ones are silenced at the end.

Axes: B mixtures, M microphones, L samples, K queries of a mixture, R rows, O outputs of a row, T frames, F bins,
N classes, S SED frames.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.transforms import Resample

from sedsep.dsp import Stft
from sedsep.errors import UserError
from sedsep.models.features import magnitude
from sedsep.models.guided import GuidedSeparator
from sedsep.models.m2d import LOG_EPS, LogMel
from sedsep.models.masks import MASK_PARTS, ROTATION_FLOOR
from sedsep.models.rows import Rows
from sedsep.models.sed import SedModel
from sedsep.types import SedOutput


class Rate(nn.Module):
    """`sedsep.dsp.resample` of [R, L] as a convolution."""

    kernel: Tensor

    def __init__(self, rate: int, new_rate: int, method: str = "sinc_interp_hann") -> None:
        super().__init__()
        self.old, self.new = Fraction(rate, new_rate).as_integer_ratio()
        if self.old != self.new:
            filters = Resample(rate, new_rate, method, dtype=torch.float32)
            self.width = filters.width
            self.register_buffer("kernel", filters.kernel)

    def forward(self, x: Tensor) -> Tensor:
        if self.old == self.new:
            return x
        length = (x.shape[1] * self.new + self.old - 1) // self.old
        padded = F.pad(x, (self.width, self.width + self.old))
        phases = F.conv1d(padded[:, None], self.kernel, stride=self.old)
        return phases.transpose(1, 2).flatten(1).narrow(1, 0, length)


class Spectrum(nn.Module):
    """`Stft` in real numbers: windowed cosines and sines, as a convolution.

    Args:
        stft: the transform.
        bins: of those from the lowest on, where the others are not looked at; there is no inverse then.
    """

    analysis: Tensor
    synthesis: Tensor
    envelope: Tensor

    def __init__(self, stft: Stft, bins: int | None = None) -> None:
        super().__init__()
        size, self.hop = stft.n_fft, stft.hop
        bins = bins or stft.bins
        window = torch.hann_window(size, periodic=True, dtype=torch.float64)
        # Angles of whole turns left out: what remains is exact.
        turns = torch.outer(torch.arange(bins), torch.arange(size)) % size
        angles = turns.double() * (2 * math.pi / size)
        basis = torch.cat([angles.cos(), -angles.sin()]) * window
        weight = torch.full((bins, 1), 2.0 / size, dtype=torch.float64)
        weight[0] = weight[-1] = 1.0 / size
        self.register_buffer("analysis", basis[:, None].float())
        self.register_buffer("synthesis", (basis * weight.repeat(2, 1))[:, None].float())
        self.register_buffer("envelope", window.square()[None, None].float())

    def forward(self, x: Tensor) -> Tensor:
        """Samples [R, L] to real and imaginary parts [R, 2, T, F]."""
        half = self.analysis.shape[2] // 2
        padded = F.pad(x[:, None], (half, half), mode="reflect")
        parts = F.conv1d(padded, self.analysis, stride=self.hop)
        return parts.unflatten(1, (2, -1)).transpose(2, 3)

    def inverse(self, real: Tensor, imag: Tensor, length: int) -> Tensor:
        """Parts [R, T, F] to samples [R, length]."""
        half = self.synthesis.shape[2] // 2
        parts = torch.cat([real, imag], dim=2).transpose(1, 2)
        summed = F.conv_transpose1d(parts, self.synthesis, stride=self.hop)
        squares = F.conv_transpose1d(torch.ones_like(parts[:1, :1]), self.envelope, stride=self.hop)
        return (summed / squares)[:, 0].narrow(1, half, length)


class MelGraph(nn.Module):
    """`LogMel`."""

    mel_basis: Tensor

    def __init__(self, frontend: LogMel) -> None:
        super().__init__()
        self.frontend = frontend
        self.rate = Rate(frontend.input_rate, frontend.sample_rate, "sinc_interp_kaiser")
        self.spectrum = Spectrum(frontend.stft, frontend.bins)
        self.register_buffer("mel_basis", frontend.mel_basis[: frontend.bins])

    def forward(self, x: Tensor) -> Tensor:
        frontend = self.frontend
        mel_btq = self.spectrum(self.rate(x)).square().sum(1) @ self.mel_basis
        return ((mel_btq + LOG_EPS).log() - frontend.mean).transpose(1, 2) / frontend.std


class SedGraph(nn.Module):
    """`SedModel`: mixture [B, M, L] in; clip probabilities [B, N] and, of heads that name frames, those of frames
    [B, N, S] out."""

    def __init__(self, sed: SedModel) -> None:
        super().__init__()
        self.sed, self.mel = sed, MelGraph(sed.backbone.frontend)
        frontend = sed.backbone.frontend
        patch_s = Fraction(frontend.stft.hop * sed.backbone.patch[1], frontend.sample_rate)
        self.frame = None if sed.frame_s is None else Fraction(sed.frame_s).limit_denominator(10**6)
        if self.frame is not None and self.frame > patch_s:
            raise UserError(
                f"sed.frame_s={sed.frame_s} averages over patches of {float(patch_s)} s, which is not exported: train "
                "with shorter frames."
            )

    def forward(self, mixture: Tensor) -> tuple[Tensor, ...]:
        output = self.listen(mixture)
        strong = output.strong_probabilities
        return (output.clip_probabilities,) if strong is None else (output.clip_probabilities, strong)

    def listen(self, mixture: Tensor, layers: bool = False) -> SedOutput:
        """`SedModel.forward`."""
        sed = self.sed
        heard = mixture.flatten(0, 1) if sed.microphones > 1 else mixture[:, sed.reference_channel]
        x, features, grid = self._encode(self.mel(heard), layers)
        if self.frame is not None:
            frames = self._frames(mixture.shape[2])
            x = F.interpolate(x.transpose(1, 2), size=frames, mode="linear", align_corners=False).transpose(1, 2)
        return sed.decide(x, mixture.shape[0], features, grid)

    def _frames(self, length: int) -> int:
        """The SED frames of some samples, halves rounded to even as `round` does, in whole numbers and no branches."""
        assert self.frame is not None
        size, parts = (self.frame * self.sed.input_rate).as_integer_ratio()
        above = 2 * length * parts - size  # a multiple of 4 * size where a half would go up to an odd number
        return (above + 2 * size) // (2 * size) - above // (4 * size) + (above - 1) // (4 * size)

    def _encode(self, mel_bqt: Tensor, layers: bool) -> tuple[Tensor, list[Tensor], tuple[int, int]]:
        backbone = self.sed.backbone
        size, frames = backbone.unit_frames, mel_bqt.shape[2]
        count = (frames - 1) // size
        rest = mel_bqt.narrow(2, count * size, frames - count * size)
        rest = F.pad(rest, (0, (count * size - frames) % backbone.patch[1]))
        final, inner = backbone.unit(rest, layers)
        if not isinstance(count, int) or count:  # of a free length it is no number yet
            whole = mel_bqt.narrow(2, 0, count * size).unflatten(2, (count, size)).transpose(1, 2).flatten(0, 1)
            finals, inners = backbone.unit(whole, layers)

            def joined(units: Tensor, end: Tensor) -> Tensor:
                """[B * U, G, W, D] and [B, G, w, D] to [B, G, U * W + w, D]."""
                begin = units.unflatten(0, (end.shape[0], count)).transpose(1, 2).flatten(2, 3)
                return torch.cat([begin, end], dim=2)

            final, inner = joined(finals, final), [joined(*pair) for pair in zip(inners, inner, strict=True)]
        features = [tokens.flatten(1, 2) for tokens in inner]
        sequence = final.mean(1) if backbone.flat else final.transpose(1, 2).flatten(2)
        return sequence, features, (backbone.grid[0], final.shape[2])


class SeparatorGraph(nn.Module):
    """`GuidedSeparator`: mixture [B, M, L] and query [B, K, N] in, estimates [B, K, L] out.

    Args:
        network: in evaluation mode.
        passes: refinement passes, written out one after the other.
    """

    def __init__(self, network: GuidedSeparator, passes: int) -> None:
        super().__init__()
        separator = network.separator
        self.separator, self.passes = separator, passes
        self.sed = None if network.sed is None else SedGraph(network.sed)
        self.there = Rate(separator.input_rate, separator.sample_rate)
        self.back = Rate(separator.sample_rate, separator.input_rate)
        self.spectrum = Spectrum(separator.stft)

    def forward(self, mixture: Tensor, query: Tensor) -> Tensor:
        separator = self.separator
        sed = None if self.sed is None else self.sed.listen(mixture, "layers" in separator.reads)
        waveform = self.there(mixture.flatten(0, 1))
        spec = self.spectrum(waveform).unflatten(0, mixture.shape[:2])  # [B, M, 2, T, F]
        frames = spec.shape[3]
        maps = separator.maps(frames)
        shared = {
            name: part.prepare(query, sed, maps) for name, part in separator.conditions.items() if not part.per_row
        }
        rows = self._rows(query)
        terms, at_bottleneck = separator.prepare(rows, sed, maps, shared)
        sounds = (rows.query.unflatten(1, (separator.outputs, -1)).abs().amax(2, keepdim=True) > 0).to(query.dtype)
        given, affine = separator.hear(*spec.unbind(2))
        spec_rm2tf, given = spec[rows.item], given[rows.item]
        feedback = None
        for index in range(self.passes):
            x = given
            if separator.bn0_feedback is not None:
                estimate = torch.zeros_like(spec_rm2tf[:, :1]).expand(-1, separator.outputs, -1, -1, -1)
                if feedback is not None:
                    estimate = self.spectrum(feedback.flatten(0, 1)).unflatten(0, (-1, separator.outputs))
                real, imag = estimate.unbind(2)
                heard = separator.bn0_feedback(magnitude(real, imag), index, affine)
                phases = separator.feedback.phases(real, imag, *spec_rm2tf[:, :1].unbind(2))
                x = torch.cat([x, heard, *phases], dim=1)
            x = F.pad(x[..., :-1], (0, 0, 0, maps.frames - frames))
            told = terms if separator.pass_film is None else separator.pass_film(terms, index)
            x = separator.unet(x, told, at_bottleneck, separator.pre_conv, separator.after_conv)
            estimate = self._synthesise(x.narrow(2, 0, frames), spec_rm2tf, waveform.shape[1])
            feedback = sounds * estimate
        assert feedback is not None
        estimates = self.back(feedback.flatten(0, 1)).narrow(1, 0, mixture.shape[2])
        return estimates.unflatten(0, (query.shape[0], query.shape[1]))

    def _rows(self, query: Tensor) -> Rows:
        item = torch.arange(query.shape[0], device=query.device)
        if self.separator.outputs > 1:
            return Rows(item, None, query.flatten(1))
        return Rows(item[:, None].expand(-1, query.shape[1]).flatten(), None, query.flatten(0, 1))

    def _synthesise(self, x: Tensor, spec: Tensor, length: int) -> Tensor:
        """`masked` and the inverse transform in real numbers: waveforms [R, O, l].

        Args:
            x: logits [R, O * M * parts, T, F - 1].
            spec: [R, M, 2, T, F].
            length: l.
        """
        separator, outputs = self.separator, self.separator.outputs
        weight, bias = separator.out_conv.weight, separator.out_conv.bias
        parts = x.unflatten(1, (outputs, separator.microphones, MASK_PARTS))
        turn_real, turn_imag = parts[:, :, :, 1].tanh(), parts[:, :, :, 2].tanh()
        squared = (turn_real.square() + turn_imag.square()).clamp_min(ROTATION_FLOOR**2)
        mask = parts[:, :, :, 0].sigmoid() * squared.rsqrt() * weight[0]
        real, imag = spec[:, None, :, 0, :, :-1], spec[:, None, :, 1, :, :-1]
        masked_real = (mask * (turn_real * real - turn_imag * imag)).sum(2)
        masked_imag = (mask * (turn_real * imag + turn_imag * real)).sum(2)
        assert bias is not None
        real, imag = ((F.pad(part, (0, 1)) + bias).flatten(0, 1) for part in (masked_real, masked_imag))
        waveforms = self.spectrum.inverse(real, imag, length)
        return waveforms.unflatten(0, (-1, outputs))
