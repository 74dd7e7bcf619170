from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from minis import noise, refused
from torch import Tensor

from sedsep.metrics.labels import mixture_accuracy, source_accuracy
from sedsep.metrics.rows import score_estimates
from sedsep.metrics.sdri import ClassScore, ca_sdri, match, matched_sdri, score_mixture, si_sdr_db
from sedsep.types import Sources

NAMES = ("Bell", "Cough", "Dog")
REFERENCES = dict(zip(NAMES, noise(3, 800), strict=True))
ESTIMATES = dict(zip(NAMES, noise(3, 800) + 0.3 * noise(3, 800, seed=1), strict=True))
MIXTURE = sum(REFERENCES.values()) + 0.1 * noise(800, seed=2)


def score(estimates: dict[str, Tensor] | Sources, references: dict[str, Tensor] | Sources) -> float:
    return ca_sdri([score_mixture(estimates, references, MIXTURE)])


def sounding(labels: Sequence[str], waveforms: Tensor) -> Sources:
    """Labels that may repeat, with their waveforms."""
    return [(label, row) for label, row in zip(labels, waveforms, strict=True) if label != "silence"]


# The challenge's own results.


class Golden:
    """Cases of a metric, and the waveforms they are about."""

    def __init__(self, folder: Path, name: str) -> None:
        read = json.loads((folder / f"{name}.json").read_text())
        self.cases = read["cases"] if isinstance(read, dict) else read
        self.totals = read["totals"] if isinstance(read, dict) else {}
        self._waveforms = np.load(folder / f"{name}.npz")

    def waveforms(self, case: dict) -> list[Tensor]:
        return [torch.from_numpy(self._waveforms[f"{kind}_{case['case']}"]) for kind in ("est", "ref", "mix")]


def test_every_case_of_ca_sdri_is_met(golden: Path) -> None:
    known = Golden(golden / "metrics", "ca_metric")
    everything = []
    for case in known.cases:
        estimates, references, mixture = known.waveforms(case)
        pairs = sounding(case["est_labels"], estimates), sounding(case["ref_labels"], references)
        everything.append(score_mixture(dict(pairs[0]), dict(pairs[1]), mixture))
        expected = pytest.approx(case["expected"], abs=1e-4) if not case["is_nan"] else None
        assert score_estimates("x", "oracle", *pairs, mixture).ca_sdri == expected, case["note"]
        if case["is_nan"]:
            assert everything[-1] == []
        else:
            assert ca_sdri(everything[-1:]) == expected, case["note"]
    counted = [case["expected"] for case in known.cases if not case["is_nan"]]
    assert ca_sdri(everything) == pytest.approx(np.mean(counted), abs=1e-4)


@pytest.mark.parametrize("name", ["metrics/capi_metric", "dcase2026/capi"])
def test_every_case_of_capi_sdri_is_met(golden: Path, name: str) -> None:
    known = Golden((golden / name).parent, (golden / name).name)
    everything, said, true = [], [], []
    for case in known.cases:
        estimates, references, mixture = known.waveforms(case)
        pairs = sounding(case["est_labels"], estimates), sounding(case["ref_labels"], references)
        scores = score_mixture(*pairs, mixture)
        everything.append(scores)
        for labels, side in zip((said, true), pairs, strict=True):
            labels.append([label for label, _ in side])
        if case["capi_sdri"] is None:
            assert scores == []
        else:
            assert ca_sdri([scores]) == pytest.approx(case["capi_sdri"], abs=1e-4), case["note"]
        counts = [sum(s.outcome == kind for s in scores) for kind in ("hit", "false_alarm", "miss")]
        assert counts == [case["label"][kind] for kind in ("tp", "fp", "fn")], case["note"]
    assert ca_sdri(everything) == pytest.approx(known.totals["capi"]["mean"], abs=1e-4)
    assert mixture_accuracy(said, true) == pytest.approx(known.totals["label"]["accuracy_mix"])
    assert source_accuracy(said, true) == pytest.approx(known.totals["label"]["accuracy_src"])


# What must hold.


def test_the_order_of_sources_does_not_matter() -> None:
    expected = score(ESTIMATES, REFERENCES)
    for order in itertools.permutations(NAMES):
        assert score({name: ESTIMATES[name] for name in order}, REFERENCES) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("estimates", [1, 2, 3])
