"""What the separator adds to its parts: guidance, refinement, rates, refusals (test_variants.py: the whole grid)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from minis import (
    CLASSES,
    LENGTH,
    MICROPHONES,
    RATE,
    make_guided,
    make_sed,
    make_separator,
    noise,
    one_hot,
    refused,
    shaken,
)
from torch import Tensor

from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.dsp import resample, snr_db
from sedsep.models import Separator
from sedsep.modules.dprnn import Dprnn
from sedsep.types import SedOutput

SED_SIZES = {"sed_layers": 3, "sed_width": 16}
PAPER = {"time_film": TimeFilm, "injection": Soundbeam}


def sed_output(items: int = 2, seed: int = 0) -> SedOutput:
    """What a SED model of two blocks might say: 2 x 5 patches, 20 frames."""
    layers = [noise(items, 10, 16, seed=seed + index) for index in range(3)]
    return SedOutput(torch.zeros(items, CLASSES), noise(items, CLASSES, 20, seed=seed) * 3, None, layers, (2, 5))


def give(network: Separator, weights: Separator) -> Separator:
    """`network` with every weight of `weights` that it has room for, in evaluation mode."""
    left = network.load_state_dict(weights.state_dict(), strict=False)
    assert not left.missing_keys
    return network.eval()


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert expected.abs().max() > 100 * tolerance, "too quiet to tell"
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


MIXTURE = noise(2, MICROPHONES, LENGTH, seed=7)
QUERY = one_hot([[1, None, 4], [None, 0, None]])
ONE_EACH = one_hot([[1], [3]])


# What conditions say.


@torch.no_grad()
def test_shared_time_film_counts_the_bias_of_the_films_twice() -> None:
    guided = shaken(make_separator(time_film=TimeFilm))
    for parameter in guided.time_film.embedding[4].parameters():  # the last LayerNorm: the embedding is zero
        parameter.zero_()
    plain = give(make_separator(), guided)
    plain.label_film.film.linear.bias.mul_(2)
    close(guided(MIXTURE, QUERY, sed_output()).estimates, plain(MIXTURE, QUERY).estimates)


@torch.no_grad()
def test_injection_of_weight_zero_ignores_the_sed_model() -> None:
    guided = shaken(make_separator(injection=Soundbeam, **SED_SIZES))
    heard = [guided(MIXTURE, QUERY, sed_output(seed=seed)).estimates for seed in (0, 9)]
    assert (heard[0] - heard[1]).abs().max() > 1e-3
    guided.injection.weight_sed.zero_()
    deaf = [guided(MIXTURE, QUERY, sed_output(seed=seed)).estimates for seed in (0, 9)]
    close(deaf[0], deaf[1])


@torch.no_grad()
def test_time_film_follows_the_queried_class_and_no_other() -> None:
    guided = shaken(make_separator(time_film=TimeFilm))
    sed, other = sed_output(), sed_output()
    other.strong_logits[:, [0, 2, 3, 4]] += 5
    query = one_hot([[1], [1]])
    close(guided(MIXTURE, query, sed).estimates, guided(MIXTURE, query, other).estimates)
    other.strong_logits[:, 1] += 5
    assert (guided(MIXTURE, query, sed).estimates - guided(MIXTURE, query, other).estimates).abs().max() > 1e-3


@torch.no_grad()
def test_binarised_time_film_knows_only_on_and_off() -> None:
    guided = shaken(make_separator(time_film=partial(TimeFilm, binarised=True)))
    sed, louder = sed_output(), sed_output()
    louder.strong_logits *= 10
    close(guided(MIXTURE, QUERY, sed).estimates, guided(MIXTURE, QUERY, louder).estimates)


# Passes and modes.


def test_every_pass_is_handed_back_and_the_last_is_the_estimate() -> None:
    network = make_separator(iters=2).eval()
    for asked, given in ((None, 2), (1, 1), (5, 5)):
        separation = network(MIXTURE, ONE_EACH, passes=asked)
        assert len(separation.passes) == given
        assert separation.estimates is separation.passes[-1]


@pytest.mark.parametrize("sample_rate", [RATE, RATE // 2])
@torch.no_grad()
def test_a_pass_that_is_fed_another_s_estimates_is_the_one_after_it(sample_rate: int) -> None:
    network = shaken(make_separator(iters=2, outputs=3, sample_rate=sample_rate))
    first, second = network(MIXTURE, QUERY).passes
    fed = network(MIXTURE, QUERY, passes=1, before=first).estimates
    assert snr_db(second, fed)[QUERY.any(-1)].min() > (80 if sample_rate == RATE else 25)  # resampled there and back
    assert snr_db(second, first)[QUERY.any(-1)].max() < 20


def test_in_training_only_the_last_pass_carries_a_gradient() -> None:
    network = make_separator(iters=3).train()
    assert [estimate.requires_grad for estimate in network(MIXTURE, ONE_EACH).passes] == [False, False, True]
    assert make_separator().train()(MIXTURE, ONE_EACH).estimates.requires_grad


def test_a_frozen_sed_model_stays_in_evaluation_and_keeps_its_statistics() -> None:
    network = make_guided(make_sed(), sed_trainable=False, **PAPER)
    network.train()
    assert network.separator.training
    assert not any(module.training for module in network.sed.modules())
    before = {name: value.clone() for name, value in network.sed.state_dict().items()}
    network(MIXTURE, ONE_EACH)
    assert all(torch.equal(value, before[name]) for name, value in network.sed.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.sed.parameters())


def test_a_sed_model_that_learns_follows_the_mode() -> None:
    network = make_guided(make_sed(), **PAPER)
    assert network.train().sed.training
    assert not network.eval().sed.training


def test_a_separator_without_guidance_carries_no_sed_model() -> None:
    assert make_guided(make_sed()).sed is None


def test_the_layer_features_are_made_only_where_they_are_injected() -> None:
    assert make_guided(make_sed(), time_film=TimeFilm).listen(MIXTURE).layers == []
    assert len(make_guided(make_sed(), injection=Soundbeam).listen(MIXTURE).layers) == 3


# Rates and sizes.


@torch.no_grad()
@pytest.mark.parametrize("rate", [4000, 6000, 16000])
@pytest.mark.parametrize("length", [2000, 1999])
def test_working_at_another_rate_gives_estimates_as_long_as_the_mixture(rate: int, length: int) -> None:
    network = shaken(make_separator(sample_rate=rate))
    assert network(MIXTURE[..., :length], QUERY).estimates.shape == (2, 3, length)


@torch.no_grad()
def test_working_at_another_rate_is_resampling_on_either_side() -> None:
    outer = shaken(make_separator(sample_rate=RATE // 2))
    inner = give(make_separator(), outer)
    halved = inner(resample(MIXTURE, 2, 1), QUERY).estimates
    close(outer(MIXTURE, QUERY).estimates, resample(halved, 1, 2))


@torch.no_grad()
def test_a_fresh_network_answers_with_part_of_the_reference_channel() -> None:
    torch.manual_seed(0)
    estimates = make_separator().eval()(MIXTURE, ONE_EACH).estimates
    cosine = torch.cosine_similarity(estimates[:, 0], MIXTURE[:, 0], dim=1)
    assert (cosine > 0.8).all()


@torch.no_grad()
@pytest.mark.parametrize("length", [33, 97])  # half a window and one sample; four frames
def test_clips_of_a_few_frames_are_separated(length: int) -> None:
    network = shaken(make_separator(**PAPER, **SED_SIZES))
    assert network(MIXTURE[..., :1].expand(-1, -1, length), QUERY, sed_output()).estimates.shape == (2, 3, length)


# What cannot be done is said in one sentence.


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"n_fft": 72}, "n_fft=72 gives 36 bins, which 3 stages cannot halve"),
        ({"injection": partial(Soundbeam, merge="blend")}, "injection.merge=blend is not known: choose one of add"),
        ({"time_film": partial(TimeFilm, mode="sum")}, "time_film.mode=sum"),
        ({"dprnn": partial(Dprnn, cell="CNN")}, "dprnn.cell=CNN"),
        ({"dprnn": partial(Dprnn, position="beside")}, "dprnn.position=beside"),
    ],
)
def test_a_separator_that_cannot_be_is_refused(changes: dict[str, Any], match: str) -> None:
    with refused(match):
        make_separator(**changes, **SED_SIZES)


@pytest.mark.parametrize(
    ("changes", "mixture", "query", "passes", "match"),
    [
        ({}, MIXTURE[:, :2], ONE_EACH, None, "built for 4 microphones, the recording has 2"),
        ({}, MIXTURE, ONE_EACH[..., :3], None, "query has 3 classes, the separator 5"),
        ({"outputs": 3}, MIXTURE, ONE_EACH, None, "answers 3 queries at once, not 1"),
        ({"time_film": TimeFilm}, MIXTURE, ONE_EACH, None, "guided by a SED model"),
        ({}, MIXTURE, ONE_EACH, 2, "2 passes were asked of a separator without feedback"),
        ({"iters": 2}, MIXTURE, ONE_EACH, 0, "passes"),
        ({"iters": 2}, MIXTURE, ONE_EACH, -1, "passes"),
        ({}, MIXTURE[..., :32], ONE_EACH, None, "32"),  # half a window: too short for its centred frames
    ],
)
def test_what_a_separator_cannot_do_is_refused(
    changes: dict[str, Any], mixture: Tensor, query: Tensor, passes: int | None, match: str
) -> None:
    with refused(match):
        make_separator(**changes)(mixture, query, passes=passes)


def test_somebody_else_s_estimates_are_refused_without_feedback() -> None:
    with refused("without feedback"):
        make_separator()(MIXTURE, ONE_EACH, before=MIXTURE[:, :1])


def test_guidance_without_a_sed_model_is_refused() -> None:
    with refused(r"conditioning\.sed"):
        make_guided(time_film=TimeFilm)


def test_time_film_refuses_an_output_that_names_no_frames() -> None:
    with refused("Time-FiLM needs a SED model that names frames"):
        make_separator(time_film=TimeFilm)(MIXTURE, ONE_EACH, SedOutput(torch.zeros(2, CLASSES)))
