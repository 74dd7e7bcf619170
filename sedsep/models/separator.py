"""The label-queried separator.

Axes: B mixtures, M microphones, L samples, K queries of a mixture, R rows (one query of one mixture each), O outputs
of a row, T frames, F bins, C channels, N classes, S SED frames.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sedsep.conditioning import LabelFilm, Soundbeam, TimeFilm
from sedsep.dsp import Stft, fit_length, resample
from sedsep.errors import UserError
from sedsep.models.resunet import UNet
from sedsep.modules.dprnn import Dprnn
from sedsep.modules.film import BinNorm, FilmTerm
from sedsep.types import SedOutput, Separation

POWER_FLOOR = 1e-10
ROTATION_FLOOR = 1e-10
WIDEST_ON_CPU = 1 << 26
"""Elements of the widest map that several rows may share on a CPU: 256 MiB in float32."""
MAPS_ON_GPU = 8
"""Parts of a GPU's memory that a row's widest map in float32 may be one of: on a CPU a row held about six such maps."""
MASK_PARTS = 3  # magnitude, and the two coordinates of the phase rotation


class Separator(nn.Module):
    """AudioSep's ResUNet, queried by class, optionally guided in time, injected with SED features and refined.

    Args:
        input_rate: Hz of mixtures and estimates. sample_rate: Hz that it works at; the two may differ.
        microphones: M. classes: N.
        n_fft, hop: samples at `sample_rate`.
        widths: channels of the U-Net's stages.
        condition_width: width of label and time embeddings.
        iters: refinement passes it is made for; 0 leaves the feedback channel out.
        outputs: waveforms a row gives: 1 a query, or K at once from the concatenated queries (ResUNetK).
        time_film: makes Time-FiLM from (width, sites); `None` leaves it out.
        injection: makes the embedding injection from (sed_layers, sed_width, channels); `None` leaves it out.
        dprnn: makes the recurrence from (channels); `None` leaves it out.
        sed_layers, sed_width: number and width of the layer features to inject.

    Raises:
        UserError: sizes that do not divide, or conditions that do not fit together.
    """

    def __init__(
        self,
        input_rate: int,
        sample_rate: int,
        microphones: int,
        classes: int,
        n_fft: int,
        hop: int,
        widths: Sequence[int],
        condition_width: int,
        iters: int = 0,
        outputs: int = 1,
        time_film: Callable[..., TimeFilm] | None = None,
        injection: Callable[..., Soundbeam] | None = None,
        dprnn: Callable[..., Dprnn] | None = None,
        sed_layers: int = 0,
        sed_width: int = 0,
    ) -> None:
        super().__init__()
        self.input_rate, self.sample_rate = input_rate, sample_rate
        self.microphones, self.classes, self.outputs, self.iters = microphones, classes, outputs, iters
        self.stft = Stft(n_fft, hop)
        self.unet = UNet(widths)
        self._check(time_film is not None)
        self.bn0 = BinNorm(self.stft.bins)
        self.bn0_feedback = BinNorm(self.stft.bins) if iters else None
        self.pre_conv = nn.Conv2d(microphones + bool(iters), widths[0], 1)
        self.after_conv = nn.Conv2d(widths[0], microphones * MASK_PARTS * outputs, 1)
        self.out_conv = nn.Conv2d(microphones, 1, 1)
        sites = self.unet.sites
        self.label_film = LabelFilm(classes * outputs, condition_width, sites)
        self.time_film = time_film and time_film(width=condition_width, sites=sites)
        self.injection = injection and injection(sed_layers=sed_layers, sed_width=sed_width, channels=widths[-1])
        self.dprnn = dprnn and dprnn(channels=widths[-1])
        self._start_from_mixture()
        # One layout end to end: no reordering between convolutions.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _check(self, time_film: bool) -> None:
        if self.iters < 0:
            raise UserError(f"refinement.iters={self.iters} is no number of passes: give 0 for none, or more.")
        if self.stft.hop >= self.stft.n_fft:
            raise UserError(
                f"hop={self.stft.hop} leaves gaps between windows of n_fft={self.stft.n_fft}: choose a smaller hop."
            )
        stride = self.unet.frequency_stride
        if (self.stft.bins - 1) % stride:
            raise UserError(
                f"n_fft={self.stft.n_fft} gives {self.stft.bins - 1} bins, which {len(self.unet.encoder)} stages "
                f"cannot halve: choose a multiple of {2 * stride} or fewer widths."
            )
        if self.outputs > 1 and (time_film or self.iters):
            raise UserError(
                f"outputs={self.outputs} answers several queries at once, which neither Time-FiLM nor refinement can "
                "follow: use conditioning=none and refinement=none, or outputs=1."
            )

    def _start_from_mixture(self) -> None:
        """Before training the output is about half the reference channel: a sane start for a mask."""
        with torch.no_grad():
            self.out_conv.weight.zero_()
            self.out_conv.weight[:, 0] = 1.0
            self.out_conv.bias.zero_()  # type: ignore[union-attr]
            self.after_conv.weight.mul_(0.1)
            bias = self.after_conv.bias.view(self.outputs, self.microphones, MASK_PARTS)  # type: ignore[union-attr]
            bias.zero_()
            bias[:, :, 1] = 1.0  # no rotation

    @property
    def needs_sed(self) -> bool:
        """Whether `forward` wants a `SedOutput`."""
        return self.time_film is not None or self.injection is not None

    @property
    def trained_passes(self) -> int:
        """Refinement passes that it is made for: one where nothing is fed back."""
        return max(1, self.iters)

    def forward(
        self, mixture: Tensor, query: Tensor, sed: SedOutput | None = None, passes: int | None = None
    ) -> Separation:
        """Separate the queried classes.

        Args:
            mixture: [B, M, L] at `input_rate`.
            query: one-hot rows [B, K, N]; a row of zeros is silence and gives exact zeros.
            sed: of the same mixtures, where `needs_sed`.
            passes: refinement passes; by default `trained_passes`. In training only the last one carries a gradient.
        """
        passes = self._checked_passes(mixture, query, sed, passes)
        if not self.training and not query.any():
            silence = mixture.new_zeros(*query.shape[:2], mixture.shape[-1])
            return Separation(silence, [silence] * passes)
        waveform = resample(mixture, self.input_rate, self.sample_rate)
        heard = self._hear(waveform, sed)
        every = self._rows(query)
        parts = [self._refine(heard, rows, sed, passes) for rows in every.split(self._rows_at_once(heard))]
        estimates = [
            self._assemble(torch.cat(list(rows_rol)), every, query, mixture.shape[-1])
            for rows_rol in zip(*parts, strict=True)
        ]
        return Separation(estimates[-1], estimates)

    def _hear(self, waveform: Tensor, sed: SedOutput | None) -> _Heard:
        """What depends on the mixture alone, computed once for all queries and passes."""
        spec = self.stft(waveform)
        magnitude = _magnitude(spec)
        injected = None
        if self.injection is not None and sed is not None:
            frames, bins = self._padded(spec.shape[2]), self.stft.bins - 1
            size = (frames // self.unet.time_stride, bins // self.unet.frequency_stride)
            injected = self.injection.prepare(sed, size)
        return _Heard(waveform.shape[-1], spec / magnitude, magnitude, self.bn0(magnitude), injected)

    def _padded(self, frames: int) -> int:
        return frames + -frames % self.unet.time_stride

    def _rows_at_once(self, heard: _Heard) -> int:
        """All of them in training. In evaluation label sources ask for many: on a CPU as many as keep the widest map
        small, for more would only take memory, on a GPU as many as fit."""
        device = heard.magnitude.device
        if self.training or torch.is_grad_enabled():
            return sys.maxsize
        widest = 2 * self.pre_conv.out_channels * self._padded(heard.magnitude.shape[2]) * self.stft.bins
        return max(1, _most_elements(device) // widest)

    def _refine(self, heard: _Heard, rows: _Rows, sed: SedOutput | None, passes: int) -> list[Tensor]:
        """Estimates of some rows after each pass, [R, O, l] at the working rate."""
        terms = self._terms(rows, sed, self._padded(heard.magnitude.shape[2]))
        normal = heard.normal[rows.item]
        phasors = _Phasors(heard.unit[rows.item], heard.magnitude[rows.item])
        condition = _Condition(terms, None if heard.injected is None else heard.injected[rows.item])
        feedback = torch.zeros(len(rows.item), heard.length, device=normal.device)
        estimates = []
        for index in range(passes):
            last = index == passes - 1
            with torch.set_grad_enabled(torch.is_grad_enabled() and (last or not self.training)):
                estimates.append(self._one_pass(normal, phasors, condition, feedback, heard.length))
            feedback = estimates[-1][:, 0].detach() if self.training else estimates[-1][:, 0]
        return estimates

    def _checked_passes(self, mixture: Tensor, query: Tensor, sed: SedOutput | None, passes: int | None) -> int:
        if mixture.shape[1] != self.microphones:
            raise UserError(
                f"The separator was built for {self.microphones} microphones, the recording has {mixture.shape[1]}: "
                "give a recording with that many channels."
            )
        if len(query) != len(mixture):
            raise UserError(f"{len(mixture)} mixtures came with queries for {len(query)}: give each its own.")
        if query.shape[2] != self.classes:
            raise UserError(
                f"The query has {query.shape[2]} classes, the separator {self.classes}: use its own label set."
            )
        if self.outputs > 1 and query.shape[1] != self.outputs:
            raise UserError(f"This separator answers {self.outputs} queries at once, not {query.shape[1]}.")
        if self.needs_sed and sed is None:
            raise UserError("This separator is guided by a SED model: pass its output.")
        passes = self.trained_passes if passes is None else passes
        if passes < 1:
            raise UserError(f"{passes} passes were asked of the separator: ask for at least 1.")
        if passes > 1 and not self.iters:
            raise UserError(
                f"{passes} passes were asked of a separator without feedback (refinement.iters=0): ask for 1, or train "
                "one with refinement.iters of at least 1."
            )
        return passes

    def _rows(self, query: Tensor) -> _Rows:
        """The work to do: in evaluation silent queries cost nothing."""
        if self.outputs > 1:
            items = torch.arange(len(query), device=query.device)
            return _Rows(items, None, query.flatten(1))
        active = query.any(dim=2) if not self.training else torch.ones_like(query[..., 0], dtype=torch.bool)
        item, slot = active.nonzero(as_tuple=True)
        return _Rows(item, slot, query[item, slot])

    def _terms(self, rows: _Rows, sed: SedOutput | None, frames: int) -> list[FilmTerm]:
        """The condition of each BatchNorm, for rows and a padded number of frames."""
        bias = self.label_film(rows.query)
        if self.time_film is None:
            return [FilmTerm(b) for b in bias]
        if sed is None or sed.strong_logits is None:
            raise UserError("Time-FiLM needs a SED model that names frames: use head attention or two_linear.")
        logits_rs = torch.einsum("rn,rns->rs", rows.query, sed.strong_logits[rows.item])
        return self.time_film(logits_rs, bias, self.label_film.film, frames)

    def _one_pass(
        self, normal: Tensor, phasors: _Phasors, condition: _Condition, feedback: Tensor, length: int
    ) -> Tensor:
        """Estimates of every row [R, O, length] at the working rate."""
        if self.bn0_feedback is not None:
            spec = self.stft(feedback[:, None])
            normal = torch.cat([normal, self.bn0_feedback(_magnitude(spec))], dim=1)
        logits = self._mask_logits(normal, condition)
        return self._synthesise(logits, phasors, length)

    def _mask_logits(self, x: Tensor, condition: _Condition) -> Tensor:
        """Normalised magnitudes [R, M (+1), T, F] to mask logits [R, O, M, 3, T, F - 1]."""
        frames = x.shape[2]
        x = nn.functional.pad(x[..., :-1], (0, 0, 0, self._padded(frames) - frames))
        x = self.pre_conv(x.contiguous(memory_format=torch.channels_last))

        def at_bottleneck(y: Tensor) -> Tensor:
            if self.dprnn is not None and self.dprnn.position == "before":
                y = self.dprnn(y)
            if self.injection is not None:
                y = self.injection(y, condition.injected)
            if self.dprnn is not None and self.dprnn.position == "after":
                y = self.dprnn(y)
            return y

        x = self.after_conv(self.unet(x, condition.terms, at_bottleneck))[:, :, :frames]
        return x.float().unflatten(1, (self.outputs, self.microphones, MASK_PARTS))

    def _synthesise(self, logits: Tensor, phasors: _Phasors, length: int) -> Tensor:
        """Mask and rotate the mixture's bins, sum the microphones and transform back: [R, O, length]."""
        with torch.autocast(logits.device.type, enabled=False):
            magnitude = phasors.magnitude[:, None, :, :, :-1] * logits[:, :, :, 0].sigmoid()
            real, imag = logits[:, :, :, 1].tanh(), logits[:, :, :, 2].tanh()
            length_inverse = (real.square() + imag.square()).clamp_min(ROTATION_FLOOR**2).rsqrt()
            rotation = torch.complex(real, imag) * (magnitude * length_inverse)
            bins = rotation * phasors.unit[:, None, :, :, :-1]
            weight = self.out_conv.weight[0, :, 0, 0].to(bins.dtype)
            mixed = torch.einsum("romtf,m->rotf", bins, weight)
            # The last bin was left out of the network: it is zero before out_conv, whose bias reaches it all the same.
            mixed = nn.functional.pad(mixed, (0, 1))
            bias = self.out_conv.bias
            assert bias is not None
            return self.stft.inverse(mixed + torch.complex(bias, bias), length)

    def _assemble(self, rows_rol: Tensor, rows: _Rows, query: Tensor, length: int) -> Tensor:
        """Rows [R, O, l] to [B, K, length] at the input rate, zeros for silence."""
        waveform = fit_length(resample(rows_rol, self.sample_rate, self.input_rate), length)
        if rows.slot is None:
            return waveform * query.any(dim=2, keepdim=True)
        estimates = waveform.new_zeros(*query.shape[:2], length)
        estimates = estimates.index_put((rows.item, rows.slot), waveform[:, 0])
        return estimates * query.any(dim=2, keepdim=True)


