"""task=benchmark: what the configured separator costs on this machine."""

from __future__ import annotations

import itertools
import json
import logging
import platform
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sedsep.benchmark import Case, Cost, measure
from sedsep.errors import UserError
from sedsep.models.separator import GuidedSeparator

log = logging.getLogger(__name__)

COLUMNS = ("iters", "passes", "queries", "precision", "s", "convs", "ratio", "GFLOP/s", "GB", "dB")
"""Seconds of a clip and of the convolutions alone; the highest memory; the agreement with fp32."""


def run(config: DictConfig) -> dict[str, float]:
    """Measure every case, print the table, and write metrics.json and benchmark.md to the run directory.

    Raises:
        UserError: the model is no separator that answers one query at a time.
    """
    node, task = config.model, config.task
    if node.kind != "separator" or node.network.separator.outputs > 1:
        raise UserError(f"task=benchmark measures separators that are asked one event at a time, not {node.name}.")
    device = torch.device("cpu" if config.trainer.accelerator == "cpu" else "cuda")
    torch.manual_seed(config.seed)
    length = round(config.duration * config.sample_rate)
    mixture = 0.1 * torch.randn(1, config.microphones, length).to(device)
    network_config = OmegaConf.to_container(node.network, resolve=True)
    costs: dict[int, list[Cost]] = {}
    for iters in task.iters:
        network = instantiate(network_config, separator={"iters": iters}, _convert_="all").to(device).eval()
        assert isinstance(network, GuidedSeparator)
        costs[iters] = []
        for cost in measure(network, mixture, _cases(task, iters), task.repeats):
            costs[iters].append(cost)
            log.info("%s", ", ".join(f"{name} {cell}" for name, cell in zip(COLUMNS, _cells(iters, cost), strict=True)))
    rows = [_cells(iters, cost) for iters, measured in costs.items() for cost in measured]
    title = f"{node.name}, scale={config.scale.name}, {config.duration:g} s clips, {_machine(device)}"
    _print(title, rows)
    run_dir = Path(config.paths.run)
    metrics = _metrics(costs)
    (run_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (run_dir / "benchmark.md").write_text(_markdown(title, rows))
    log.info("Written to %s: metrics.json, benchmark.md", run_dir)
    return metrics


def _cases(task: DictConfig, iters: int) -> list[Case]:
    """Several queries without refinement, several passes with one query; float32 first, the others' reference."""
    sizes = [(queries, 1) for queries in task.queries] if iters == 0 else [(1, 1), (1, iters)]
    return [Case(*size, *way) for size, *way in itertools.product(sizes, task.precisions, task.compile)]


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {_processor()}"


def _processor() -> str:
    """The processor's name as Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _metrics(costs: dict[int, list[Cost]]) -> dict[str, float]:
    """Flat numbers; the shortest names are those of one query, no refinement, not compiled."""
    metrics = {}
    for iters, measured in costs.items():
        for cost in measured:
            case = cost.case
            name = "/".join(
                [
                    "benchmark/separator",
                    case.precision,
                    *(["compiled"] if case.compiled else []),
                    *([f"iters_{iters}", f"passes_{case.passes}"] if iters else []),
                    *([f"queries_{case.queries}"] if case.queries > 1 else []),
                ]
            )
            values = {
                "seconds": cost.seconds,
                "convolutions_seconds": cost.convolutions,
                "ratio": cost.ratio,
                "gflops": cost.gflops,
                "peak_gb": cost.peak_gb,
                "snr_db": cost.snr_db,
            }
            metrics.update({f"{name}/{key}": value for key, value in values.items() if value is not None})
    return metrics


def _cells(iters: int, cost: Cost) -> list[str]:
    case = cost.case
    return [
        str(iters),
        str(case.passes),
        str(case.queries),
        case.precision + (" compiled" if case.compiled else ""),
        f"{cost.seconds:.3g}",
        f"{cost.convolutions:.3g}",
        f"{cost.ratio:.2f}",
        f"{cost.gflops:.0f}",
        "" if cost.peak_gb is None else f"{cost.peak_gb:.1f}",
        "" if cost.snr_db is None else f"{cost.snr_db:.0f}",
    ]


def _print(title: str, rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "precision" else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _markdown(title: str, rows: list[list[str]]) -> str:
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return f"{title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
