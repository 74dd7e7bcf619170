from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from minis import noise

from sedsep.metrics import ca_sdri, label_rows, score_mixture

NAMES = ("Bell", "Cough", "Dog")
REFERENCES = label_rows(NAMES, noise(3, 800))
ESTIMATES = label_rows(NAMES, noise(3, 800) + 0.3 * noise(3, 800, seed=1))
MIXTURE = sum(REFERENCES.values()) + 0.1 * noise(800, seed=2)


def score(estimates: dict[str, torch.Tensor], references: dict[str, torch.Tensor]) -> float:
    return ca_sdri([score_mixture(estimates, references, MIXTURE)])


def test_the_challenges_own_results_are_met(golden: Path) -> None:
    waveforms = np.load(golden / "metrics" / "ca_metric.npz")
    cases = json.loads((golden / "metrics" / "ca_metric.json").read_text())
    all_scores = []
    for case in cases:
        estimates, references, mixture = (
            torch.from_numpy(waveforms[f"{k}_{case['case']}"]) for k in ("est", "ref", "mix")
        )
        scores = score_mixture(
            label_rows(case["est_labels"], estimates), label_rows(case["ref_labels"], references), mixture
        )
        all_scores.append(scores)
        if case["is_nan"]:
            assert scores == []
            assert math.isnan(ca_sdri([scores]))
        else:
            assert ca_sdri([scores]) == pytest.approx(case["expected"], abs=1e-4), case["note"]
    counted = [case["expected"] for case in cases if not case["is_nan"]]
    assert ca_sdri(all_scores) == pytest.approx(np.mean(counted), abs=1e-4)


def test_the_order_of_sources_does_not_matter() -> None:
    expected = score(ESTIMATES, REFERENCES)
    for order in itertools.permutations(NAMES):
        assert score({name: ESTIMATES[name] for name in order}, REFERENCES) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_the_level_of_the_recording_does_not_matter(gain: float) -> None:
    expected = ca_sdri([score_mixture(ESTIMATES, REFERENCES, MIXTURE)])
    scaled = [{name: gain * x for name, x in waveforms.items()} for waveforms in (ESTIMATES, REFERENCES)]
    assert ca_sdri([score_mixture(*scaled, gain * MIXTURE)]) == pytest.approx(expected, abs=1e-3)


def test_the_level_of_an_estimate_does_matter() -> None:
    halved = {name: 0.5 * x for name, x in ESTIMATES.items()}
    assert score(halved, REFERENCES) < score(ESTIMATES, REFERENCES) - 1


def test_the_mixture_for_an_estimate_improves_nothing() -> None:
    assert score(dict.fromkeys(NAMES, MIXTURE), REFERENCES) == pytest.approx(0, abs=1e-9)


def test_a_perfect_estimate_is_finite_and_beats_all_others() -> None:
    assert score(ESTIMATES, REFERENCES) + 40 < score(REFERENCES, REFERENCES) < 200


def test_misses_and_false_alarms_count_nothing_and_lower_the_mean() -> None:
    bell = {"Bell": ESTIMATES["Bell"]}
    hit = score(bell, {"Bell": REFERENCES["Bell"]})
    assert score(bell, REFERENCES) == pytest.approx(hit / 3)
    assert score(ESTIMATES, {"Bell": REFERENCES["Bell"]}) == pytest.approx(hit / 3)
    scores = score_mixture(bell | {"Dog": MIXTURE}, {"Bell": REFERENCES["Bell"], "Cough": REFERENCES["Cough"]}, MIXTURE)
    assert [(s.label, s.outcome) for s in scores] == [("Bell", "hit"), ("Cough", "miss"), ("Dog", "false_alarm")]
    assert [s.improvement for s in scores[1:]] == [0, 0]


def test_mixtures_count_alike_however_many_sources_they_hold() -> None:
    one = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    none = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Cough": REFERENCES["Cough"]}, MIXTURE)
    assert ca_sdri([one, none]) == pytest.approx(one[0].improvement / 2)


def test_a_silent_mixture_is_left_out_of_the_mean() -> None:
    one = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    assert ca_sdri([one, []]) == ca_sdri([one])
