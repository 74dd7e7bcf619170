from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import CLASSES, LABELS, fit, make_batch, make_guided, make_sed, one_hot, refused
from torch import Tensor, nn

from sedsep.checkpoints import Description
from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.dsp import snr_db
from sedsep.metrics.sdri import ca_sdri, score_mixture
from sedsep.modules.dprnn import Dprnn
from sedsep.training import SedRates, SeparatorRates, SeparatorSystem, warmup_constant, warmup_cosine
from sedsep.types import Batch, Separation

PAPER = {"time_film": TimeFilm, "injection": Soundbeam}
RATES = SeparatorRates(pretrained=0.2, new=1.0, dprnn=0.5, sed=SedRates(heads=0.0, backbone=0.4, decay=0.9))


class Recorder(nn.Module):
    """Stands in for a separator: writes down what it is asked and answers with the reference channel."""

    def __init__(self, iters: int = 0, outputs: int = 1) -> None:
        super().__init__()
        self.iters, self.outputs = iters, outputs
        self.queries: list[Tensor] = []
        self.passes: list[int | None] = []
        self.gradients: list[str] = []

    def forward(self, mixture: Tensor, query: Tensor, passes: int | None = None, gradient: str = "last") -> Separation:
        self.queries.append(query)
        self.passes.append(passes)
        self.gradients.append(gradient)
        estimates = mixture[:, :1] * query.any(2, keepdim=True)
        return Separation(estimates, [estimates])


def make_system(network: nn.Module, **changes: Any) -> SeparatorSystem:
    settings = {
        "labels": LABELS,
        "rates": RATES,
        "description": Description("separator", "mini", {}, ()),
        "optimizer": torch.optim.AdamW,
        "schedule": partial(warmup_cosine, warmup_steps=2),
    }
    return SeparatorSystem(network, **(settings | changes))


# The step.


def test_the_target_is_drawn_evenly_from_the_sources_that_sound() -> None:
    torch.manual_seed(0)
    network = Recorder()
    make_system(network).training_step(make_batch([[1, None, 4], [None, 0, None]] * 1500, length=8), 0)
    (query,) = network.queries
    assert query.shape == (3000, 1, CLASSES)
    drawn = Counter(query[::2, 0].argmax(1).tolist())
    assert set(drawn) == {1, 4}
    assert abs(drawn[1] - 750) < 100  # five deviations
    assert set(query[1::2, 0].argmax(1).tolist()) == {0}
    assert query.any(2).all()


def test_the_loss_is_against_the_dry_source_of_the_class_asked_for() -> None:
    network, batch = Recorder(), make_batch([[1, None, 4]])
    loss = make_system(network).training_step(batch, 0)
    slot = 0 if network.queries[0][0, 0, 1] else 2
    assert loss.item() == pytest.approx(-snr_db(batch.targets[0, slot], batch.mixture[0, 0]).item(), abs=1e-4)


def test_a_separator_of_several_outputs_is_asked_for_all_sources_and_scored_where_they_sound() -> None:
    network, batch = Recorder(outputs=3), make_batch([[1, None, 4], [None, 0, None]])
    loss = make_system(network).training_step(batch, 0)
    assert torch.equal(network.queries[0], batch.query)
    snr = snr_db(batch.targets, batch.mixture[:, :1])[batch.query.any(2)]
    assert loss.item() == pytest.approx(-snr.mean().item(), abs=1e-4)


@pytest.mark.parametrize(("over", "counted"), [("sources", 4), ("slots", 6)])
def test_sources_of_one_class_may_come_in_any_order_and_others_may_not(over: str, counted: int) -> None:
    batch = make_batch([[1, 4, 1], [0, None, None]])
    network = Recorder(outputs=3)
    gains = torch.tensor([[0.5, 0.25, 0.9], [0.5, 1.0, 1.0]])  # of the source in each slot
    snr = snr_db(batch.targets, gains[..., None] * batch.targets)[batch.query.any(2)]
    for order, kept in (([2, 1, 0], True), ([1, 0, 2], False)):
        estimates = (gains[..., None] * batch.targets)[:, order]
        estimates[1] = gains[1, :, None] * batch.targets[1]
        network.forward = lambda *_, estimates=estimates, **__: Separation(estimates, [estimates])
        loss = make_system(network, averaged_over=over).training_step(batch, 0).item()
        assert (loss == pytest.approx(-snr.sum().item() / counted, abs=1e-4)) is kept


