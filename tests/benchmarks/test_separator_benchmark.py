from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from minis import ATTENTION, LENGTH, MICROPHONES, make_guided, make_sed, noise, one_hot, refused, shaken
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sedsep.benchmarks.separator import arithmetic, measure, separator_costs
from sedsep.conditioning import Soundbeam, TimeFilm


@pytest.mark.parametrize("changes", [{"iters": 1}, {**ATTENTION, "features": ["magnitude", "intensity"]}], ids=str)
@pytest.mark.parametrize("queries", [1, 2])
def test_every_layer_is_counted_at_its_true_size(queries: int, changes: dict[str, Any]) -> None:
    network = shaken(make_guided(**changes))
    network.separator.unet.remade = None  # with gradients every layer is called as a module
    query = one_hot([[0, 2][:queries]])
    seen: list[tuple[nn.Module, torch.Size]] = []
    parts = (network.separator.pre_conv, network.separator.unet, network.separator.after_conv)
    counted = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    layers = [layer for part in parts for layer in part.modules() if isinstance(layer, counted)]
    hooks = [
        layer.register_forward_hook(lambda one, inputs, _: seen.append((one, inputs[0].shape))) for layer in layers
    ]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(noise(1, MICROPHONES, LENGTH), query)
    for hook in hooks:
        hook.remove()
    calls, gflop = arithmetic(network, queries, LENGTH)
    assert calls == seen
    inside = counter.get_flop_counts()["GuidedSeparator.separator.unet"]  # the first and the last convolution, too
    assert gflop * 1e9 == pytest.approx(sum(inside.values()))


def test_a_case_is_timed_beside_its_convolutions_and_compared_with_fp32() -> None:
    network = shaken(make_guided(make_sed(), iters=2, time_film=TimeFilm, injection=partial(Soundbeam)))
    assert isinstance(network, nn.Module)
    mixture = noise(1, MICROPHONES, LENGTH)
    for queries, passes in ((1, 2), (2, 1)):
        plain, _ = measure(network, mixture, queries, passes, repeats=2)
        assert min(plain.values()) > 0
        assert plain["ratio"] == plain["seconds"] / plain["convolutions_seconds"]
        gflop = passes * arithmetic(network, queries, LENGTH)[1]
        assert plain["gflop"] == gflop
        assert plain["gflops"] == pytest.approx(gflop / plain["seconds"])
    other = shaken(make_guided(iters=2, **ATTENTION))
    networks = {"ours": {2: network}.__getitem__, "theirs": {2: other}.__getitem__}
    table = separator_costs("a clip", networks, mixture, [2], [1], ["fp32", "bf16"], [False], repeats=1)
    ways = [[name, "2", n, "1", way] for name in networks for n in "12" for way in ("fp32", "bf16")]
    assert [row[:5] for row in table.rows] == ways
    rough = [name for name in table.metrics if name.endswith("snr_db")]
    own = [f"benchmark/separator/{name}bf16/iters_2/passes_{n}/snr_db" for name in ("", "theirs/") for n in "12"]
    assert rough == own
    assert all(15 < table.metrics[name] < 80 for name in rough)
    with refused(r"precision=fp16"):
        measure(network, mixture, 1, 1, "fp16")
