"""How the labels of a clip are chosen from what a tagger says: from a probability on, the same for all classes or one a
class, or so that the score to be expected is highest.

Axes: B clips, N classes, S sets of labels, k labels of a set, Q nodes of a quadrature.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from sedsep.errors import UserError

Floats = NDArray[np.float64]
MOST_LABELS = 4
"""Sets of more are too many to look at each."""
SURE = 1e-7
"""What a float32 probability can be told from 0 and 1 by."""


def likeliest(probabilities_bn: Tensor, threshold: float, at_least: int, at_most: int | None) -> list[list[int]]:
    """Class indices of every clip, most probable first.

    Args:
        probabilities_bn: [B, N].
        threshold: probability from which a class is named.
        at_least: the likeliest so many are named where fewer reach the threshold.
        at_most: the likeliest so many are named where more reach it; `None` for all.
    """
    ranked = probabilities_bn.sort(dim=1, descending=True)
    counts = (probabilities_bn >= threshold).sum(1).clamp(at_least, at_most).tolist()
    return [ranked.indices[row, :count].tolist() for row, count in enumerate(counts)]


@dataclass(frozen=True)
class PerClass:
    """A threshold a class. Where it is to be fewer or more labels, those come first whose odds exceed the odds of their
    threshold most.

    Attributes:
        thresholds: by class, in the order of the classes.
    """

    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]]
    rule: Literal["per_class"] = "per_class"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.thresholds)

    def choose(self, probabilities_bn: Tensor, at_least: int, at_most: int | None) -> list[list[int]]:
        """Class indices of every clip; arguments as of `likeliest`."""
        odds_bn = logits(probabilities_bn) - logits(torch.tensor(list(self.thresholds.values())))
        return likeliest(odds_bn, 0.0, at_least, at_most)


@dataclass(frozen=True)
class Expected:
    """The labels with the highest score to be expected, if classes sound independently of one another, each as often as
    its calibrated probability says, and gain when named what they gain on average.

    Attributes:
        temperatures: that the log-odds of each class are divided by, in the order of the classes.
        offsets: that are added to them then (Platt 1999, Probabilistic outputs for support vector machines).
        gains: improvement to be expected of each class where it is named and sounds, dB; of all the same number, they
            are the share of labels that are right.
        most: labels of a clip.
    """

    temperatures: dict[str, Annotated[float, Field(gt=0, le=100)]]
    offsets: dict[str, Annotated[float, Field(ge=-100, le=100)]]
    gains: dict[str, Annotated[float, Field(ge=0, le=1000)]]
    most: Annotated[int, Field(ge=1, le=MOST_LABELS)] = 3
    rule: Literal["expected"] = "expected"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.temperatures)

    def calibrated(self, probabilities_bn: Tensor) -> Floats:
        """Probabilities [B, N] that are meant as such."""
        temperature_n, offset_n = (
            torch.tensor([values[label] for label in self.classes], dtype=torch.float64)
            for values in (self.temperatures, self.offsets)
        )
        return (logits(probabilities_bn) / temperature_n + offset_n).sigmoid().numpy()

    def choose(self, probabilities_bn: Tensor, at_least: int, at_most: int | None) -> list[list[int]]:
        """Class indices of every clip, most probable first.

        Args:
            probabilities_bn: [B, N].
            at_least: 0 names nothing where it is likelier that nothing sounds than that anything does.
            at_most: so many labels; `None` for `most`.
        """
        gains_n = np.array([self.gains[label] for label in self.classes])
        most = min(self.most, self.most if at_most is None else at_most)
        chosen = []
        for probability_n in self.calibrated(probabilities_bn):
            silent = at_least == 0 and float(np.prod(1 - probability_n)) >= 0.5
            best = () if silent else best_set(probability_n, gains_n, most)
            chosen.append(sorted(best, key=lambda index: -probability_n[index]))
        return chosen


Labelling = Annotated[PerClass | Expected, Field(discriminator="rule")]


def check_classes(labelling: PerClass | Expected, classes: Iterable[str]) -> None:
    """Make sure that a labelling is for some classes.

    Raises:
        UserError: it is for others.
    """
    if labelling.classes != tuple(classes):
        raise UserError(
            f"The fitted labelling={labelling.rule} is for other classes than the tagger has, or in another order: fit "
            "it with this tagger (task=evaluate), or leave it out (labelling=threshold)."
        )


def logits(probabilities: Tensor) -> Tensor:
    """Log-odds, in double precision."""
    return torch.logit(probabilities.detach().cpu().double(), eps=SURE)


def best_set(probability_n: Floats, gain_n: Floats, most: int) -> tuple[int, ...]:
    """The set of 1 to `most` labels whose expected score is highest: all are looked at that could be.

    A class that has both a smaller probability and a smaller product of it with its gain than another is in no best set
    without that other: exchanging them adds to the sum and takes from what is missed.

    Args:
        probability_n: that each class sounds, independent of the others.
        gain_n: of each class where it sounds and is named, not negative.
        most: labels.
    """
    worth_n = probability_n * gain_n
    order = np.lexsort((-worth_n, -probability_n))
    candidates: list[int] = []
    better: list[float] = []  # worth of those that are likelier
    for index in order:
        if sum(worth >= worth_n[index] for worth in better) < most:
            candidates.append(int(index))
        better.append(worth_n[index])
    best, highest = (), -np.inf
    for size in range(1, min(most, len(candidates)) + 1):
        sets_sk = np.array(list(combinations(candidates, size)))
        scores_s = expected_scores(probability_n, worth_n, sets_sk)
        if scores_s.max() > highest:
            best, highest = tuple(sets_sk[scores_s.argmax()].tolist()), float(scores_s.max())
    return best


def expected_scores(probability_n: Floats, worth_n: Floats, sets_sk: NDArray[np.int64]) -> Floats:
    """Expected CA-SDRi of a clip under each of some sets of labels [S].

    Of a set A the score is the sum of the gains of those that sound, over the number of labels that are named, sound or
    both: k + K, where K counts what sounds beside A and does not depend on what sounds in it. So it is to be expected
    to be the sum of the worths in A times E[1 / (k + K)], and that is the integral from 0 to 1 of x^(k - 1) E[x^K], a
    polynomial for which Gauss's quadrature is exact.

    Args:
        probability_n: that each class sounds.
        worth_n: probability times gain of each class.
        sets_sk: classes of each set, all of one size.
    """
    x_q, weight_q = _quadrature(len(probability_n))
    absent_nq = np.log1p(-np.outer(probability_n, 1 - x_q))
    beside_sq = np.exp(absent_nq.sum(0) - absent_nq[sets_sk].sum(1))
    reciprocal_s = beside_sq @ (weight_q * x_q ** (sets_sk.shape[1] - 1))
    return worth_n[sets_sk].sum(1) * reciprocal_s


@lru_cache
def _quadrature(classes: int) -> tuple[Floats, Floats]:
    """Nodes and weights on [0, 1] that are exact for polynomials of a degree below the number of classes."""
    nodes, weights = np.polynomial.legendre.leggauss((classes + 1) // 2)
    return (nodes + 1) / 2, weights / 2
