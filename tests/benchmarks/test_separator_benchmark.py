from __future__ import annotations

from functools import partial

import pytest
import torch
from minis import LENGTH, MICROPHONES, make_guided, make_sed, noise, one_hot, refused, shaken
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sedsep.benchmarks.separator import Case, convolutions, measure
from sedsep.conditioning import Soundbeam, TimeFilm


@pytest.mark.parametrize("queries", [1, 2])
def test_every_convolution_is_counted_at_its_true_size(queries: int) -> None:
    network = shaken(make_guided(iters=1))
    query = one_hot([[0, 2][:queries]])
    seen: list[tuple[nn.Module, torch.Size]] = []
    counted = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [layer for layer in network.modules() if isinstance(layer, counted)]
    hooks = [
        layer.register_forward_hook(lambda one, inputs, _: seen.append((one, inputs[0].shape))) for layer in layers
    ]
    with FlopCounterMode(display=False) as counter:  # with gradients every layer is called as a module
        network(noise(1, MICROPHONES, LENGTH), query)
    for hook in hooks:
        hook.remove()
    calls, gflop = convolutions(network, queries, LENGTH)
    assert calls == seen
    by_kind = counter.get_flop_counts()["Global"]
    whole = sum(flop for kind, flop in by_kind.items() if kind == torch.ops.aten.convolution)
    assert gflop * 1e9 == pytest.approx(whole)


def test_a_case_is_timed_beside_its_convolutions_and_compared_with_fp32() -> None:
    network = shaken(make_guided(make_sed(), iters=2, time_film=TimeFilm, injection=partial(Soundbeam)))
    assert isinstance(network, nn.Module)
    cases = [Case(queries, passes, way, False) for queries, passes in ((1, 2), (2, 1)) for way in ("fp32", "bf16")]
    plain, rough, *_ = costs = list(measure(network, noise(1, MICROPHONES, LENGTH), cases, repeats=2))
    assert [cost.case for cost in costs] == cases
    assert all(min(cost.seconds, cost.convolutions_seconds) > 0 for cost in costs)
    assert all(cost.ratio == cost.seconds / cost.convolutions_seconds for cost in costs)
    assert plain.gflop == rough.gflop
    assert plain.snr_db is None
    assert rough.snr_db is not None
    assert 15 < rough.snr_db < 80
    with refused(r"task\.precisions=fp16"):
        list(measure(network, noise(1, MICROPHONES, LENGTH), [Case(1, 1, "fp16", False)], repeats=1))
