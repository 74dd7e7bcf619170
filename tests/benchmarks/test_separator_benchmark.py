from __future__ import annotations

from functools import partial

import pytest
import torch
from minis import LENGTH, MICROPHONES, make_guided, make_sed, noise, one_hot, refused, shaken
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sedsep.benchmarks.separator import convolutions, measure, separator_costs
from sedsep.conditioning import Soundbeam, TimeFilm


@pytest.mark.parametrize("queries", [1, 2])
def test_every_convolution_is_counted_at_its_true_size(queries: int) -> None:
    network = shaken(make_guided(iters=1))
    network.separator.unet.remade = None  # with gradients every layer is called as a module
    query = one_hot([[0, 2][:queries]])
    seen: list[tuple[nn.Module, torch.Size]] = []
    counted = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [layer for layer in network.modules() if isinstance(layer, counted)]
    hooks = [
        layer.register_forward_hook(lambda one, inputs, _: seen.append((one, inputs[0].shape))) for layer in layers
    ]
    with FlopCounterMode(display=False) as counter:
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
    mixture = noise(1, MICROPHONES, LENGTH)
    for queries, passes in ((1, 2), (2, 1)):
        plain, _ = measure(network, mixture, queries, passes, repeats=2)
        assert min(plain.values()) > 0
        assert plain["ratio"] == plain["seconds"] / plain["convolutions_seconds"]
        gflop = passes * convolutions(network, queries, LENGTH)[1]
        assert plain["gflops"] == pytest.approx(gflop / plain["seconds"])
    title, make = "a clip", {2: network}.__getitem__
    table = separator_costs(title, make, mixture, [2], [1], ["fp32", "bf16"], [False], repeats=1)
    assert [row[:4] for row in table.rows] == [["2", n, "1", way] for n in "12" for way in ("fp32", "bf16")]
    rough = [name for name in table.metrics if name.endswith("snr_db")]
    assert rough == [f"benchmark/separator/bf16/iters_2/passes_{n}/snr_db" for n in "12"]
    assert all(15 < table.metrics[name] < 80 for name in rough)
    with refused(r"precision=fp16"):
        measure(network, mixture, 1, 1, "fp16")
