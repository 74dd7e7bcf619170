"""What the parts of the benchmark share: a clock, memory, the machine's name, and the table that each gives."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from rich.box import SIMPLE
from rich.table import Table
from torch.utils.benchmark.utils.timer import timer  # waits for the GPU, where there is one

from sedsep.memory import return_freed_memory

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class CostTable:
    """What a part of the benchmark measured.

    Attributes:
        title: what, and on which machine.
        columns: their names.
        rows: cells, one a column.
        metrics: the numbers behind them, by name.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    metrics: dict[str, float]

    def printed(self) -> Table:
        """For a terminal."""
        table = Table(title=self.title, title_justify="left", box=SIMPLE)
        for column in self.columns:
            table.add_column(column, justify="left" if column in ("network", "precision", "ms") else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a file."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return f"{self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def clock(run: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """What a call gives, and its seconds.

    `torch.utils.benchmark.Timer` itself would run everything twice more to warm up, and on one thread.
    """
    started = timer()
    result = run(*args, **kwargs)
    return result, timer() - started


def peak_gb(run: Callable[[], object], device: torch.device) -> float | None:
    """Highest memory during one call: of the device, or of the whole process on a CPU under Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        return_freed_memory()  # of what ran before
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far: proc(5)
        run()
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def machine(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {processor()}"


def processor() -> str:
    """The processor's name as Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
