"""The label-queried separator.

Axes: B mixtures, M microphones, L samples, K queries of a mixture, R rows (one query of one mixture each), O outputs
of a row, T frames, F bins, C channels, N classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sedsep.conditioning import Condition, Host, LabelFilm, Maps
from sedsep.dsp import Stft, fit_length, resample
from sedsep.errors import UserError
from sedsep.models.features import MAGNITUDE, SPATIAL, magnitude, spatial
from sedsep.models.feedback import Feedback, Gradient, PassFilm
from sedsep.models.masks import MASK_PARTS, masked, masked_in_tiles
from sedsep.models.remade import remake
from sedsep.models.resunet import UNet
from sedsep.models.rows import Rows
from sedsep.models.spectra import Spectrum
from sedsep.models.tf_attention import TfAttention
from sedsep.modules.dprnn import Dprnn
from sedsep.modules.film import Affine, BinNorm, FilmTerm
from sedsep.types import SedOutput, Separation


class Separator(nn.Module):
    """AudioSep's ResUNet, queried by class, optionally guided in time, injected with SED features and refined.

    Args:
        input_rate: Hz of mixtures and estimates.
        sample_rate: Hz that it works at; the two may differ.
        microphones: M.
        classes: N.
        n_fft: samples of a window at `sample_rate`.
        hop: samples between windows.
        widths: channels of the network's maps, outermost first; the U-Net's stages.
        condition_width: width of label and time embeddings.
        iters: refinement passes it is made for; 0 leaves the feedback out, a channel for each output.
        feedback: how estimates are fed back; `None` as published.
        outputs: waveforms a row gives: 1 a query, or K at once from the concatenated queries (ResUNetK).
        time_film: makes Time-FiLM from a `Host`; `None` leaves it out.
        injection: makes the embedding injection from a `Host`; `None` leaves it out.
        conditions: makes further conditions by name from a `Host`; `None` leaves one out.
        dprnn: makes the recurrence from (channels); `None` leaves it out.
        sed_layers: number of the layer features to inject.
        sed_width: their width.
        body: makes the network between the first and the last convolution from (widths); `None` for the U-Net.
        features: what it hears of a spectrum: magnitudes, and beside them any of `SPATIAL`.

    Raises:
        UserError: sizes that do not divide, or conditions that do not fit together.
    """

    label_film: LabelFilm
    time_film: Condition | None
    injection: Condition | None

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
        feedback: Feedback | None = None,
        outputs: int = 1,
        time_film: Callable[[Host], Condition] | None = None,
        injection: Callable[[Host], Condition] | None = None,
        conditions: Mapping[str, Callable[[Host], Condition] | None] | None = None,
        dprnn: Callable[..., Dprnn] | None = None,
        sed_layers: int = 0,
        sed_width: int = 0,
        body: Callable[[Sequence[int]], UNet | TfAttention] | None = None,
        features: Sequence[str] = (MAGNITUDE,),
    ) -> None:
        super().__init__()
        self.input_rate, self.sample_rate = input_rate, sample_rate
        self.microphones, self.classes, self.outputs, self.iters = microphones, classes, outputs, iters
        self.trained_passes = max(1, iters)
        self.stft = Stft(n_fft, hop)
        self.unet = UNet(widths) if body is None else body(widths)  # under the U-Net's name, whatever it is
        self.spatial = spatial(features, microphones)
        self._check_sizes()
        self.bn0 = BinNorm(self.stft.bins)
        self.feedback = feedback or Feedback()
        self.bn0_feedback = self.feedback.norm(self.stft.bins, iters) if iters else None
        self.pass_film = PassFilm(iters, self.unet.sites) if iters and self.feedback.numbered else None
        self.heard = {MAGNITUDE: microphones, **self.spatial, **(self.feedback.channels(outputs) if iters else {})}
        self.pre_conv = nn.Conv2d(sum(self.heard.values()), widths[0], 1)
        self.after_conv = nn.Conv2d(widths[0], microphones * MASK_PARTS * outputs, 1)
        self.out_conv = nn.Conv2d(microphones, 1, 1)
        query, sites = classes * outputs, self.unet.sites
        host = Host(query, condition_width, sites, widths[-1], sed_layers, sed_width, outputs)
        makers = {"label_film": LabelFilm, "time_film": time_film, "injection": injection, **(conditions or {})}
        for name, make in makers.items():
            if hasattr(self, name):
                raise UserError(f"A separator has a part of its own called {name}: call the condition something else.")
            self.register_module(name, make and make(host))
        self.dprnn = dprnn and dprnn(channels=widths[-1])
        self._start_from_mixture()
        # One layout end to end: no reordering between convolutions.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _check_sizes(self) -> None:
        if self.iters < 0:
            raise UserError(f"refinement.iters={self.iters} is no number of passes: give 0 for none, or more.")
        if self.stft.hop >= self.stft.n_fft:
            raise UserError(
                f"hop={self.stft.hop} leaves gaps between windows of n_fft={self.stft.n_fft}: choose a smaller hop."
            )
        self.unet.check(self.stft.n_fft)

    @torch.no_grad()
    def _start_from_mixture(self) -> None:
        """Before training the output is about half the reference channel: a sane start for a mask."""
        assert self.out_conv.bias is not None and self.after_conv.bias is not None
        self.out_conv.weight.zero_()
        self.out_conv.weight[:, 0] = 1.0
        self.out_conv.bias.zero_()
        self.after_conv.weight.mul_(0.1)
        bias = self.after_conv.bias.view(self.outputs, self.microphones, MASK_PARTS)
        bias.zero_()
        bias[:, :, 1] = 1.0  # no rotation

    @property
    def conditions(self) -> dict[str, Condition]:
        """What it is told beside the mixture, by name and in the order of telling."""
        return {name: part for name, part in self.named_children() if isinstance(part, Condition)}

    @property
    def reads(self) -> frozenset[str]:
        """What `forward` wants of a SED model's output (`Condition.reads`)."""
        return frozenset().union(*(condition.reads for condition in self.conditions.values()))

    def forward(
        self,
        mixture: Tensor,
        query: Tensor,
        sed: SedOutput | None = None,
        passes: int | None = None,
        gradient: Gradient = "last",
        before: Tensor | None = None,
    ) -> Separation:
        """Separate the queried classes.

        Args:
            mixture: [B, M, L] at `input_rate`.
            query: one-hot rows [B, K, N]; a row of zeros is silence and gives exact zeros.
            sed: of the same mixtures, where it `reads` any.
            passes: refinement passes; by default `trained_passes`.
            gradient: in training, which passes carry one.
            before: estimates [B, K, L] of somebody else, which the first pass is fed; `None` for silence.

        Raises:
            UserError: inputs that it was not built for.
        """
        passes = self.trained_passes if passes is None else passes
        self._check_inputs(mixture, query, sed, passes)
        if not self.training and not query.any():
            silence = mixture.new_zeros(*query.shape[:2], mixture.shape[-1])
            return Separation(silence, [silence] * passes)
        waveform = resample(mixture, self.input_rate, self.sample_rate)
        spec = self.stft(waveform)
        spectrum = Spectrum(spec, *self.hear(spec.real, spec.imag), waveform.shape[-1])
        if before is not None:
            if not self.iters:
                raise UserError("A separator without feedback (refinement.iters=0) takes no estimate: give none.")
            before = fit_length(resample(before, self.input_rate, self.sample_rate), spectrum.length)
        maps = self.maps(spec.shape[2])
        conditions = self.conditions
        shared = {name: part.prepare(query, sed, maps) for name, part in conditions.items() if not part.per_row}

        rows = Rows.of(query, together=self.outputs > 1, silent=self.training)
        split = [rows] if self._recording else rows.split(2 * self.pre_conv.out_channels * maps.frames * self.stft.bins)
        gradient = gradient if self.training else "through"
        parts = [self._refine(part, spectrum, sed, maps, shared, passes, gradient, before) for part in split]
        estimates = []
        for rows_rol in zip(*parts, strict=True):
            resampled = resample(torch.cat(list(rows_rol)), self.sample_rate, self.input_rate)
            estimates.append(rows.assemble(fit_length(resampled, mixture.shape[-1]), query))
        return Separation(estimates[-1], estimates)

    def hear(self, real: Tensor, imag: Tensor) -> tuple[Tensor, Affine | None]:
        """Features of a spectrum's parts [B, M, T, F], normalised magnitudes and what `features` has beside them; and
        scale and shift of that normalisation, where feedback is normalised alike."""
        magnitudes = magnitude(real, imag)
        affine = self.bn0.affine(magnitudes) if self.feedback.statistics == "mixture" else None
        heard = [self.bn0(magnitudes), *(SPATIAL[name][0](real, imag) for name in self.spatial)]
        return torch.cat(heard, dim=1), affine

    def maps(self, frames: int) -> Maps:
        """What it offers its conditions for spectra of some frames."""
        stride = self.unet.time_stride
        frames = (frames + stride - 1) // stride * stride
        return Maps(frames, self.unet.innermost(frames, self.stft.bins - 1), self.label_film.film)

    def _check_inputs(self, mixture: Tensor, query: Tensor, sed: SedOutput | None, passes: int) -> None:
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
        if self.reads and sed is None:
            raise UserError("This separator is guided by a SED model: pass its output.")
        if passes < 1:
            raise UserError(f"{passes} passes were asked of the separator: ask for at least 1.")
        if passes > 1 and not self.iters:
            raise UserError(
                f"{passes} passes were asked of a separator without feedback (refinement.iters=0): ask for 1, or train "
                "one with refinement.iters of at least 1."
            )

    def _refine(
        self,
        rows: Rows,
        spectrum: Spectrum,
        sed: SedOutput | None,
        maps: Maps,
        shared: Mapping[str, Tensor],
        passes: int,
        gradient: Gradient,
        before: Tensor | None,
    ) -> list[Tensor]:
        """Estimates of some rows after each pass, [R, O, l] at the working rate."""
        spectrum = spectrum.of(rows.item)
        terms, at_bottleneck = self.prepare(rows, sed, maps, shared)
        sounds = rows.query.unflatten(1, (self.outputs, -1)).any(-1, keepdim=True)
        feedback = torch.zeros(len(rows.item), self.outputs, spectrum.length, device=rows.item.device)
        first = 0 if before is None else 1  # an estimate is there, as after a pass
        if before is not None:
            feedback = sounds * rows.of_slots(before)
        estimates = []
        for index in range(first, first + passes):
            last = index == first + passes - 1
            with torch.set_grad_enabled(torch.is_grad_enabled() and (gradient != "last" or last)):
                x = spectrum.heard
                if self.bn0_feedback is not None:
                    spec, given = self.stft(feedback), spectrum.spec[:, :1]
                    heard = self.bn0_feedback(magnitude(spec.real, spec.imag), index, spectrum.affine)
                    phases = self.feedback.phases(spec.real, spec.imag, given.real, given.imag)
                    x = torch.cat([x, heard, *phases], dim=1)
                x = nn.functional.pad(x[..., :-1], (0, 0, 0, maps.frames - x.shape[2]))
                x = x.contiguous(memory_format=torch.channels_last)
                told = terms if self.pass_film is None else self.pass_film(terms, index)
                x = self.unet(x, told, at_bottleneck, self.pre_conv, self.after_conv if self._recording else None)
                estimates.append(self._synthesise(x, spectrum))
            feedback = sounds * (estimates[-1] if gradient == "through" else estimates[-1].detach())
        return estimates

    def prepare(
        self, rows: Rows, sed: SedOutput | None, maps: Maps, shared: Mapping[str, Tensor]
    ) -> tuple[Sequence[FilmTerm], list[Callable[[Tensor], Tensor]]]:
        """What rows are told in every pass: the terms of each site, and what the innermost map goes through."""
        conditions = self.conditions
        reads = frozenset().union(*(condition.reads for name, condition in conditions.items() if name not in shared))
        sed = sed and sed.of_rows(rows.item, reads)
        terms: Sequence[FilmTerm] = [FilmTerm()] * len(self.unet.sites)
        at_bottleneck: list[Callable[[Tensor], Tensor]] = []
        for name, condition in conditions.items():
            prepared: Any = shared[name][rows.item] if name in shared else condition.prepare(rows.query, sed, maps)
            if condition.site == "film":
                terms = condition(terms, prepared)
            else:
                at_bottleneck.append(partial(condition, prepared=prepared))
        if self.dprnn is not None:
            at_bottleneck.insert(0 if self.dprnn.position == "before" else len(at_bottleneck), self.dprnn)
        return terms, at_bottleneck

    @property
    def _recording(self) -> bool:
        """Whether autograd records, in this pass or in another."""
        return self.training or torch.is_grad_enabled()

    def _synthesise(self, x: Tensor, spectrum: Spectrum) -> Tensor:
        """Mask the mixture's bins and transform back: [R, O, l].

        Args:
            x: logits [R, O * M * parts, T, F] where autograd records; else what `after_conv` makes them of.
            spectrum: of the rows.
        """
        with torch.autocast(x.device.type, enabled=False):
            given = spectrum.spec, self.out_conv.weight[0, :, 0, 0]
            if self._recording:
                mixed = remake(partial(masked, outputs=self.outputs), x, *given)
            else:
                mixed = masked_in_tiles(x, self.after_conv, *given, self.outputs)
            # The last bin was left out of the network: it is zero before out_conv, whose bias reaches it all the same.
            mixed = nn.functional.pad(mixed, (0, 1))
            bias = self.out_conv.bias
            assert bias is not None
            return self.stft.inverse(mixed + torch.complex(bias, bias), spectrum.length)