@dataclass(frozen=True)
class _Rows:
    """Which mixture and slot each row belongs to (`slot` is `None` where a row answers all slots), and its query."""

    item: Tensor
    slot: Tensor | None
    query: Tensor

    def split(self, count: int) -> list[_Rows]:
        """Parts of `count` rows."""
        starts = range(0, len(self.item), count)
        return [
            _Rows(
                self.item[start : start + count],
                None if self.slot is None else self.slot[start : start + count],
                self.query[start : start + count],
            )
            for start in starts
        ]


@dataclass(frozen=True)
class _Heard:
    """A mixture at the working rate: its length, the directions, floored magnitudes and normalised magnitudes of its
    spectrum [B, M, T, F], and the map to inject [B, C, t, f]."""

    length: int
    unit: Tensor
    magnitude: Tensor
    normal: Tensor
    injected: Tensor | None


@dataclass(frozen=True)
class _Condition:
    """What a pass is conditioned on: the terms of each site, and the map to inject [R, C, T, F]."""

    terms: list[FilmTerm]
    injected: Tensor | None


@dataclass(frozen=True)
class _Phasors:
    """A spectrum [R, M, T, F] as direction and floored magnitude."""

    unit: Tensor
    magnitude: Tensor


def _most_elements(device: torch.device) -> int:
    """Of the widest map, for several rows together."""
    if device.type != "cuda":
        return WIDEST_ON_CPU
    return torch.cuda.get_device_properties(device).total_memory // (4 * MAPS_ON_GPU)


def _magnitude(spec: Tensor) -> Tensor:
    return (spec.real.square() + spec.imag.square()).clamp_min(POWER_FLOOR).sqrt()
