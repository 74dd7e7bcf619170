from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from minis import refused

from sedsep.evaluation.evaluator import MixtureResult, TaggerOutput
from sedsep.evaluation.fitting import Heard, calibration, expected_gains, fit_expected, fit_per_class
from sedsep.evaluation.scored import ACCOUNT, TaggerFile, labelling_of, scored_with
from sedsep.labelling import Expected, PerClass
from sedsep.labels import LabelRule, LabelSet
from sedsep.metrics.rows import MixtureRow, summarise
from sedsep.metrics.sdri import ClassScore

LABELS = LabelSet(("Bell", "Cough", "Dog"))
RULE = LabelRule(at_least=1, at_most=3)


def heard(scenes: int = 300, seed: int = 0) -> Heard:
    """A tagger that is right, but doubts of `Cough` whatever it hears: it says a fifth of the log-odds less 3."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(0, 2, (scenes, 3))
    true = generator.uniform(size=odds.shape) < 1 / (1 + np.exp(-odds))
    true[~true.any(1), 0] = True
    said = odds.copy()
    said[:, 1] = odds[:, 1] / 5 - 3
    probabilities = torch.from_numpy(1 / (1 + np.exp(-said))).float()
    return Heard(LABELS, probabilities, true, np.where(true, generator.uniform(2, 6, odds.shape), 0.0))


def test_thresholds_of_classes_find_what_one_for_all_cannot_and_never_score_less_where_they_were_fitted() -> None:
    scenes = heard()
    alike, tuned = fit_per_class(scenes, RULE, rounds=0), fit_per_class(scenes, RULE, rounds=10)

    def score(labelling: PerClass, of: Heard) -> float:
        return fmean(of.scores(labelling.choose(of.probabilities, 1, 3)))

    assert len(set(alike.thresholds.values())) == 1
    assert tuned.thresholds["Cough"] < 0.15 < tuned.thresholds["Bell"]
    assert score(tuned, scenes) > score(alike, scenes) + 0.3
    others = heard(seed=1)
    assert score(tuned, others) > score(alike, others) + 0.15


def test_scores_are_those_of_separated_scenes() -> None:
    scenes, row = heard(scenes=40), []
    named = [[0, 1], [2]] * 20
    for number, classes in enumerate(named):
        scores = []
        for index, label in enumerate(LABELS):
            gain, true = scenes.gains[number, index], scenes.true[number, index]
            if true and index in classes:
                scores.append(ClassScore(label, "hit", improvement=gain))
            elif true or index in classes:
                scores.append(ClassScore(label, "miss" if true else "false_alarm"))
        ca_sdri = fmean(score.improvement for score in scores)
        row.append(MixtureRow(str(number), "tagger", (), (), scores=tuple(scores), ca_sdri=ca_sdri))
    assert fmean(scenes.scores(named)) == pytest.approx(summarise(row, ["ca_sdri"])["ca_sdri"].value)


@pytest.mark.parametrize(("temperature", "offset"), [(0.5, 0.0), (1.0, 1.0), (3.0, -0.5)])
def test_a_temperature_and_an_offset_are_found_again(temperature: float, offset: float) -> None:
    generator = np.random.default_rng(0)
    odds = generator.normal(0, 3, 4000)
    true = generator.uniform(size=odds.shape) < 1 / (1 + np.exp(-odds))
    found = calibration((odds - offset) * temperature, true)
    assert found == (pytest.approx(temperature, rel=0.1), pytest.approx(offset, abs=0.1))


def test_a_class_that_never_sounds_stays_about_as_it_is_and_gains_what_all_gain() -> None:
    scenes = heard(scenes=30)
    scenes.true[:, 2], scenes.gains[:, 2] = False, 0.0
    temperature, offset = calibration(np.full(30, -3.0), np.zeros(30, bool))
    assert 0.3 < temperature < 1 and -3 < offset < 0
    assert expected_gains(scenes)[2] == pytest.approx(scenes.gains.sum() / scenes.true.sum())


def test_expected_gains_are_means_of_true_sounds_drawn_to_that_of_all() -> None:
    scenes = heard(scenes=3000)
    scenes.gains[:, 1] *= 2
    fitted = fit_expected(scenes, RULE)
    means = scenes.gains.sum(0) / scenes.true.sum(0)
    assert list(fitted.gains.values()) == pytest.approx(means.tolist(), abs=0.5)
    assert means[0] < fitted.gains["Bell"] and fitted.gains["Cough"] < means[1]
    assert fitted.most == 3


def results(
    probabilities: list[float] | None, true: tuple[str, ...] = ("Bell",), count: int = 30
) -> list[MixtureResult]:
    output = {"tagger": TaggerOutput(probabilities, None)}
    oracle = MixtureRow("", "oracle", true, true, scores=(ClassScore("Bell", "hit", improvement=4.0),), ca_sdri=4.0)
    alone = MixtureRow("", "tagger", true, ("Dog",))
    return [MixtureResult(str(number), [alone, oracle][: number % 2 + 1], output) for number in range(count)]


def test_gains_are_those_under_true_labels_and_1_where_nothing_was_separated() -> None:
    of = Heard.of(results([0.5, 0.2, 0.1]), "tagger", LABELS)
    assert of.gains[:2].tolist() == [[1, 0, 0], [4, 0, 0]]
    assert of.true.sum(0).tolist() == [30, 0, 0]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (results(None), "gives no probabilities of classes to choose by: choose labelling=threshold"),
        (results([0.1] * 3, ("Bell", "Bell")), "A class repeats in 0"),
        (results([0.1] * 3, count=5), "There are 5 validation scenes"),
    ],
)
def test_what_labelling_cannot_be_fitted_on_is_refused(found: list[MixtureResult], says: str) -> None:
    with refused(says):
        Heard.of(found, "tagger", LABELS)


def test_a_run_tells_how_labels_of_the_tagger_that_it_was_scored_with_are_chosen(tmp_path: Path) -> None:
    separator, tagger, other, lone = (
        tmp_path / run / "checkpoints" / "model" / "last.ckpt" for run in ("separator", "tagger", "other", "lone")
    )
    for file in (separator, tagger, other, lone):
        file.parent.mkdir(parents=True)
        file.write_text(str(file))
    together = Expected(dict.fromkeys(LABELS, 1.5), dict.fromkeys(LABELS, 0.1), dict.fromkeys(LABELS, 3.0))
    alone = PerClass(dict.fromkeys(LABELS, 0.3))
    account = {"threshold": 0.4, "taggers": {"tagger": asdict(TaggerFile.of(tagger))}}
    (tmp_path / "separator" / ACCOUNT).write_text(json.dumps({**account, "labelling": {"tagger": asdict(together)}}))
    (tmp_path / "other" / ACCOUNT).write_text(json.dumps({"threshold": 0.4, "labelling": {"tagger": asdict(alone)}}))
    assert labelling_of([separator], [tagger]) == together
    assert labelling_of([separator], [other]) == alone
    assert labelling_of([separator], [lone]) is None


@pytest.mark.parametrize(
    "labelling",
    [{"rule": "per_class", "thresholds": {"Bell": 7}}, {"rule": "exec"}, {"rule": "expected", "temperatures": {}}],
)
def test_a_damaged_account_of_labelling_is_refused(tmp_path: Path, labelling: dict[str, object]) -> None:
    file = tmp_path / "checkpoints" / "model" / "last.ckpt"
    (tmp_path / ACCOUNT).write_text(json.dumps({"threshold": 0.4, "labelling": {"tagger": labelling}}))
    with refused("is damaged or holds something else"):
        scored_with(file)
