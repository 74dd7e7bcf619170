"""What a separator costs: time and memory, against its convolutions and linear layers alone.

Axes: K queries, M microphones, L samples.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sedsep.benchmarks.costs import CostTable, clock, machine, peak_gb
from sedsep.devices import PRECISIONS, computing
from sedsep.dsp import snr_db
from sedsep.models.guided import GuidedSeparator
from sedsep.modules.film import FilmTerm

log = logging.getLogger(__name__)

COLUMNS = ("network", "iters", "passes", "queries", "precision", "s", "GFLOP", "convs", "ratio", "GFLOP/s", "GB", "dB")
DIGITS = {
    "seconds": ".3g",
    "gflop": ".3g",
    "convolutions_seconds": ".3g",
    "ratio": ".2f",
    "gflops": ".0f",
    "peak_gb": ".1f",
    "snr_db": ".0f",
}
"""What is told of a case, and how a table writes it."""

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def separator_costs(
    title: str,
    networks: Mapping[str, Callable[[int], GuidedSeparator]],
    mixture: Tensor,
    iters: Sequence[int],
    queries: Sequence[int],
    precisions: Sequence[str],
    compiling: Sequence[bool],
    repeats: int,
) -> CostTable:
    """Measure networks without and with refinement, in all ways asked for.

    Args:
        title: what is measured; the machine is added.
        networks: what makes them for some refinement passes, by name; metrics of the first one do not carry its name.
        mixture: [1, M, L], on the device to measure.
        iters: refinement passes to make networks for; those with some are run for one pass and for all.
        queries: numbers of events that are asked of a network without refinement.
        precisions: of each; float32 first, the others' reference.
        compiling: whether the body goes through `torch.compile`.
        repeats: runs of each.

    Raises:
        UserError: an unknown precision.
    """
    rows: list[list[str]] = []
    metrics: dict[str, float] = {}
    first = next(iter(networks))
    for (name, make), most in itertools.product(networks.items(), iters):
        network = make(most).to(mixture.device).eval()
        sizes = [(1, 1), (1, most)] if most else [(count, 1) for count in queries]
        references: dict[tuple[int, int], Tensor] = {}
        for (count, passes), precision, compiled in itertools.product(sizes, precisions, compiling):
            costs, estimates = measure(network, mixture, count, passes, precision, compiled, repeats)
            reference = references.setdefault((count, passes), estimates)
            if reference is not estimates:
                costs["snr_db"] = snr_db(reference, estimates).mean().item()
            way = precision + (" compiled" if compiled else "")
            cells = [f"{costs[key]:{digits}}" if key in costs else "" for key, digits in DIGITS.items()]
            rows.append([name, str(most), str(passes), str(count), way, *cells])
            log.info("%s", ", ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, rows[-1], strict=True)))
            # The shortest names are those of one query, no refinement, not compiled.
            prefix = f"benchmark/separator/{'' if name == first else f'{name}/'}{way.replace(' ', '/')}"
            prefix += f"/iters_{most}/passes_{passes}" if most else ""
            prefix += f"/queries_{count}" if count > 1 else ""
            metrics |= {f"{prefix}/{key}": value for key, value in costs.items()}
    return CostTable(f"{title}, {machine(mixture.device)}", COLUMNS, rows, metrics)


def measure(
    network: GuidedSeparator,
    mixture: Tensor,
    queries: int,
    passes: int,
    precision: str = "fp32",
    compiled: bool = False,
    repeats: int = 1,
) -> tuple[dict[str, float], Tensor]:
    """Run a network in some way, and its convolutions and linear layers alone in turn with it.

    Args:
        network: in evaluation mode, on the mixture's device; made for refinement where passes are asked for.
        mixture: [1, M, L].
        queries: K.
        passes: refinement passes.
        precision: see `computing`.
        compiled: whether the body goes through `torch.compile`.
        repeats: runs of each, of which the fastest counts: whatever else the machine does only ever adds time.

    Returns:
        `seconds` for one clip, SED model included; `gflop`, the arithmetic from the first convolution to the last;
        `convolutions_seconds` of convolutions and linear layers in isolation; `ratio` of the two times; `gflops`, the
        arithmetic per second of the whole, in GFLOP/s; `peak_gb`, the highest memory of the process (CPU) or the device
        during the run, where the system tells. And the estimates [1, K, L].

    Raises:
        UserError: an unknown precision.
    """
    computed = computing(mixture.device, precision)
    layers, gflop = arithmetic(network, queries, mixture.shape[-1])
    if compiled:
        network = copy.deepcopy(network)  # compiling cannot be undone
        network.separator.unet.compile()
    query = torch.eye(network.classes, device=mixture.device)[torch.arange(queries) % network.classes][None]

    def whole() -> Tensor:
        with torch.inference_mode(), computed:
            return network(mixture, query, passes).estimates

    estimates = whole()  # compiles, and lets the libraries choose their algorithms
    peak = peak_gb(whole, mixture.device)
    alone = _alone(layers, PRECISIONS[precision], mixture.device)  # not before: it takes memory
    alone()
    times = [(clock(whole)[1], passes * alone()) for _ in range(repeats)]
    seconds, bare = map(min, zip(*times, strict=True))
    costs = {
        "seconds": seconds,
        "gflop": passes * gflop,
        "convolutions_seconds": bare,
        "ratio": seconds / bare,
        "gflops": passes * gflop / seconds,
    }
    return costs if peak is None else {**costs, "peak_gb": peak}, estimates


def arithmetic(network: GuidedSeparator, queries: int, samples: int) -> tuple[list[tuple[Layer, torch.Size]], float]:
    """What one pass computes from the first convolution to the last.

    Args:
        network: whose it is.
        queries: K, rows that go through it.
        samples: L at the network's input rate.

    Returns:
        Convolutions and linear layers, each with the shape of its input, and the arithmetic in GFLOP, that of bands and
        attention included.
    """
    separator = network.separator
    rows = 1 if separator.outputs > 1 else queries
    samples = samples * separator.sample_rate // separator.input_rate
    frames = separator.maps(samples // separator.stft.hop + 1).frames
    parts = nn.ModuleList([separator.pre_conv, separator.unet, separator.after_conv])
    outline = copy.deepcopy(parts).to("meta").train()  # shapes alone, by the way that calls every layer as a module
    layers: dict[nn.Module, Any] = dict(zip(outline.modules(), parts.modules(), strict=True))
    calls: list[tuple[Layer, torch.Size]] = []
    for module in outline.modules():
        if isinstance(module, Layer):
            module.register_forward_hook(lambda called, inputs, _: calls.append((layers[called], inputs[0].shape)))
    with torch.device("meta"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        terms = [FilmTerm(torch.empty(rows, site.channels, 1, 1)) for site in separator.unet.sites]
        x = outline[0](torch.empty(rows, separator.pre_conv.in_channels, frames, separator.stft.bins - 1))
        outline[2](outline[1](x, terms, []))
    return calls, counter.get_total_flops() / 1e9


def _alone(layers: Sequence[tuple[Layer, torch.Size]], dtype: torch.dtype, device: torch.device) -> Callable[[], float]:
    """Layers in isolation (the same ones, shapes, layout and dtype), as a function that runs them and gives the sum of
    their seconds."""
    layers = [(copy.deepcopy(layer).to(dtype), shape) for layer, shape in layers]
    noise = torch.randn(max(shape.numel() for _, shape in layers), device=device).to(dtype)

    def run() -> float:
        seconds = 0.0
        for layer, shape in layers:
            x = noise[: shape.numel()].view(shape)
            if not isinstance(layer, nn.Linear):  # channels last
                x = x.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
            with torch.inference_mode():
                seconds += clock(layer, x)[1]
        return seconds

    return run
