"""Class-aware SDR improvement, the ranking metric of DCASE 2025 Task 4.

Axes: L samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sedsep.dsp import snr_db

Outcome = Literal["hit", "miss", "false_alarm"]


@dataclass(frozen=True)
class ClassScore:
    """What one class of one mixture contributes: dB of improvement for a hit, 0 for a miss or a false alarm."""

    label: str
    outcome: Outcome
    improvement: float


def score_mixture(
    estimates: Mapping[str, Tensor], references: Mapping[str, Tensor], mixture: Tensor
) -> list[ClassScore]:
    """Score one mixture under CA-SDRi (spec: evaluation, Metrics).

    Args:
        estimates: separated waveform [L] of each predicted class, without silence.
        references: dry source [L] of each true class, without silence.
        mixture: the reference channel [L].

    Returns:
        One score for each class of the union: SNR(estimate) - SNR(mixture) in dB where both have it, else 0.
    """
    scores = []
    for label in sorted({*estimates, *references}):
        if label not in references:
            scores.append(ClassScore(label, "false_alarm", 0.0))
        elif label not in estimates:
            scores.append(ClassScore(label, "miss", 0.0))
        else:
            # Double precision: the difference of two logarithms of energies over 320 000 samples.
            reference, estimate = references[label].double(), estimates[label].double()
            gain = snr_db(reference, estimate) - snr_db(reference, mixture.double())
            scores.append(ClassScore(label, "hit", gain.item()))
    return scores


def ca_sdri(mixtures: Iterable[list[ClassScore]]) -> float:
    """Mean over classes within a mixture, then over mixtures, dB. Mixtures with no class on either side are left out.

    NaN when nothing is left.
    """
    means = [sum(score.improvement for score in scores) / len(scores) for scores in mixtures if scores]
    return sum(means) / len(means) if means else float("nan")


def label_rows(labels: Iterable[str], waveforms: Tensor, silence: str = "silence") -> dict[str, Tensor]:
    """Waveforms [K, L] by label, silence left out; of a repeated label the last row counts, as in the challenge."""
    return {label: row for label, row in zip(labels, torch.atleast_2d(waveforms), strict=True) if label != silence}
