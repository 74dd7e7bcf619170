"""What a separator costs: time and memory, against its convolutions alone.

Axes: K queries, M microphones, L samples, T frames, F bins.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from sedsep.dsp import snr_db
from sedsep.errors import choice
from sedsep.memory import return_freed_memory
from sedsep.models.guided import GuidedSeparator
from sedsep.modules.film import FilmTerm

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """One way to run a separator.

    Attributes:
        queries: K. passes: refinement passes.
        precision: `fp32`, or `bf16` for autocast (spectra and masks stay float32).
        compiled: whether the U-Net goes through `torch.compile`.
    """

    queries: int
    passes: int
    precision: str
    compiled: bool


@dataclass(frozen=True)
class Cost:
    """What a case took.

    Attributes:
        seconds: for one clip, SED model included. convolutions: seconds of the convolutions alone, in isolation.
        gflop: of those convolutions. peak_gb: highest memory of the process (CPU) or the device during the run;
            `None` where the system does not tell.
        snr_db: agreement with the first case measured; `None` for that one.
    """

    case: Case
    seconds: float
    convolutions: float
    gflop: float
    peak_gb: float | None
    snr_db: float | None = None

    @property
    def ratio(self) -> float:
        """The whole model's time over its convolutions' own."""
        return self.seconds / self.convolutions

    @property
    def gflops(self) -> float:
        """Arithmetic of the convolutions, per second of the whole model, in GFLOP/s."""
        return self.gflop / self.seconds


@dataclass(frozen=True)
class Convolution:
    """A convolution and the shape of its input [R, C, T, F]."""

    layer: nn.Conv2d | nn.ConvTranspose2d
    shape: torch.Size
    gflop: float


def convolutions(network: GuidedSeparator, queries: int, samples: int) -> list[Convolution]:
    """The convolutions of one pass of the U-Net, with those into and out of it.

    Args:
        queries: rows that go through it. samples: L at the network's input rate.
    """
    separator = network.separator
    rows = 1 if separator.outputs > 1 else queries
    frames = samples * separator.sample_rate // separator.input_rate // separator.stft.hop + 1
    frames += -frames % separator.unet.time_stride
    bins = separator.stft.bins - 1
    found: list[Convolution] = []

    def watch(layer: nn.Conv2d | nn.ConvTranspose2d, outlined: nn.Module) -> None:
        def note(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            # Every weight meets every position of the smaller map once.
            positions = (output if isinstance(layer, nn.Conv2d) else inputs[0])[:, 0].numel()
            found.append(Convolution(layer, inputs[0].shape, 2e-9 * positions * layer.weight.numel()))

        outlined.register_forward_hook(note)

    parts = nn.ModuleList([separator.pre_conv, separator.unet, separator.after_conv])
    outline = copy.deepcopy(parts).to("meta").train()  # shapes alone, by the way that calls every layer as a module
    for layer, outlined in zip(parts.modules(), outline.modules(), strict=True):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            watch(layer, outlined)
    with torch.device("meta"):
        terms = [FilmTerm(torch.empty(rows, site.channels, 1, 1)) for site in separator.unet.sites]
        x = outline[0](torch.empty(rows, separator.pre_conv.in_channels, frames, bins))
        outline[2](outline[1](x, terms, lambda y: y))
    return found


def measure(network: GuidedSeparator, mixture: Tensor, cases: Sequence[Case], repeats: int) -> Iterator[Cost]:
    """Run a network in every case, and its convolutions alone in turn with it.

    Args:
        network: in evaluation mode, on the mixture's device; made for refinement where a case asks for passes.
        mixture: [1, M, L].
        cases: the first with some queries and passes is what others with as many are compared with.
        repeats: runs of each, of which the fastest counts: whatever else the machine does only ever adds time.

    Raises:
        UserError: an unknown precision.
    """
    reference: dict[tuple[int, int], Tensor] = {}
    for case in cases:
        dtype = PRECISIONS[choice(case.precision, tuple(PRECISIONS), "task.precisions")]
        whole = _whole(network, mixture, case, dtype)
        estimates = whole()  # compiles, and lets the libraries choose their algorithms
        known = reference.setdefault((case.queries, case.passes), estimates)
        peak = peak_gb(whole, mixture.device)
        bare = convolutions(network, case.queries, mixture.shape[-1])
        alone = _Alone(bare, dtype, mixture.device)
        times = [(_clock(whole, mixture.device), alone.seconds()) for _ in range(repeats)]
        seconds, convolved = (min(column) for column in zip(*times, strict=True))
        yield Cost(
            case,
            seconds,
            case.passes * convolved,
            case.passes * sum(convolution.gflop for convolution in bare),
            peak,
            None if known is estimates else snr_db(known, estimates).mean().item(),
        )


def _whole(network: GuidedSeparator, mixture: Tensor, case: Case, dtype: torch.dtype) -> Callable[[], Tensor]:
    """One separation, SED model included, as a function of nothing: estimates [1, K, L]."""
    if case.compiled:
        network = copy.deepcopy(network)  # compiling cannot be undone
        network.separator.unet.compile()
    classes = network.classes
    query = torch.eye(classes, device=mixture.device)[torch.arange(case.queries) % classes][None]

    def run() -> Tensor:
        with torch.inference_mode(), torch.autocast(mixture.device.type, dtype, enabled=dtype != torch.float32):
            return network(mixture, query, case.passes).estimates

    return run


class _Alone:
    """Convolutions in isolation: same layers, shapes, layout and dtype."""

    def __init__(self, found: Sequence[Convolution], dtype: torch.dtype, device: torch.device) -> None:
        self.layers = [(copy.deepcopy(convolution.layer).to(dtype), convolution.shape) for convolution in found]
        largest = max(convolution.shape.numel() for convolution in found)
        self.noise = torch.randn(largest, device=device).to(dtype)
        self.seconds()  # as for the whole: the first run settles the algorithms

    def seconds(self) -> float:
        """Their times added up."""
        return sum(_clock(partial(layer, self._input(shape)), self.noise.device) for layer, shape in self.layers)

    def _input(self, shape: torch.Size) -> Tensor:
        rows, channels, frames, bins = shape
        return self.noise[: shape.numel()].view(rows, frames, bins, channels).permute(0, 3, 1, 2)


def _clock(run: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of one call."""
    _wait(device)
    started = time.perf_counter()
    with torch.inference_mode():
        run()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gb(run: Callable[[], object], device: torch.device) -> float | None:
    """Highest memory during one call: of the device, or of the whole process on a CPU under Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        return_freed_memory()  # of earlier cases
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far: proc(5)
        run()
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