def test_the_order_of_repeated_labels_does_not_matter(estimates: int) -> None:
    references = [("Dog", row) for row in REFERENCES.values()]
    said = [("Dog", row) for row in list(ESTIMATES.values())[:estimates]]
    expected = score(said, references)
    for order in itertools.permutations(said):
        for other in itertools.permutations(references):
            assert score(list(order), list(other)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("gain", [0.01, 30.0])
def test_the_level_of_the_recording_does_not_matter(gain: float) -> None:
    scaled = [{name: gain * x for name, x in waveforms.items()} for waveforms in (ESTIMATES, REFERENCES)]
    for one, other in zip(
        score_mixture(ESTIMATES, REFERENCES, MIXTURE), score_mixture(*scaled, gain * MIXTURE), strict=True
    ):
        assert other.improvement == pytest.approx(one.improvement, abs=1e-3)
        assert other.si_improvement == pytest.approx(one.si_improvement, abs=1e-3)


def test_the_level_of_an_estimate_matters_to_sdr_alone() -> None:
    halved = score_mixture({name: 0.5 * x for name, x in ESTIMATES.items()}, REFERENCES, MIXTURE)
    for one, other in zip(score_mixture(ESTIMATES, REFERENCES, MIXTURE), halved, strict=True):
        assert other.improvement < one.improvement - 1
        assert other.si_improvement == pytest.approx(one.si_improvement, abs=1e-3)


def test_the_mixture_for_an_estimate_improves_nothing() -> None:
    for entry in score_mixture(dict.fromkeys(NAMES, MIXTURE), REFERENCES, MIXTURE):
        assert entry.improvement == entry.si_improvement == 0
        assert entry.sdr == entry.input_sdr


def test_a_perfect_estimate_is_finite_and_beats_all_others() -> None:
    assert score(ESTIMATES, REFERENCES) + 40 < score(REFERENCES, REFERENCES) < 200


def test_a_perfect_estimate_of_one_of_two_sources_is_worth_half() -> None:
    both = {name: REFERENCES[name] for name in ("Bell", "Cough")}
    one = {"Bell": REFERENCES["Bell"]}
    assert score(one, both) == pytest.approx(score(one, one) / 2)
    twins = [("Dog", REFERENCES["Bell"]), ("Dog", REFERENCES["Cough"])]
    assert score([("Dog", REFERENCES["Cough"])], twins) == pytest.approx(score(twins[1:], twins[1:]) / 2)


def test_misses_and_false_alarms_count_nothing_and_lower_the_mean() -> None:
    bell = {"Bell": ESTIMATES["Bell"]}
    hit = score(bell, {"Bell": REFERENCES["Bell"]})
    assert score(bell, REFERENCES) == pytest.approx(hit / 3)
    assert score(ESTIMATES, {"Bell": REFERENCES["Bell"]}) == pytest.approx(hit / 3)
    scores = score_mixture(bell | {"Dog": MIXTURE}, {"Bell": REFERENCES["Bell"], "Cough": REFERENCES["Cough"]}, MIXTURE)
    assert [(s.label, s.outcome) for s in scores] == [("Bell", "hit"), ("Cough", "miss"), ("Dog", "false_alarm")]
    assert [s.improvement for s in scores[1:]] == [0, 0]
    assert scores[1].input_sdr is not None
    assert scores[2] == ClassScore("Dog", "false_alarm", level=0, estimate=0)  # the mixture itself


def test_mixtures_count_alike_however_many_sources_they_hold() -> None:
    one = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    none = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Cough": REFERENCES["Cough"]}, MIXTURE)
    assert ca_sdri([one, none]) == pytest.approx(one[0].improvement / 2)


def test_a_mixture_with_nothing_on_either_side_is_left_out_and_a_false_alarm_on_it_is_not() -> None:
    one = score_mixture({"Bell": ESTIMATES["Bell"]}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    assert ca_sdri([one, score_mixture({}, {}, MIXTURE)]) == ca_sdri([one])
    alarm = score_mixture({"Bell": ESTIMATES["Bell"]}, {}, MIXTURE)
    assert ca_sdri([one, alarm]) == pytest.approx(ca_sdri([one]) / 2)
    assert math.isnan(ca_sdri([[]]))


# Sources first, names second.


def renamed(names: Sequence[str], sources: dict[str, Tensor] = ESTIMATES) -> Sources:
    return list(zip(names, sources.values(), strict=True))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("names", [NAMES, ("Dog", "Cough", "Dog"), ("Dog", "Dog", "Dog")])
def test_source_matching_changes_nothing_where_all_names_are_right(names: Sequence[str], count: int) -> None:
    said, true = renamed(names), renamed(names, REFERENCES)
    expected = score(said, true)
    assert matched_sdri(said[::-1], true, MIXTURE) == pytest.approx(expected)
    assert score_estimates("x", "oracle", said, true, MIXTURE).record()["matched_sdri"] == pytest.approx(expected)
    # Nor where there are some too few, or too many.
    assert matched_sdri(said[:count], true, MIXTURE) == pytest.approx(score(said[:count], true))
    assert matched_sdri(said, true[:count], MIXTURE) == pytest.approx(score(said, true[:count]))


def test_names_that_changed_places_cost_what_they_would_have_gained_and_no_more() -> None:
    swapped = renamed(("Cough", "Bell", "Dog"))
    dog = next(entry for entry in score_mixture(ESTIMATES, REFERENCES, MIXTURE) if entry.label == "Dog")
    found = matched_sdri(swapped, REFERENCES, MIXTURE)
    assert found == pytest.approx(dog.improvement / 3)
    assert score(swapped, REFERENCES) < found < score(ESTIMATES, REFERENCES)


def test_a_wrong_name_costs_once_what_costs_ca_sdri_twice() -> None:
    wrong = renamed(("Rain", "Cough", "Dog"))
    found = matched_sdri(wrong, REFERENCES, MIXTURE)
    assert found == pytest.approx(score(wrong, REFERENCES) * 4 / 3)
    assert found < score(ESTIMATES, REFERENCES)


def test_no_answer_is_worth_nothing() -> None:
    assert matched_sdri({}, REFERENCES, MIXTURE) == matched_sdri(ESTIMATES, {}, MIXTURE) == 0
    assert matched_sdri({}, {}, MIXTURE) is None
    assert matched_sdri(dict.fromkeys(NAMES, MIXTURE), REFERENCES, MIXTURE) == 0


# Matching.


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**20))
def test_the_match_is_the_best_of_all_subsets_and_permutations(rows: int, columns: int, seed: int) -> None:
    quality = np.random.default_rng(seed).normal(size=(rows, columns))
    matched = match(quality.tolist())
    assert len(matched) == min(rows, columns) == len({*matched.values()})
    wide = quality if rows <= columns else quality.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(order))
        for order in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert sum(quality[row, column] for row, column in matched.items()) == pytest.approx(best)


