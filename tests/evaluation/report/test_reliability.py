from __future__ import annotations

import numpy as np
import pytest

from sedsep.evaluation.evaluator import MixtureResult, TaggerOutput
from sedsep.evaluation.report.reliability import reliability, reliability_curves
from sedsep.evaluation.results import Evaluation
from sedsep.labelling import Expected
from sedsep.metrics.rows import MixtureRow


def test_a_calibrated_tagger_is_on_the_diagonal_and_a_bold_one_is_not() -> None:
    generator = np.random.default_rng(0)
    probability = generator.uniform(size=(20_000, 2))
    true = generator.uniform(size=probability.shape) < probability
    (x, y), error = reliability(probability, true)
    assert y == pytest.approx([100 * value for value in x], abs=2.5)
    assert error < 1
    bold = probability**3 / (probability**3 + (1 - probability) ** 3)
    assert reliability(bold, true)[1] > 10


def test_each_tagger_whose_labels_were_fitted_has_a_diagram_before_and_after_calibration() -> None:
    mixtures = [
        MixtureResult(
            str(number),
            [MixtureRow(str(number), "tagger", ("Bell",), ("Bell",))],
            {"tagger": TaggerOutput([0.9, 0.1], None)},
        )
        for number in range(3)
    ]
    labels = ("Bell", "Dog")
    assert reliability_curves(Evaluation("test", labels, mixtures)) == []
    fitted = Expected({"Bell": 0.5, "Dog": 0.5}, {"Bell": 0.0, "Dog": 0.0}, {"Bell": 1.0, "Dog": 1.0})
    (curve,) = reliability_curves(Evaluation("test", labels, mixtures, labelling={"tagger": fitted}))
    assert list(curve.series) == ["as it should be", "as said, 10.0 % off", "calibrated, 1.2 % off"]
