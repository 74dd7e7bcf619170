"""Parts that do not fit one another are refused as they are put together, and ask for no gradient they cannot get."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from minis import CLASSES, LENGTH, MICROPHONES, RATE, make_guided, make_sed, make_separator, noise, one_hot, refused
from test_variants import VARIANTS, build, over_variants, unreached

from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.dsp import resample

MIXTURE, QUERY = noise(2, MICROPHONES, LENGTH), one_hot([[1], [3]])


@pytest.mark.parametrize(
    ("sed", "match"),
    [
        ({"classes": CLASSES + 2}, f"names 7 classes at {RATE} Hz, the separator 5 at {RATE} Hz"),
        ({"input_rate": 2 * RATE}, f"names 5 classes at {2 * RATE} Hz, the separator 5 at {RATE} Hz"),
        ({"reference_channel": MICROPHONES}, r"sed\.reference_channel=4 is not among the 4 microphones"),
        ({"head": "linear"}, "Time-FiLM needs a SED model that names frames"),
    ],
)
def test_a_sed_model_that_does_not_fit_its_separator_is_refused(sed: dict[str, Any], match: str) -> None:
    with refused(match):
        make_guided(make_sed(**sed), time_film=TimeFilm)


def test_layer_features_need_no_frames() -> None:
    make_guided(make_sed(head="linear"), injection=Soundbeam)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"iters": -1}, r"refinement\.iters=-1 is no number of passes"),
        ({"hop": 64}, "hop=64 leaves gaps between windows of n_fft=64"),
    ],
)
def test_sizes_without_a_meaning_are_refused(changes: dict[str, Any], match: str) -> None:
    with refused(match):
        make_separator(**changes)


@pytest.mark.parametrize("queries", [1, 3])
def test_queries_of_another_batch_are_refused(queries: int) -> None:
    with refused(f"2 mixtures came with queries for {queries}"):
        make_separator()(MIXTURE, QUERY[:1].expand(queries, -1, -1))


@over_variants
def test_only_what_is_reached_asks_for_a_gradient(variant: str) -> None:
    parameters = dict(build(**VARIANTS[variant]).named_parameters())
    asking = {name for name, p in parameters.items() if p.requires_grad}
    assert asking == {name for name in parameters if not name.startswith(unreached(variant))}


@torch.no_grad()
def test_resampling_keeps_float32_under_autocast() -> None:
    expected = resample(MIXTURE, RATE, RATE // 2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(resample(MIXTURE, RATE, RATE // 2), expected)