def test_passes_are_drawn_evenly_from_one_to_iters_and_alike_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = Recorder(iters=3), make_batch([[1, None, None]], length=8)
    system = make_system(network)
    for step in range(600):
        monkeypatch.setattr(SeparatorSystem, "global_step", step)
        torch.manual_seed(step)  # another rank draws other numbers
        system.training_step(batch, 0)
    counts = Counter(network.passes)
    assert set(counts) == {1, 2, 3}
    assert all(abs(count - 200) < 60 for count in counts.values())  # five deviations
    first, network.passes = network.passes, []
    for step in range(600):
        monkeypatch.setattr(SeparatorSystem, "global_step", step)
        system.training_step(batch, 0)
    assert network.passes == first


@pytest.mark.parametrize(("iters", "pass_decay"), [(0, None), (1, None), (3, 1.0)])
def test_one_pass_or_a_loss_on_every_pass_draws_nothing(iters: int, pass_decay: float | None) -> None:
    network = Recorder(iters=iters)
    make_system(network, pass_decay=pass_decay).training_step(make_batch([[1, None, None]], length=8), 0)
    assert network.passes == [None]


@pytest.mark.parametrize(
    ("options", "gradient"),
    [({}, "last"), ({"through": True}, "through"), ({"pass_decay": 0.5}, "each")],
)
def test_a_loss_on_every_pass_weighs_early_ones_less(options: dict[str, Any], gradient: str) -> None:
    network, batch = Recorder(iters=3), make_batch([[1, None, None]])
    target = batch.targets[:, :1]
    passes = [gain * target for gain in (0.5, 0.75, 0.9)]
    network.forward = lambda *_, gradient: network.gradients.append(gradient) or Separation(passes[-1], passes)
    first, second, third = (-snr_db(target, estimate).item() for estimate in passes)
    expected = (first / 4 + second / 2 + third) / 1.75 if "pass_decay" in options else third
    assert make_system(network, **options).training_step(batch, 0).item() == pytest.approx(expected, abs=1e-4)
    assert network.gradients == [gradient]


# Optimiser groups.


def named_rates(system: SeparatorSystem) -> dict[str, float]:
    """The learning rate of every parameter in a group; none may be in two."""
    groups = system.groups()
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: rate[id(p)] for name, p in system.network.named_parameters() if id(p) in rate}


def test_every_role_learns_at_its_rate_and_the_stage_2_heads_not_at_all() -> None:
    network = make_guided(make_sed(), iters=2, dprnn=partial(Dprnn, hidden=4, layers=1), **PAPER)
    rates = named_rates(make_system(network))

    def expected(name: str) -> float | None:
        if name.startswith(("sed.strong_head", "sed.weak_head")):
            return None
        if name.startswith("sed."):
            return 0.4 * (0.9 if "blocks.1" in name or "backbone.norm" in name else 0.9**2)
        if name.startswith("separator.dprnn"):
            return 0.5
        return 0.2 if name.startswith(("separator.unet", "separator.label_film.film")) else 1.0

    meant = {name: expected(name) for name, _ in network.named_parameters()}
    assert rates == pytest.approx({name: rate for name, rate in meant.items() if rate is not None})


def test_the_paper_recipe_gives_the_published_rates() -> None:
    rates = SeparatorRates(2e-4, 1e-3, 5e-4, SedRates(0.0, 4e-4, 0.9))
    got = named_rates(make_system(make_guided(make_sed(), **PAPER), rates=rates))
    assert got["separator.label_film.embedding.0.weight"] == got["separator.bn0.bn.weight"] == 1e-3
    assert got["sed.backbone.blocks.1.norm1.weight"] == pytest.approx(3.6e-4)


def test_frozen_parameters_are_in_no_group() -> None:
    rates = named_rates(make_system(make_guided(make_sed(), sed_trainable=False, **PAPER)))
    assert rates
    assert not any(name.startswith("sed.") for name in rates)


def test_weight_decay_spares_vectors_and_scalars() -> None:
    system = make_system(make_guided(make_sed(), **PAPER), weight_decay=0.1)
    named_rates(system)
    for group in system.groups():
        assert {p.ndim >= 2 for p in group["params"]} == {group["weight_decay"] > 0}


# Schedules.


