from __future__ import annotations

import pytest
import torch
from minis import refused

from sedsep.errors import UserError
from sedsep.labels import SILENCE, LabelSet

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
