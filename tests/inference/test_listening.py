from __future__ import annotations

import numpy as np
import pytest
import torch
from minis import RATE, noise
from whole_systems import tagger

from sedsep.inference import from_array
from sedsep.inference.listening import window_probabilities


def test_each_window_is_heard_as_if_it_were_alone() -> None:
    network, samples = tagger().eval(), noise(1, 1, int(2.5 * RATE))[0] * 0.01
    heard = window_probabilities(network, from_array(samples.T.numpy(), RATE), 1.0)
    with torch.inference_mode():
        alone = [network(samples[None, :, start : start + RATE]).clip_probabilities[0] for start in (0, RATE)]
    assert heard == pytest.approx(torch.stack(alone).numpy(), abs=1e-3)


@pytest.mark.parametrize("seconds", [0.01, 0.3])
def test_a_recording_shorter_than_a_window_is_one_window(seconds: float) -> None:
    samples = np.random.default_rng(0).normal(0, 0.01, (int(seconds * 48000), 2)).astype(np.float32)
    assert len(window_probabilities(tagger().eval(), from_array(samples, 48000), 1.0)) == 1
