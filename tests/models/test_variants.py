"""What must hold of every network that the config can compose, and of each condition when it has nothing to say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from minis import (
    ATTENTION,
    CLASSES,
    LENGTH,
    MICROPHONES,
    RATE,
    make_guided,
    make_sed,
    noise,
    one_hot,
    shaken,
)
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.dsp import snr_db
from sedsep.losses import negative_snr
from sedsep.models import Feedback, GuidedSeparator, Separator
from sedsep.models.features import angle, magnitude
from sedsep.models.feedback import PassStatistics
from sedsep.modules.dprnn import Dprnn

PAPER = {"time_film": TimeFilm, "injection": Soundbeam}
DPRNN = partial(Dprnn, layers=1, hidden=4)
SPATIAL = {"features": ["magnitude", "intensity", "phase"]}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "three outputs": {"outputs": 3},
    "time_film additive": {"time_film": TimeFilm},
    "time_film multiplicative": {"time_film": partial(TimeFilm, mode="multiplicative")},
    "time_film of its own": {"time_film": partial(TimeFilm, shared=False)},
    "time_film binarised": {"time_film": partial(TimeFilm, binarised=True)},
    "soundbeam add": {"injection": Soundbeam},
    "soundbeam concat": {"injection": partial(Soundbeam, merge="concat")},
    "paper": PAPER,
    "paper, frozen": {**PAPER, "sed_trainable": False},
    "paper, dprnn GRU after": {**PAPER, "dprnn": DPRNN},
    "paper, dprnn LSTM before": {**PAPER, "dprnn": partial(DPRNN, cell="LSTM", position="before")},
    "dprnn RNN": {"dprnn": partial(DPRNN, cell="RNN")},
    "paper, made for 1 pass": {**PAPER, "iters": 1},
    "concat, made for 2 passes": {"time_film": TimeFilm, "injection": partial(Soundbeam, merge="concat"), "iters": 2},
    "paper, dprnn, made for 3 passes": {**PAPER, "dprnn": DPRNN, "iters": 3},
    "three outputs, paper, made for 2 passes": {**PAPER, "outputs": 3, "iters": 2},
    "fed back by the mixture's statistics, with phase": {"iters": 2, "feedback": Feedback("mixture", phase=True)},
    "paper, fed back by each pass's statistics, numbered": {
        **PAPER,
        "iters": 3,
        "feedback": Feedback("pass", numbered=True),
    },
    "three outputs, all ways of feedback": {"outputs": 3, "iters": 2, "feedback": Feedback("mixture", True, True)},
    "paper, at half the rate": {**PAPER, "sample_rate": RATE // 2},
    "spatial": SPATIAL,
    "spatial, paper, made for 2 passes": {**SPATIAL, **PAPER, "iters": 2},
    "attention": ATTENTION,
    "attention, three outputs, made for 2 passes": {**ATTENTION, "outputs": 3, "iters": 2},
    "attention, time_film multiplicative": {**ATTENTION, "time_film": partial(TimeFilm, mode="multiplicative")},
    "attention, spatial, paper, dprnn, made for 2 passes": {
        **ATTENTION,
        **SPATIAL,
        **PAPER,
        "dprnn": DPRNN,
        "iters": 2,
    },
}
ONE_BY_ONE = [variant for variant, changes in VARIANTS.items() if "outputs" not in changes]

MIXTURE = noise(2, MICROPHONES, LENGTH, seed=7)
QUERY = one_hot([[1, None, 4], [None, 0, None]])
SOUNDING = QUERY.any(2)

over_variants = pytest.mark.parametrize("variant", VARIANTS)
over_one_by_one = pytest.mark.parametrize("variant", ONE_BY_ONE)


def build(**changes: Any) -> GuidedSeparator:
    torch.manual_seed(0)
    sed = make_sed()
    nn.init.zeros_(sed.strong_head.bias)  # frames on either side of the threshold
    return make_guided(sed, **changes)


@functools.cache
def network(variant: str) -> GuidedSeparator:
    """In evaluation, and shared: whoever changes it takes a copy."""
    return shaken(build(**VARIANTS[variant]))


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert expected.abs().max() > 100 * tolerance, "too quiet to tell"
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


# Rows do not see one another.


@over_variants
@torch.no_grad()
def test_a_silent_query_gives_exact_zeros_and_no_other_does(variant: str) -> None:
    for mode in (False, True):
        for estimate in deepcopy(network(variant)).train(mode)(MIXTURE, QUERY).passes:
            assert not estimate[~SOUNDING].any()
            assert estimate[SOUNDING].any(dim=1).all()
    nothing = network(variant)(MIXTURE, torch.zeros_like(QUERY))
    assert nothing.estimates.shape == (2, 3, LENGTH)
    assert not torch.stack(nothing.passes).any()


@over_variants
@torch.no_grad()
def test_a_batch_gives_what_its_items_give_one_by_one(variant: str) -> None:
    alone = [network(variant)(MIXTURE[i : i + 1], QUERY[i : i + 1]).estimates for i in range(2)]
    close(network(variant)(MIXTURE, QUERY).estimates, torch.cat(alone))


@over_one_by_one
@torch.no_grad()
def test_several_queries_at_once_give_what_they_give_one_by_one(variant: str) -> None:
    query = one_hot([[0, 1, 4], [4, None, 0]])
    alone = [network(variant)(MIXTURE, query[:, k : k + 1]).estimates for k in range(3)]
    close(network(variant)(MIXTURE, query).estimates, torch.cat(alone, dim=1))


# Modes.


@over_variants
@torch.no_grad()
def test_evaluation_repeats_itself_and_leaves_inputs_and_earlier_answers_alone(variant: str) -> None:
    mixture, query = MIXTURE.clone(), QUERY.clone()
    first = network(variant)(mixture, query).estimates
    kept = first.clone()
    network(variant)(0.5 * mixture, query)
    assert torch.equal(first, kept)
    assert torch.equal(network(variant)(mixture, query).estimates, first)
    assert torch.equal(mixture, MIXTURE)
    assert torch.equal(query, QUERY)


@over_variants
def test_training_and_evaluation_compute_the_same_from_the_same_statistics(variant: str) -> None:
    training = deepcopy(network(variant)).train()
    for module in training.modules():
        if isinstance(module, _BatchNorm | nn.RNNBase):  # statistics as they stand, and no dropout
            module.eval()
    with torch.no_grad():
        expected = network(variant)(MIXTURE, QUERY).passes
    recorded = network(variant)(MIXTURE, QUERY).passes
    for estimate, same, trained in zip(expected, recorded, training(MIXTURE, QUERY).passes, strict=True):
        close(same, estimate)
        close(trained, estimate)
    assert recorded[-1].requires_grad


@over_variants
def test_bfloat16_is_near_float32(variant: str) -> None:
    with torch.no_grad():
        expected = network(variant)(MIXTURE, QUERY).estimates
    for recording in (False, True):
        with torch.set_grad_enabled(recording), torch.autocast("cpu", torch.bfloat16):
            estimates = network(variant)(MIXTURE, QUERY).estimates
        assert (snr_db(expected, estimates.detach())[SOUNDING] > 25).all()


# Passes.


@over_one_by_one
@torch.no_grad()
def test_one_pass_of_a_refining_network_is_the_plain_network_fed_silence(variant: str) -> None:
    refining = shaken(build(**(VARIANTS[variant] | {"iters": 1})))
    separator = refining.separator
    norms = [module for module in separator.bn0_feedback.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms or [separator.bn0.bn]:  # one without any has the mixture's
        norm.running_mean.fill_(1e-5)  # the magnitude's floor: what silence looks like
        for shift in (norm.bias, getattr(separator.bn0_feedback, "bias", None)):
            if shift is not None:
                shift.zero_()
    plain = build(**(VARIANTS[variant] | {"iters": 0})).eval()
    state = {n: value for n, value in refining.state_dict().items() if "bn0_feedback" not in n and "pass_film" not in n}
    heard = plain.separator.pre_conv.in_channels
    state["separator.pre_conv.weight"] = state["separator.pre_conv.weight"][:, :heard]
    plain.load_state_dict(state)
    close(refining(MIXTURE, QUERY).estimates, plain(MIXTURE, QUERY).estimates)


@over_one_by_one
@torch.no_grad()
def test_each_pass_is_what_a_run_of_that_many_passes_ends_with(variant: str) -> None:
    refining = shaken(build(**(VARIANTS[variant] | {"iters": 2})))
    first, second, third = refining(MIXTURE, QUERY, passes=3).passes
    close(first, refining(MIXTURE, QUERY, passes=1).estimates)
    close(second, refining(MIXTURE, QUERY).estimates)
    assert (second - first).abs().max() > 1e-3
    assert (third - second).abs().max() > 1e-3


@torch.no_grad()
def test_feedback_by_the_mixture_s_statistics_looks_like_the_mixture_in_training_too() -> None:
    separator = shaken(build(iters=2, feedback=Feedback("mixture"))).separator
    for mode in (False, True):
        separator.train(mode)
        spec = separator.stft(MIXTURE)
        heard = magnitude(spec.real, spec.imag)
        affine = separator.bn0.affine(heard)  # before its running statistics move
        close(separator.bn0_feedback(heard, 1, affine), separator.bn0(heard), 1e-4)


@torch.no_grad()
def test_each_pass_has_its_statistics_and_later_ones_the_last_one_s() -> None:
    norm = PassStatistics(5, passes=2).train()
    x = noise(2, 1, 50, 5)
    for index, level in ((0, 0.0), (1, 3.0), (2, 3.0)):
        norm(x + level, index)
    first, second = (one.bn for one in norm.passes)
    assert (first.num_batches_tracked, second.num_batches_tracked) == (1, 2)
    assert (second.running_mean > first.running_mean).all()


@torch.no_grad()
def test_phase_is_told_against_the_mixture_and_silence_has_none() -> None:
    spec = torch.view_as_complex(noise(2, 1, 3, 5, 2))
    turned = 0.3 * spec * torch.exp(torch.tensor(1j) * 0.7)
    told = angle(turned.real, turned.imag, spec.real, spec.imag)
    cosine, sine = torch.tensor(0.7).cos(), torch.tensor(0.7).sin()
    close(told, torch.stack([cosine, sine])[None, :, None, None].expand_as(told))
    silence = torch.zeros_like(spec)
    assert not angle(silence.real, silence.imag, spec.real, spec.imag).any()


# Gradients.

# Standardising the map takes away whatever this bias adds: its gradient is there, and zero but for rounding.
WITHOUT_EFFECT = {"separator.injection.project.bias"}


def unreached(variant: str) -> tuple[str, ...]:
    """Where a loss on the estimates cannot reach, or must not."""
    changes = VARIANTS[variant]
    curves = "time_film" in changes and variant != "time_film binarised"  # a step has no slope
    if not changes.get("sed_trainable", True) or not (curves or "injection" in changes):
        return ("sed.",)
    # Strong logits do not look at the attention, which the weak head makes; layer features come before the last norm.
    return ("sed.weak_head",) if curves else ("sed.weak_head", "sed.strong_head", "sed.backbone.norm")


@over_variants
def test_gradients_reach_what_learns_and_nothing_else(variant: str) -> None:
    learner = build(**VARIANTS[variant]).train()
    query = one_hot([[1, 0, 2], [3, 2, 1]]) if "outputs" in VARIANTS[variant] else one_hot([[1], [3]])
    negative_snr(learner(MIXTURE, query).estimates, noise(*query.shape[:2], LENGTH)).backward()
    parameters = dict(learner.named_parameters())
    meant = {name for name in parameters if not name.startswith(unreached(variant))}
    reached = {name for name, p in parameters.items() if p.grad is not None and p.grad.any()}
    assert meant - reached <= WITHOUT_EFFECT
    assert {name for name, p in parameters.items() if p.grad is not None} == meant
    assert {name for name, p in parameters.items() if p.requires_grad} >= meant


@pytest.mark.parametrize("gradient", ["last", "each", "through"])
def test_passes_learn_as_they_are_told_to(gradient: str) -> None:
    learner = build(iters=2, feedback=Feedback("mixture", phase=True)).train()
    query = one_hot([[1], [3]])
    passes = learner(MIXTURE, query, gradient=gradient).passes
    assert [estimate.requires_grad for estimate in passes] == [gradient != "last", True]
    negative_snr(passes[-1], noise(*query.shape[:2], LENGTH)).backward()
    assert all(p.grad.isfinite().all() for p in learner.parameters() if p.grad is not None)


def test_a_gradient_through_the_feedback_is_that_of_a_difference() -> None:
    learner = shaken(build(iters=2, feedback=Feedback("mixture", numbered=True))).train()
    for module in learner.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    weight = learner.separator.after_conv.weight

    def loss(gradient: str = "through") -> Tensor:
        return learner(MIXTURE, one_hot([[1], [3]]), gradient=gradient).estimates.square().mean()

    (slope,) = torch.autograd.grad(loss(), weight)
    (alone,) = torch.autograd.grad(loss("each"), weight)
    step = 1e-3 * slope / slope.norm()
    with torch.no_grad():
        weight.add_(step)
        above = loss()
        weight.sub_(2 * step)
        below = loss()
    assert slope.norm().item() == pytest.approx(((above - below) / 2e-3).item(), rel=0.02)
    assert (slope - alone).norm() > 0.03 * slope.norm()


@over_variants
def test_silence_and_a_single_row_train_without_nan(variant: str) -> None:
    learner = build(**VARIANTS[variant]).train()
    query = QUERY[:1] if "outputs" in VARIANTS[variant] else one_hot([[1]])
    for mixture in (torch.zeros(1, MICROPHONES, LENGTH), MIXTURE[:1]):
        learner.zero_grad()
        estimates = learner(mixture, query).estimates
        assert estimates.isfinite().all()
        negative_snr(estimates, torch.zeros_like(estimates)).backward()
        assert all(p.grad.isfinite().all() for p in learner.parameters() if p.grad is not None)
    with torch.no_grad():
        assert learner.eval()(torch.zeros(1, MICROPHONES, LENGTH), query).estimates.isfinite().all()


# What a condition amounts to when it has nothing to say.


def hush_time_film(separator: Separator) -> None:
    separator.time_film.film.linear.weight.zero_()
    # Nothing is added, or multiplied: sigmoid(50) is 1.
    separator.time_film.film.linear.bias.fill_(0.0 if separator.time_film.mode == "additive" else 50.0)


def hush_concat(separator: Separator) -> None:
    """BatchNorm that only lifts everything above zero, where the activation does nothing, and a way back down."""
    injection, lift = separator.injection, 100.0
    channels = injection.concat_project.out_channels
    injection.concat_norm.running_mean.zero_()
    injection.concat_norm.running_var.fill_(1.0 - injection.concat_norm.eps)
    injection.concat_norm.weight.fill_(1.0)
    injection.concat_norm.bias.fill_(lift)
    injection.concat_project.weight.copy_(torch.eye(channels, 2 * channels)[..., None, None])
    injection.concat_project.bias.fill_(-lift)


def hush_dprnn(separator: Separator) -> None:
    for one in (*separator.dprnn.time, *separator.dprnn.frequency):
        one.norm.weight.zero_()
        one.norm.bias.zero_()
    separator.dprnn.activation.weight.fill_(1.0)
    channels = separator.dprnn.output.out_channels
    separator.dprnn.output.weight.copy_(torch.eye(channels)[..., None, None])
    separator.dprnn.output.bias.zero_()


HUSHED: dict[str, tuple[dict[str, Any], list[Callable[[Separator], None]]]] = {
    "time_film additive": ({"time_film": partial(TimeFilm, shared=False)}, [hush_time_film]),
    "time_film multiplicative": (
        {"time_film": partial(TimeFilm, shared=False, mode="multiplicative")},
        [hush_time_film],
    ),
    "soundbeam concat": ({"injection": partial(Soundbeam, merge="concat")}, [hush_concat]),
    "dprnn GRU": ({"dprnn": DPRNN}, [hush_dprnn]),
    "dprnn LSTM": ({"dprnn": partial(DPRNN, cell="LSTM")}, [hush_dprnn]),
    "dprnn RNN": ({"dprnn": partial(DPRNN, cell="RNN")}, [hush_dprnn]),
    "all of them": (
        {
            "time_film": partial(TimeFilm, shared=False),
            "injection": partial(Soundbeam, merge="concat"),
            "dprnn": partial(DPRNN, position="before"),
        },
        [hush_time_film, hush_concat, hush_dprnn],
    ),
}
HUSHED["all of them, of attention"] = (HUSHED["all of them"][0] | ATTENTION, HUSHED["all of them"][1])


@torch.no_grad()
@pytest.mark.parametrize("condition", HUSHED)
def test_a_condition_with_nothing_to_say_is_none(condition: str) -> None:
    changes, hushes = HUSHED[condition]
    told = ("time_film", "injection", "dprnn")
    plain = build(**{name: value for name, value in changes.items() if name not in told}).eval()
    guided = shaken(build(**changes))
    assert not plain.load_state_dict(guided.state_dict(), strict=False).missing_keys
    expected = plain(MIXTURE, QUERY).estimates
    assert (guided(MIXTURE, QUERY).estimates - expected).abs().max() > 1e-3, "the condition says nothing anyway"
    for hush in hushes:
        hush(guided.separator)
    close(guided(MIXTURE, QUERY).estimates, expected, 1e-4)


@torch.no_grad()
def test_frozen_or_not_the_sed_model_says_the_same() -> None:
    close(network("paper")(MIXTURE, QUERY).estimates, network("paper, frozen")(MIXTURE, QUERY).estimates)


# Sizes follow the config.


@torch.no_grad()
@pytest.mark.parametrize(
    "sizes",
    [
        {"microphones": 1},
        {"microphones": 2},
        {"microphones": 7},
        {"classes": 1},
        {"classes": 18},
        {"input_rate": 11025},
        {"input_rate": 4000, "sample_rate": 16000},
        {"widths": [4]},
        {"widths": [4, 4, 6, 6]},
        {"n_fft": 128, "hop": 40},
    ],
    ids=str,
)
@pytest.mark.parametrize("variant", ["three outputs", "paper, dprnn, made for 3 passes"])
def test_rates_microphones_classes_and_widths_are_the_configs(variant: str, sizes: dict[str, Any]) -> None:
    classes, microphones = sizes.get("classes", CLASSES), sizes.get("microphones", MICROPHONES)
    sed = make_sed(input_rate=sizes.get("input_rate", RATE), classes=classes, reference_channel=microphones - 1)
    guided = shaken(make_guided(sed, **(VARIANTS[variant] | sizes)))
    query = torch.eye(classes)[[0, classes - 1, 0]].expand(2, -1, -1)
    estimates = guided(noise(2, microphones, LENGTH), query).estimates
    assert estimates.shape == (2, 3, LENGTH)
    assert estimates.isfinite().all()
    assert estimates.any(dim=2).all()


@torch.no_grad()
@pytest.mark.parametrize("length", [131, 500, 1999, 2 * LENGTH + 1, 5000])
@pytest.mark.parametrize("variant", ["none", "soundbeam concat", "paper, dprnn, made for 3 passes"])
def test_clips_of_any_length_are_separated(variant: str, length: int) -> None:
    mixture = noise(2, MICROPHONES, length)
    estimates = network(variant)(mixture, QUERY).estimates
    assert estimates.shape == (2, 3, length)
    assert estimates.isfinite().all()
    assert estimates[SOUNDING].any(dim=1).all()
