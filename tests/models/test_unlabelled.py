"""A separator that is told nothing."""

from __future__ import annotations

from functools import partial

import torch
from minis import MICROPHONES, RATE, SEPARATOR, noise, one_hot, refused, shaken

from sedsep.models import Separator, UnlabelledSeparator
from sedsep.models.unlabelled import check_asked

MIXTURE = noise(2, MICROPHONES, RATE // 4)


def make_unlabelled(outputs: int = 3) -> UnlabelledSeparator:
    return UnlabelledSeparator(partial(Separator, **SEPARATOR, outputs=outputs))


def test_every_output_is_a_stem_that_sounds() -> None:
    for outputs in (1, 3):
        network = make_unlabelled(outputs)
        shaken(network)
        with torch.no_grad():
            stems = network.stems(MIXTURE)
        assert stems.shape == (2, outputs, MIXTURE.shape[-1])
        assert stems.any(-1).all()


def test_labels_are_refused() -> None:
    with refused("knows no labels"):
        make_unlabelled()(MIXTURE, one_hot([[0, 1, None]] * 2))
    with refused("knows no labels"):
        check_asked(make_unlabelled())
