"""The model in the box: small, there without being asked for, and plain about what it is."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import sedsep
from sedsep.checkpoints.finding import BOX, BOX_IS
from sedsep.checkpoints.hub import ACCOUNT, CARD, MODEL, TAGGER
from sedsep.datasets.synthesis import EVENTS
from sedsep.dsp import snr_db


def test_it_hears_a_sound_that_it_knows_and_takes_it_out(caplog: pytest.LogCaptureFixture) -> None:
    system = sedsep.load(device="cpu")
    assert BOX_IS in caplog.text
    assert set(system.labels) == set(EVENTS)
    rng = np.random.default_rng(0)
    scene = np.zeros(4 * 32000, np.float32)
    scene[32000:96000] = 0.05 * EVENTS["Doorbell"](rng, 32000, 2.0)
    mixture = scene + 0.003 * rng.standard_normal(len(scene)).astype(np.float32)
    result = system.separate(mixture, 32000)
    assert result.labels == ("Doorbell",)
    stem = result.waveforms["Doorbell"]
    assert np.allclose(stem + result.residual, mixture, atol=1e-6)

    def quality(estimate: np.ndarray) -> float:
        return float(snr_db(torch.from_numpy(scene), torch.from_numpy(estimate)))

    assert quality(stem) > quality(mixture) + 3


def test_it_is_small_and_says_what_its_card_says() -> None:
    files = list(BOX.iterdir())
    assert {file.name for file in files} == {MODEL, TAGGER, ACCOUNT, CARD}
    assert sum(file.stat().st_size for file in files) < 6e6
    card = (BOX / CARD).read_text()
    for score in ("Label accuracy (%)", "CA-SDRi (dB)"):
        told = re.search(rf"\| {re.escape(score)} \| ([\d.]+) ", card)
        assert told
        assert told[1] in BOX_IS
