"""How far a tagger's probabilities can be taken at their word.

Axes: V scenes, N classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sedsep.evaluation.report.figures import Curve
from sedsep.evaluation.results import Evaluation
from sedsep.labelling import Expected

BINS = 10


def reliability_curves(evaluation: Evaluation) -> list[Curve]:
    """A reliability diagram of each tagger whose labels were chosen by a fitted labelling: how often classes sound that
    it gives some probability, those of all classes and scenes together, before and after calibration.

    Args:
        evaluation: of scenes that nothing was fitted on.
    """
    curves = []
    true_vn = np.array([[label in m.rows[0].true for label in evaluation.labels] for m in evaluation.mixtures])
    for source, labelling in evaluation.labelling.items():
        said = torch.tensor([mixture.outputs[source].probabilities for mixture in evaluation.mixtures])
        kinds = {"as said": said.numpy()}
        if isinstance(labelling, Expected):
            kinds["calibrated"] = labelling.calibrated(said)
        series = {"as it should be": ([0.0, 0.5, 1.0], [0.0, 50.0, 100.0])}
        for name, probability_vn in kinds.items():
            points, error = reliability(probability_vn, true_vn)
            series[f"{name}, {error:.1f} % off"] = points
        curves.append(Curve(f"{source}: reliability", "Probability", "Of these, sound (%)", series, share=True))
    return curves


def reliability(
    probability_vn: NDArray[np.floating], true_vn: NDArray[np.bool_]
) -> tuple[tuple[list[float], list[float]], float]:
    """Mean probability and share in % of what sounds, in each of `BINS` equal bins that holds any, and their mean
    distance in %, each bin counted by what it holds (the expected calibration error)."""
    bins = np.minimum((probability_vn * BINS).astype(int), BINS - 1).ravel()
    counts = np.bincount(bins, minlength=BINS)
    held = counts > 0
    mean, share = (
        np.bincount(bins, values.ravel().astype(float), BINS)[held] / counts[held]
        for values in (probability_vn, true_vn)
    )
    error = 100 * float(np.abs(mean - share) @ counts[held]) / counts.sum()
    return (mean.tolist(), (100 * share).tolist()), error
