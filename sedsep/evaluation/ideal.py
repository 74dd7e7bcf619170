"""What masks and filters that know the truth make of a mixture, at the STFT of a separator.

Axes: M microphones, K sources, L samples, l samples at the working rate, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sedsep.dsp import fit_length, resample
from sedsep.models.separator import Separator

EPS = 1e-12
LOADING = 1e-6
"""Share of the mean power that is added to each microphone's, so that a covariance can be inverted."""


@torch.inference_mode()
def ideal_estimates(separator: Separator, mixture: Tensor, sources: Sequence[Tensor]) -> dict[str, Tensor]:
    """The sources as they can be had with the truth at hand, at the separator's STFT and rate.

    Args:
        separator: whose STFT it is.
        mixture: [M, L]; the first channel is masked.
        sources: dry, [L] each.

    Returns:
        Waveforms [K, L] by name:
        `real_mask`: the best mask from 0 to 1 that keeps the mixture's phase (Erdogan et al. 2015, "Phase-sensitive and
        recognition-boosted speech separation using deep recurrent neural networks", truncated).
        `complex_mask`: the best one that turns the phase, too, and is at most 1 in magnitude.
        `ratio_mask`: the root of the source's share of the energy (Wang et al. 2014, "On training targets for
        supervised speech separation").
        `wiener`: see `wiener_filtered`.
    """
    stft, own_rate, rate = separator.stft, separator.input_rate, separator.sample_rate
    waveforms_l = resample(torch.stack([*mixture, *sources]), own_rate, rate)
    spec_mtf, source_ktf = stft(waveforms_l).split([len(mixture), len(sources)])
    heard_tf = spec_mtf[0]
    power_tf, source_power_ktf = _power(heard_tf), _power(source_ktf)
    share_ktf = (source_ktf * heard_tf.conj()).real / (power_tf + EPS)
    energy_ktf = source_power_ktf / (source_power_ktf + _power(heard_tf - source_ktf) + EPS)
    estimates = {
        "real_mask": share_ktf.clamp(0.0, 1.0) * heard_tf,
        "complex_mask": source_ktf * (power_tf / (source_power_ktf + EPS)).sqrt().clamp_max(1.0),
        "ratio_mask": energy_ktf.sqrt() * heard_tf,
        "wiener": wiener_filtered(spec_mtf, source_ktf),
    }
    waveforms = stft.inverse(torch.stack(list(estimates.values())), waveforms_l.shape[-1])
    return dict(zip(estimates, fit_length(resample(waveforms, rate, own_rate), mixture.shape[-1]), strict=True))


def wiener_filtered(spec_mtf: Tensor, source_ktf: Tensor) -> Tensor:
    """Sources [K, T, F] by the multichannel Wiener filter of the local Gaussian model, with true covariances.

    The source reaches the microphones through one vector a bin; its power, that of all else, and the spatial
    covariance of all else are those of the truth (Duong, Vincent and Gribonval 2010, "Under-determined reverberant
    audio source separation using a full-rank spatial covariance model", with a source of rank 1).

    Args:
        spec_mtf: the mixture.
        source_ktf: the dry sources.
    """
    spec_mtf, source_ktf = spec_mtf.to(torch.complex128), source_ktf.to(torch.complex128)
    microphones, frames, _ = spec_mtf.shape
    power_ktf = _power(source_ktf)
    to_microphones_kfm = torch.einsum("mtf,ktf->kfm", spec_mtf, source_ktf.conj())
    to_microphones_kfm = to_microphones_kfm / (power_ktf.sum(1)[..., None] + EPS)
    rest_kmtf = spec_mtf - torch.einsum("kfm,ktf->kmtf", to_microphones_kfm, source_ktf)
    rest_power_ktf = _power(rest_kmtf).mean(1) + EPS
    spatial_kfmn = torch.einsum("kmtf,kntf,ktf->kfmn", rest_kmtf, rest_kmtf.conj(), (1 / rest_power_ktf).to(rest_kmtf))
    loading = LOADING * torch.eye(microphones, dtype=spec_mtf.dtype, device=spec_mtf.device)
    weights_kfm = torch.linalg.solve(spatial_kfmn / frames + loading, to_microphones_kfm)
    gain_kf = (weights_kfm.conj() * to_microphones_kfm).sum(-1).real
    filtered_ktf = torch.einsum("kfm,mtf->ktf", weights_kfm.conj(), spec_mtf)
    share_ktf = power_ktf / (rest_power_ktf + power_ktf * gain_kf[:, None])
    return (share_ktf * filtered_ktf).to(torch.complex64)


def _power(spec: Tensor) -> Tensor:
    return spec.real.square() + spec.imag.square()
