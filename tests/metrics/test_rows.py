from __future__ import annotations

import math

import numpy as np
import pytest
from minis import noise, refused

from sedsep.metrics.bootstrap import Bootstrap, ratios
from sedsep.metrics.labels import mixture_accuracy, source_accuracy
from sedsep.metrics.rows import PARTS, MixtureRow, by_class, by_count, by_group, by_level, score_estimates, summarise
from sedsep.metrics.sdri import ClassScore, ca_sdri, score_mixture

MIXTURE = noise(200)
BELL, DOG = noise(200, seed=1), noise(200, seed=2)


def hit(label: str, gain: float, level: float = 0.0) -> ClassScore:
    return ClassScore(label, "hit", gain, gain - 1, gain + level, gain + level - 1, level)


def row(*scores: ClassScore, name: str = "x") -> MixtureRow:
    true = tuple(s.label for s in scores if s.outcome != "false_alarm")
    predicted = tuple(s.label for s in scores if s.outcome != "miss")
    mean = sum(s.improvement for s in scores) / len(scores) if scores else None
    return MixtureRow(name, "tagger", true, predicted, scores=scores, ca_sdri=mean)


MISS, ALARM = ClassScore("Dog", "miss", input_sdr=-7.0), ClassScore("Cough", "false_alarm")
ROWS = [row(hit("Bell", 9.0, -12.0), MISS), row(hit("Bell", 3.0, 7.0)), row(hit("Dog", 6.0, 0.0), ALARM), row()]


def values(estimates: dict) -> dict:
    return {key: estimate.value for key, estimate in estimates.items()}


def test_metrics_of_rows_are_those_of_their_parts() -> None:
    found = values(summarise(ROWS))
    assert found.keys() == PARTS.keys()
    assert found["ca_sdri"] == found["capi_sdri"] == ca_sdri(r.scores for r in ROWS) == pytest.approx((4.5 + 3 + 3) / 3)
    assert found["si_sdri"] == pytest.approx((4 + 2 + 2.5) / 3)
    assert found["sdr"] == pytest.approx((-3 + 10 + 6) / 3)
    assert found["si_sdr"] == pytest.approx(found["sdr"] - 1)
    said, true = [r.predicted for r in ROWS], [r.true for r in ROWS]
    assert found["label_accuracy"] == mixture_accuracy(said, true) == 50
    assert found["source_accuracy"] == source_accuracy(said, true) == 60


def test_labels_alone_have_accuracies_and_no_sdr() -> None:
    found = summarise([MixtureRow("x", "tagger@0.3", ("Dog", "Dog"), ("Dog",))])
    assert (found["label_accuracy"].value, found["source_accuracy"].value) == (0, 50)
    assert math.isnan(found["ca_sdri"].value)
    assert found["ca_sdri"].count == 0


def test_no_rows_have_no_values() -> None:
    for estimate in summarise([]).values():
        assert estimate.count == 0
        assert all(math.isnan(v) for v in (estimate.value, estimate.low, estimate.high))


def test_a_row_holds_what_was_measured() -> None:
    estimates, references = {"Bell": BELL + 0.1 * DOG, "Cough": DOG}, {"Bell": BELL, "Dog": DOG}
    made = score_estimates("scene", "tagger", estimates, references, MIXTURE, passes=2)
    assert (made.true, made.predicted, made.passes) == (("Bell", "Dog"), ("Bell", "Cough"), 2)
    assert list(made.scores) == score_mixture(estimates, references, MIXTURE)
    record = made.record()
    assert record["true"] == "Bell+Dog"
    assert record["ca_sdri"] == made.ca_sdri == pytest.approx(made.scores[0].improvement / 3)
    assert record["sdr"] == made.scores[0].sdr
    assert (record["label_accuracy"], record["source_accuracy"]) == (0, pytest.approx(100 / 3))
    assert [entry["outcome"] for entry in made.entries()] == ["hit", "false_alarm", "miss"]
    assert all(entry["mixture"] == "scene" and entry["passes"] == 2 for entry in made.entries())


def test_a_table_leaves_open_what_is_not_defined() -> None:
    record = row(MISS).record()
    assert record["sdr"] is None
    assert record["ca_sdri"] == 0
    assert row().record()["ca_sdri"] is None


# Break-downs.


def test_scores_by_class_count_misses_and_false_alarms() -> None:
    assert values(by_class(ROWS)) == {"Bell": 6, "Cough": 0, "Dog": 3}
    assert values(by_class(ROWS, of="si_improvement")) == {"Bell": 5, "Cough": 0, "Dog": 2.5}
    assert by_class(ROWS)["Bell"].count == 2


def test_scores_by_the_number_of_sources() -> None:
    found = by_count(ROWS)
    assert list(found) == [0, 1, 2]
    assert math.isnan(found[0].value)
    assert (found[1].value, found[2].value) == (3, 4.5)
    assert values(by_count(ROWS, "label_accuracy")) == {0: 100, 1: 50, 2: 0}


def test_scores_by_how_loud_a_source_is_beside_the_rest() -> None:
    found = by_level(ROWS, edges=(-10, 0, 5))
    assert [estimate.count for estimate in found.values()] == [1, 1, 1, 1]
    assert values(found) == {(-math.inf, -10): 9, (-10, 0): 0, (0, 5): 6, (5, math.inf): 3}