# Values that could spoil a mean.

WAVES = {"silence": torch.zeros(64), "sound": noise(64), "other": 0.5 * noise(64, seed=3), "loud": 1e4 * noise(64)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(WAVES))), max_size=4),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(WAVES))), max_size=4),
    st.sampled_from(sorted(WAVES)),
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
)
def test_no_silence_on_any_side_makes_a_score_undefined(
    said: list[tuple[str, str]], true: list[tuple[str, str]], mixture: str, dtype: torch.dtype
) -> None:
    estimates, references = ([(label, WAVES[wave].to(dtype)) for label, wave in side] for side in (said, true))
    row = score_estimates("x", "oracle", estimates, references, WAVES[mixture].to(dtype))
    numbers = [v for s in row.scores for v in (s.improvement, s.si_improvement, s.sdr, s.si_sdr, s.input_sdr)]
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert (row.ca_sdri is None) == (not said and not true)
    assert len(row.scores) >= max(len(said), len(true))


def test_a_silent_estimate_is_at_0_db_in_both_measures() -> None:
    (entry,) = score_mixture({"Bell": torch.zeros(800)}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    assert entry.sdr == pytest.approx(0, abs=1e-6)
    assert entry.si_sdr == pytest.approx(0, abs=1e-6)


def test_si_sdr_is_the_ratio_of_what_lies_along_the_reference_to_what_does_not() -> None:
    reference, across = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    assert si_sdr_db(reference, 0.7 * reference + 0.07 * across * 3 / 2).item() == pytest.approx(20, abs=1e-4)
    assert si_sdr_db(reference, -reference).item() > 60  # the sign is a level, too


def test_what_cannot_be_scored_is_named() -> None:
    broken = {"Bell": torch.full((800,), math.nan)}
    with refused("estimate or reference of Bell .* not finite"):
        score_mixture(broken, {"Bell": REFERENCES["Bell"]}, MIXTURE)
    with refused("waveform of Bell has 700 samples and its mixture 800"):
        score_mixture({"Bell": torch.zeros(700)}, {"Bell": REFERENCES["Bell"]}, MIXTURE)
