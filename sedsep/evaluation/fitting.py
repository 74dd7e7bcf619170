"""How labels are chosen, fitted on validation scenes: temperatures, thresholds and gains of classes.

Axes: V scenes, N classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from sedsep.errors import UserError
from sedsep.evaluation.evaluator import MixtureResult
from sedsep.labelling import MOST_LABELS, Expected, Floats, PerClass, logits
from sedsep.labels import LabelRule, LabelSet
from sedsep.metrics.registry import ORACLE

GRID = (0.02, *(step / 20 for step in range(1, 20)), 0.98)
"""Thresholds to choose from."""
LEAST_SCENES = 20
"""To fit on; of fewer, numbers of classes say nothing."""
PRIOR_SOURCES = 200
"""So many sources of average gain are counted to those of each class: scenes share a few recordings of it, and their
mean says more of these than of the class."""

PRIOR_DEVIATIONS = (1.0, 3.0)
"""Of the logarithm of a temperature, and of an offset: taggers that learn from rare sounds begin with low odds."""


@dataclass(frozen=True)
class Heard:
    """What a tagger says of scenes, and what there is to gain in them.

    Attributes:
        labels: the classes.
        probabilities: that each class sounds [V, N].
        true: whether it does, bool [V, N].
        gains: improvement of each sound under true labels, dB, and 0 for what does not sound [V, N]. Where nothing was
            separated each sound gains 1: scores are shares of labels that are right.
    """

    labels: LabelSet
    probabilities: Tensor
    true: NDArray[np.bool_]
    gains: Floats

    @classmethod
    def of(cls, results: Sequence[MixtureResult], source: str, labels: LabelSet) -> Heard:
        """What an evaluation found.

        Args:
            results: of scenes, under true labels, too, if there is a separator.
            source: label source of the tagger.
            labels: the classes.

        Raises:
            UserError: the tagger gives no probabilities of classes, a class repeats, or there are too few scenes.
        """
        if len(results) < LEAST_SCENES:
            raise UserError(
                f"There are {len(results)} validation scenes, and labelling is fitted on {LEAST_SCENES} at least: give "
                "the data set more, or choose labelling=threshold."
            )
        probabilities = [result.outputs[source].probabilities for result in results]
        if None in probabilities:
            raise UserError(
                f"The {source} names sources one by one and gives no probabilities of classes to choose by: choose "
                "labelling=threshold."
            )
        true = np.zeros((len(results), len(labels)), bool)
        gains = np.zeros(true.shape)
        for scene, result in enumerate(results):
            row = next((row for row in result.rows if row.labels_from == ORACLE), result.rows[0])
            if len(set(row.true)) < len(row.true):
                raise UserError(
                    f"A class repeats in {result.name}, and labels are chosen once a class: choose labelling=threshold."
                )
            known = {score.label: score.improvement for score in row.scores} if row.labels_from == ORACLE else {}
            for label in row.true:
                true[scene, labels.index(label)] = True
                gains[scene, labels.index(label)] = known.get(label, 1.0)
        return cls(labels, torch.tensor(probabilities), true, gains)

    def scores(self, named: Sequence[Sequence[int]]) -> list[float]:
        """CA-SDRi of each scene, dB, if these classes were named in it: exactly so for a separator that answers queries
        one by one, about so for another. Scenes in which nothing sounds and nothing is named are left out."""
        scores = []
        for classes, true, gains in zip(named, self.true, self.gains, strict=True):
            if entries := int(true.sum()) + sum(not true[index] for index in classes):
                scores.append(float(sum(gains[index] for index in classes)) / entries)
        return scores


def fit_per_class(heard: Heard, rule: LabelRule, rounds: int) -> PerClass:
    """Thresholds with which the mean CA-SDRi of scenes is highest: the best for all classes alike, then of one class
    after the other until none gets better.

    Args:
        heard: of the scenes.
        rule: how many labels there are at least and at most.
        rounds: of all classes, at most; 0 leaves all at the best threshold for all.
    """

    def score(thresholds: dict[str, float]) -> float:
        return fmean(heard.scores(PerClass(thresholds).choose(heard.probabilities, rule.at_least, rule.at_most)))

    alike = [dict.fromkeys(heard.labels, threshold) for threshold in GRID]
    best = max(alike, key=score)
    reached = score(best)
    for _ in range(rounds):
        before = best
        for label in heard.labels:
            others = [{**best, label: threshold} for threshold in GRID]
            tuned = max(others, key=score)
            if (value := score(tuned)) > reached:
                best, reached = tuned, value
        if best is before:
            break
    return PerClass(best)


def fit_expected(heard: Heard, rule: LabelRule) -> Expected:
    """Temperatures, offsets and gains of classes.

    Args:
        heard: of the scenes.
        rule: how many labels there are at most.

    Raises:
        UserError: more labels than sets can be looked at of.
    """
    if rule.at_most is None or rule.at_most > MOST_LABELS:
        raise UserError(
            f"labelling=expected looks at all sets of up to {MOST_LABELS} labels: choose slots={MOST_LABELS} or fewer, "
            "or labelling=per_class."
        )
    odds_vn = logits(heard.probabilities).numpy()
    fits = [calibration(odds_vn[:, n], heard.true[:, n]) for n in range(len(heard.labels))]
    return Expected(
        {label: temperature for label, (temperature, _) in zip(heard.labels, fits, strict=True)},
        {label: offset for label, (_, offset) in zip(heard.labels, fits, strict=True)},
        dict(zip(heard.labels, expected_gains(heard), strict=True)),
        rule.at_most,
    )


def calibration(odds_v: Floats, true_v: NDArray[np.bool_]) -> tuple[float, float]:
    """(temperature, offset) of a class with which its cross-entropy is lowest.

    The logarithm of the temperature and the offset are a priori normal, of `PRIOR_DEVIATIONS`: a class that hardly
    sounds stays about as it is.
    """

    def loss(guess: NDArray[np.float64]) -> float:
        odds = odds_v / np.exp(guess[0]) + guess[1]
        return float(
            np.logaddexp(0, np.where(true_v, -odds, odds)).sum() + np.square(guess / PRIOR_DEVIATIONS).sum() / 2
        )

    log_temperature, offset = minimize(loss, np.zeros(2)).x
    return float(np.exp(log_temperature)), float(offset)


def expected_gains(heard: Heard) -> list[float]:
    """Mean improvement of each class's sounds, drawn to that of all by `PRIOR_SOURCES`; at least 0 dB.

    Where all are 0 they are 1, as for a tagger without separator.
    """
    counts = heard.true.sum(0)
    overall = heard.gains.sum() / max(1, counts.sum())
    means = np.maximum((heard.gains.sum(0) + PRIOR_SOURCES * overall) / (counts + PRIOR_SOURCES), 0)
    return means.tolist() if means.any() else [1.0] * len(means)