def test_an_empty_band_has_no_value() -> None:
    estimate = by_level(ROWS[1:2], edges=(0.0,))[-math.inf, 0.0]
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)


def test_scores_by_what_sounds() -> None:
    twice = row(hit("Dog", 4.0), ClassScore("Dog", "miss", input_sdr=-7.0))
    rows = [*ROWS, twice, row(ALARM)]
    assert [r.group for r in rows] == ["different", "one", "one", "none", "repeated", "none"]
    assert values(by_group(rows, "capi_sdri")) == {"none": 0, "one": 3, "different": 4.5, "repeated": 2}
    assert by_group(rows, "capi_sdri")["none"].count == 1  # nothing sounds in two, and one of them is left empty
    assert values(by_group(rows, "label_accuracy")) == {"none": 50, "one": 50, "different": 0, "repeated": 0}
    assert list(by_group(rows[:1], "capi_sdri")) == ["different"]


def test_silence_is_told_from_sound() -> None:
    rows = [row(hit("Bell", 3.0)), row(MISS), row(), row(), row(ALARM, ALARM), row(ALARM)]
    found = values(summarise(rows))
    assert found["silence_precision"] == pytest.approx(100 * 2 / 3)
    assert found["silence_recall"] == 50
    assert found["false_alarms"] == 3 / 4
    assert all(math.isnan(values(summarise(ROWS[:3]))[name]) for name in ("silence_recall", "false_alarms"))


def test_leakage_is_the_level_of_what_is_not_there() -> None:
    twins = [("Dog", BELL), ("Dog", 0.1 * MIXTURE), ("Cough", 0.01 * MIXTURE)]
    for said, level in ((twins[:1], math.nan), (twins[:2], -20), (twins, -30)):
        made = score_estimates("scene", "tagger", said, [("Dog", BELL)], MIXTURE)
        found = summarise([made, row(hit("Bell", 3.0))])["leakage"]
        assert found.value == pytest.approx(level, abs=1e-4, nan_ok=True)
        assert found.count == (len(said) > 1)
        assert [entry.estimate for entry in made.scores if entry.label == "Dog"] == list(range(len(said)))[:2]
    assert score_estimates("x", "tagger", {"Dog": 0 * BELL}, {}, MIXTURE).scores[0].level < -60


# Intervals.


def many(count: int, seed: int = 0) -> list[MixtureRow]:
    generator = np.random.default_rng(seed)
    gains = generator.normal(10, 3, count)
    return [row(hit("Bell", gain), *([MISS] if index % 3 == 0 else [])) for index, gain in enumerate(gains.tolist())]


def test_an_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    gains = [[s.improvement for s in r.scores] for r in many(400)]
    estimate = summarise(many(400), ["ca_sdri"])["ca_sdri"]
    means = np.array([np.mean(g) for g in gains])
    half = 1.96 * means.std() / 20
    assert estimate.value == pytest.approx(means.mean())
    assert estimate.low == pytest.approx(means.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(means.mean() + half, abs=0.1 * half)


def test_intervals_are_a_function_of_rows_and_seed() -> None:
    rows = many(50)
    assert repr(summarise(rows)) == repr(summarise(rows))  # of what is in none of them, NaN
    other = summarise(rows, bootstrap=Bootstrap(seed=1))["ca_sdri"]
    assert other.value == summarise(rows)["ca_sdri"].value
    assert other.low != summarise(rows)["ca_sdri"].low


def test_a_level_nearer_to_1_widens_the_interval() -> None:
    narrow, wide = (summarise(many(50), bootstrap=Bootstrap(level=level))["ca_sdri"] for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_without_resamples_there_is_no_interval() -> None:
    estimate = summarise(many(5), bootstrap=Bootstrap(resamples=0))["ca_sdri"]
    assert estimate.count == 5
    assert math.isnan(estimate.low)


def test_resamples_that_miss_a_rare_class_are_left_out() -> None:
    rows = [*many(200), *(row(hit("Siren", value)) for value in (4.0, 4.0, 5.0, 6.0, 6.0))]
    siren = by_class(rows)["Siren"]
    assert (siren.value, siren.low, siren.high, siren.count) == (5, 4, 6, 5)


def test_four_events_have_no_interval_however_often_they_are_named() -> None:
    sirens = [row(hit("Siren", value)) for value in (4.0, 5.0, 6.0, 7.0)]
    siren = by_class(
        [*many(30), *sirens, row(ClassScore("Siren", "false_alarm")), row(ClassScore("Siren", "false_alarm"))]
    )["Siren"]
    assert siren.value == pytest.approx(22 / 6)
    assert math.isnan(siren.low)
    assert math.isnan(siren.high)
    assert math.isnan(summarise(sirens)["ca_sdri"].low)


def test_blocks_of_resamples_are_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = np.random.default_rng(0).uniform(size=(40, 3, 2))
    whole = ratios(parts, Bootstrap(resamples=101))
    monkeypatch.setattr("sedsep.metrics.bootstrap.DRAWS_AT_ONCE", 7 * 40)
    blocks = ratios(parts, Bootstrap(resamples=101))
    assert [e.low for e in blocks] == pytest.approx([e.low for e in whole])


@pytest.mark.parametrize("settings", [{"level": 1.0}, {"level": 0.0}, {"resamples": -1}])
def test_settings_without_an_interval_are_refused(settings: dict) -> None:
    with refused(f"{next(iter(settings))}=.* is no count|gives no interval"):
        Bootstrap(**settings)
