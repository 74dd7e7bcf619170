from __future__ import annotations

import pytest
import torch
from minis import refused

from sedsep.errors import UserError
from sedsep.labels import SILENCE, LabelRule, LabelSet, choose_labels

LABELS = LabelSet(("Bell", "Cough", "Dog"))


def test_order_of_the_names_is_the_order_of_the_entries() -> None:
    assert list(LABELS) == ["Bell", "Cough", "Dog"]
    assert [LABELS.index(name) for name in LABELS] == [0, 1, 2]
    rows = LABELS.one_hot(["Dog", SILENCE, "Bell"])
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_no_names_give_no_rows() -> None:
    assert LABELS.one_hot([]).shape == (0, 3)


def test_a_list_of_names_will_do() -> None:
    assert LabelSet(["Bell", "Cough", "Dog"]) == LABELS


def test_silence_is_no_class() -> None:
    assert SILENCE not in LABELS
    with pytest.raises(UserError):
        LABELS.index(SILENCE)


def test_an_unknown_label_is_answered_with_the_nearest() -> None:
    with refused("'Cuogh' is not among the 3 classes: did you mean Cough"):
        LABELS.one_hot(["Cuogh"])


@pytest.mark.parametrize(
    ("names", "match"), [((), "empty"), (("Dog", "Bell", "Dog"), "Dog more than once"), (("Dog", SILENCE), SILENCE)]
)
def test_a_set_that_cannot_be_is_refused(names: tuple[str, ...], match: str) -> None:
    with refused(match):
        LabelSet(names)


def chosen(rows: list[list[float]], *rule: float) -> list[list[int]]:
    return choose_labels(torch.tensor(rows), LabelRule(*rule))  # type: ignore[arg-type]


def test_labels_reach_the_threshold_and_come_most_probable_first() -> None:
    assert chosen([[0.5, 0.2, 0.9, 0.49]]) == [[2, 0]]


def test_the_most_probable_label_is_chosen_where_none_reaches_the_threshold_unless_none_is_allowed() -> None:
    assert chosen([[0.1, 0.3, 0.2]]) == [[1]]
    assert chosen([[0.1, 0.3, 0.2]], 0.5, 0) == [[]]


def test_so_many_labels_are_chosen_at_most() -> None:
    assert chosen([[0.6, 0.9, 0.7, 0.8], [0.9, 0.1, 0.1, 0.1]], 0.5, 1, 3) == [[1, 3, 2], [0]]
    assert chosen([[0.6, 0.9]], 0.7, 2) == [[1, 0]]
