from __future__ import annotations

import numpy as np
import pytest
import torch
from minis import noise

from sedsep.dsp import Stft, fit_length, resample, snr_db


@pytest.mark.parametrize(("n_fft", "hop", "length"), [(64, 16, 640), (64, 24, 1001), (2048, 160, 4099)])
def test_the_inverse_gives_the_waveform_back_whatever_its_length(n_fft: int, hop: int, length: int) -> None:
    stft, waveform = Stft(n_fft, hop), noise(2, 3, length)
    spec = stft(waveform)
    assert spec.shape == (2, 3, length // hop + 1, n_fft // 2 + 1)
    torch.testing.assert_close(stft.inverse(spec, length), waveform, atol=1e-5, rtol=0)


def test_a_frame_is_the_fft_of_its_windowed_samples() -> None:
    n_fft, hop = 64, 16
    waveform = noise(400)
    start = 5 * hop - n_fft // 2  # frames are centred
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    expected = np.fft.rfft(waveform.numpy()[start : start + n_fft] * window)
    np.testing.assert_allclose(Stft(n_fft, hop)(waveform)[5], expected, atol=1e-4)


def test_spectra_stay_in_single_precision_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Stft(64, 16)(noise(1, 400).bfloat16()).dtype == torch.complex64


def test_weights_do_not_carry_the_window() -> None:
    assert not Stft(64, 16).state_dict()


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    waveform = noise(2, 100)
    assert resample(waveform, 8000, 8000) is waveform


@pytest.mark.parametrize(("rate", "new_rate"), [(32000, 16000), (16000, 32000), (8000, 6000)])
def test_resampling_keeps_a_tone_and_rounds_the_length_up(rate: int, new_rate: int) -> None:
    length = 2001
    tone = torch.sin(2 * torch.pi * 400 * torch.arange(length) / rate)
    resampled = resample(tone, rate, new_rate)
    assert len(resampled) == -(-length * new_rate // rate)
    expected = torch.sin(2 * torch.pi * 400 * torch.arange(len(resampled)) / new_rate)
    torch.testing.assert_close(resampled[100:-100], expected[100:-100], atol=2e-2, rtol=0)


def test_fit_length_cuts_or_pads_at_the_end() -> None:
    waveform = torch.tensor([[1.0, 2.0, 3.0]])
    assert fit_length(waveform, 2).tolist() == [[1, 2]]
    assert fit_length(waveform, 3).tolist() == [[1, 2, 3]]
    assert fit_length(waveform, 5).tolist() == [[1, 2, 3, 0, 0]]


def test_snr_is_the_ratio_of_energies_with_no_mean_removed() -> None:
    reference, estimate = noise(2, 3, 500) + 0.5, noise(2, 3, 500, seed=1)
    s, e = reference.double().numpy(), estimate.double().numpy()
    expected = 10 * np.log10((s**2).sum(-1) / ((s - e) ** 2).sum(-1))
    np.testing.assert_allclose(snr_db(reference, estimate), expected, atol=1e-4)


def test_snr_stays_finite_for_silence_and_for_a_perfect_estimate() -> None:
    silence, sound = torch.zeros(10), torch.ones(10)
    assert snr_db(silence, silence) == 0
    assert 70 < snr_db(sound, sound) < 90  # (10 + eps) / eps
    assert -90 < snr_db(silence, sound) < -70