def rates_over(schedule: Any, steps: int, **settings: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, total_steps=steps, **settings)
    rates = []
    for _ in range(steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_rate_warms_up_and_falls_along_half_a_cosine_to_zero() -> None:
    rates = rates_over(warmup_cosine, 20, warmup_steps=4)
    assert rates[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert rates[4:] == pytest.approx([1 + math.cos(math.pi * step / 16) for step in range(17)])
    assert rates[12] == pytest.approx(1.0)
    assert rates[20] == pytest.approx(0.0)


def test_a_run_shorter_than_its_warm_up_still_rises_all_the_way() -> None:
    assert max(rates_over(warmup_cosine, 3, warmup_steps=100)[:3]) == pytest.approx(2.0)
    assert rates_over(warmup_cosine, 4, warmup_steps=0)[0] == pytest.approx(2.0)


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    assert rates_over(warmup_constant, 4, warmup_steps=2) == pytest.approx([1, 2, 2, 2, 2])


# A fit.


@pytest.mark.filterwarnings("ignore")
def test_a_short_fit_lowers_the_loss_and_scores_the_baseline_labels() -> None:
    torch.manual_seed(0)
    batch: Batch = make_batch([[0, 2, None], [1, None, None]])
    answers = {"scene_0": [0, 3], "scene_1": [1]}
    network = make_guided(make_sed(), iters=2, **PAPER)
    rates = SeparatorRates(1e-2, 1e-2, 1e-2, SedRates(0.0, 1e-4))
    system = make_system(network, rates=rates, validation_labels=answers)
    before = valid_loss(system, batch)
    trainer = fit(system, [batch] * 4, epochs=8)
    after = valid_loss(system, batch)
    assert after < before - 0.5
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert logged["valid/loss"] == pytest.approx(after, abs=1e-3)
    with torch.no_grad():
        estimates = network(batch.mixture, one_hot([[0, 3], [1, None]])).estimates
    scores = [
        score_mixture(
            zip([LABELS.names[index] for index in answers[name]], estimates[item], strict=False),
            zip([LABELS.names[index] for index in truth], batch.targets[item], strict=False),
            batch.mixture[item, 0],
        )
        for item, (name, truth) in enumerate(zip(batch.names, [[0, 2], [1]], strict=True))
    ]
    assert logged["valid/ca_sdri/baseline"] == pytest.approx(ca_sdri(scores), abs=1e-3)


@torch.no_grad()
def valid_loss(system: SeparatorSystem, batch: Batch) -> float:
    estimates = system.network.eval()(batch.mixture, batch.query).estimates
    return -snr_db(batch.targets, estimates)[batch.query.any(2)].mean().item()


def test_a_scene_without_targets_adds_nothing() -> None:
    network = Recorder()
    batch = make_batch([[1, None, 4], [None, None, None]])
    alone = Batch(batch.mixture[:1], batch.targets[:1], batch.query[:1], batch.spans[:1], batch.names[:1])
    assert make_system(network).training_step(batch, 0).item() == make_system(network).training_step(alone, 0).item()


def test_a_batch_without_targets_asks_every_weight_for_nothing() -> None:
    system = make_system(make_guided(**PAPER, sed=make_sed()))
    loss = system.training_step(make_batch([[None, None, None]]), 0)
    loss.backward()
    assert loss.item() == 0
    gradients = [p.grad for group in system.groups() for p in group["params"]]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)  # distributed training waits


def test_the_draws_do_not_depend_on_batches_and_ranks() -> None:
    together, apart = Recorder(), Recorder()
    batch = make_batch([[1, 2, 4]] * 8)
    make_system(together).training_step(batch, 0)
    for row in range(8):
        rows = slice(row, row + 1)
        one = Batch(batch.mixture[rows], batch.targets[rows], batch.query[rows], batch.spans[rows], batch.names[rows])
        make_system(apart).training_step(one, 0)
    assert torch.equal(together.queries[0], torch.cat(apart.queries))


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_the_batch(tmp_path: Path) -> None:
    batch = make_batch([[1, None, 4]])
    batch.mixture[0, 0, 100] = float("inf")
    system = make_system(make_guided())
    with refused(r"loss is nan in epoch 0, step 0: look at the batch .*not_finite"):
        fit(system, [batch], 1, directory=tmp_path)
    kept = torch.load(next(tmp_path.glob("not_finite*.pt")), weights_only=True)
    assert torch.equal(kept["batch"]["mixture"], batch.mixture)
    assert all(kept["state_dict"][name].isfinite().all() for name, _ in system.named_parameters())


def test_a_gradient_that_is_not_finite_spoils_no_weight(tmp_path: Path) -> None:
    system = make_system(make_guided())
    system.network.separator.after_conv.weight.register_hook(lambda gradient: gradient * float("nan"))
    with refused("gradient's norm is nan"):
        fit(system, [make_batch([[1, None, 4]])], 1, directory=tmp_path)
    assert all(weight.isfinite().all() for weight in system.parameters())
