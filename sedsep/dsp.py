"""Spectra, rates and levels.

Axes: L samples, T frames, F frequency bins.
"""

from __future__ import annotations

import math

import torch
import torchaudio.functional as AF
from torch import Tensor, nn

from sedsep.errors import UserError


class Stft(nn.Module):
    """Centred short-time Fourier transform with a periodic Hann window and reflect padding, and its inverse.

    The transform is an FFT and always runs in float32, under autocast too: masks and phases need it.

    Args:
        n_fft: window and transform length, samples.
        hop: samples between frames.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.bins = n_fft // 2 + 1
        self.register_buffer("window", torch.hann_window(n_fft, periodic=True), persistent=False)

    def shortest(self, rate: int, own_rate: int) -> int:
        """Samples of the shortest clip whose padding can be mirrored, at `rate`, of a transform at `own_rate`."""
        return math.ceil((self.n_fft // 2 + 1) * rate / own_rate)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform [..., L] to a complex spectrum [..., T, F], T = L // hop + 1, F = n_fft // 2 + 1.

        Raises:
            UserError: fewer samples than the padding mirrors, n_fft // 2 + 1.
        """
        if waveform.shape[-1] <= self.n_fft // 2:
            raise UserError(
                f"A clip of {waveform.shape[-1]} samples is too short for a window of {self.n_fft}: "
                f"give at least {self.n_fft // 2 + 1} samples."
            )
        flat = waveform.reshape(-1, waveform.shape[-1]).float()
        spec = torch.stft(flat, self.n_fft, self.hop, window=self.window, center=True, return_complex=True)
        return spec.transpose(1, 2).reshape(*waveform.shape[:-1], spec.shape[2], spec.shape[1])

    def inverse(self, spec: Tensor, length: int) -> Tensor:
        """Complex spectrum [..., T, F] to a waveform [..., length]."""
        flat = spec.reshape(-1, *spec.shape[-2:]).transpose(1, 2)
        waveform = torch.istft(flat, self.n_fft, self.hop, window=self.window, center=True, length=length)
        return waveform.reshape(*spec.shape[:-2], length)


def resample(waveform: Tensor, rate: int, new_rate: int, method: str = "sinc_interp_hann") -> Tensor:
    """Windowed-sinc resampling of [..., L] to [..., ceil(L * new_rate / rate)], in float32 under autocast too; the same
    tensor when rates agree."""
    if rate == new_rate:
        return waveform
    with torch.autocast(waveform.device.type, enabled=False):  # it is a convolution, and waveforms need their bits
        return AF.resample(waveform.float(), rate, new_rate, resampling_method=method)


def fit_length(waveform: Tensor, length: int) -> Tensor:
    """Cut or zero-pad [..., L] at the end to [..., length]."""
    if waveform.shape[-1] >= length:
        return waveform[..., :length]
    return nn.functional.pad(waveform, (0, length - waveform.shape[-1]))


def snr_db(reference: Tensor, estimate: Tensor, eps: float = torch.finfo(torch.float32).eps) -> Tensor:
    """Plain signal-to-noise ratio of [..., L] against [..., L] in dB, no mean removed.

    10 log10((|s|^2 + eps) / (|s - e|^2 + eps)), the form of the challenge's own metric.
    """
    signal = reference.square().sum(-1)
    error = (reference - estimate).square().sum(-1)
    return 10.0 * torch.log10((signal + eps) / (error + eps))
