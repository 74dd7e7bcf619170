"""task=benchmark: what the configured separator costs on this machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from sedsep.benchmarks.scenes import SetSize, measure_device, measure_worker, write_set
from sedsep.benchmarks.separator import Case, Cost, measure, peak_gb
from sedsep.errors import UserError, choice
from sedsep.models.guided import GuidedSeparator
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.tasks.session import Session, set_up
from sedsep.tasks.stages import make_system
from sedsep.training.base import System
from sedsep.training.meters import PHASES, Phases
from sedsep.types import Batch

log = logging.getLogger(__name__)

COLUMNS = ("iters", "passes", "queries", "precision", "s", "convs", "ratio", "GFLOP/s", "GB", "dB")
"""Seconds of a clip and of the convolutions alone; the highest memory; the agreement with fp32."""
PHASE_SECONDS = tuple(f"{phase}_seconds" for phase in PHASES)


def run(config: DictConfig) -> dict[str, float]:
    """Measure what `task.parts` names, print tables, and write metrics.json and benchmark.md to the run directory.

    Raises:
        UserError: an unknown part, or the model is no separator that answers one query at a time.
    """
    device = torch.device("cpu" if config.trainer.accelerator == "cpu" else "cuda")
    parts = {"scenes": _scenes, "separator": _separator, "training": _training}
    tables: list[_Table] = []
    metrics: dict[str, float] = {}
    for part in config.task.parts:
        table, numbers = parts[choice(part, tuple(parts), "task.parts")](config, device)
        tables.append(table)
        metrics |= numbers
        Console().print(_printed(table))
    run_dir = Path(config.paths.run)
    (run_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    (run_dir / "benchmark.md").write_text("\n".join(map(_markdown, tables)))
    log.info("Written to %s: metrics.json, benchmark.md", run_dir)
    return metrics


def _separator(config: DictConfig, device: torch.device) -> tuple[_Table, dict[str, float]]:
    """The configured separator, with and without refinement."""
    node, task = config.model, config.task
    if node.kind != "separator" or node.network.separator.outputs > 1:
        raise UserError(f"task=benchmark measures separators that are asked one event at a time, not {node.name}.")
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
    return _Table(title, COLUMNS, rows), _metrics(costs)


def _scenes(config: DictConfig, device: torch.device) -> tuple[_Table, dict[str, float]]:
    """Rendering scenes of a realistic size, on one core and on the device."""
    task = config.task
    layout, size = _noise(config, task.set)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        worker = measure_worker(layout, size.scene_seconds, task.scenes, config.seed)
        with_device = measure_device(layout, device, size.scene_seconds, task.scenes, seed=config.seed)
    finally:
        torch.set_num_threads(threads)
    responses = f"{size.rooms} rooms of {size.positions} x {size.channels} x {size.taps}"
    columns = ("ms", "draw", "read", "transforms", "adding", "all", "scenes/s", "over transforms")
    alone = [*_ms(worker.draw, worker.read, worker.transforms, worker.adding, worker.total)]
    both = [*_ms(with_device.read), "", *_ms(with_device.mix, with_device.read + with_device.mix)]
    rows = [
        ["one core", *alone, f"{worker.scenes_per_second:.1f}", f"{worker.ratio:.2f}"],
        [f"mixed on {device.type}", "", *both, "", ""],
    ]
    metrics = {
        "scene_ms": worker.total,
        "read_ms": worker.read,
        "transforms_ms": worker.transforms,
        "ratio": worker.ratio,
        "device/read_ms": with_device.read,
        "device/mix_ms": with_device.mix,
    }
    machine = _processor() if device.type == "cpu" else f"{_processor()}, {_machine(device)}"
    title = f"scenes of {size.scene_seconds:g} s, {responses}, {machine}"
    return _Table(title, columns, rows), {f"benchmark/scenes/{key}": value for key, value in metrics.items()}


def _noise(config: DictConfig, sizes: DictConfig) -> tuple[Layout, SetSize]:
    """A data set of noise of these sizes, made once."""
    size = SetSize(**{str(key): value for key, value in sizes.items()})
    name = hashlib.sha256(repr(size).encode()).hexdigest()[:8]
    return write_set(Path(config.paths.cache) / "benchmark" / f"set-{name}", size), size


def _training(config: DictConfig, device: torch.device) -> tuple[_Table, dict[str, float]]:
    """Training steps of the configured model by its recipe, on scenes as workers render them and on one batch held
    ready on the device."""
    set_up(config.seed)
    node, task = config.model, config.task.training
    layout, _ = _noise(config, task.set)
    session = Session(config, Path(config.paths.run), Path(config.paths.cache), layout.labels(), layout)
    labels = {"labels": session.labels} if node.kind == "separator" else {}
    module = make_system(
        session, node, instantiate(OmegaConf.to_container(node.network, resolve=True), _convert_="all"), **labels
    )
    recipe = node.training
    batches = (task.warm_up + task.steps) * config.trainer.accumulate_grad_batches
    data = session.data(DictConfig({**recipe, "epoch_size": batches * recipe.batch_size}))
    ready = module.transfer_batch_to_device(next(iter(data.train_dataloader())), device, 0)
    held = DataLoader([ready] * batches, batch_size=None)  # type: ignore[arg-type,var-annotated]
    rows = []
    metrics: dict[str, float] = {}
    for prefix, name, loader in (("", "rendered", None), ("ready/", "ready", held)):
        cost = _steps(session, module, data, loader, task.warm_up)
        seconds, peak = cost["step_seconds"], cost.get("peak_gb")
        cost["mixtures_per_second"] = config.trainer.accumulate_grad_batches * recipe.batch_size / seconds
        metrics |= {f"benchmark/training/{prefix}{key}": value for key, value in cost.items()}
        times = [f"{cost[key]:.3f}" for key in ("step_seconds", *PHASE_SECONDS)]
        rows.append([name, *times, f"{cost['mixtures_per_second']:.3g}", "" if peak is None else f"{peak:.1f}"])
    title = (
        f"training {node.name}, scale={config.scale.name}, refinement.iters={config.refinement.iters}, "
        f"{recipe.batch_size} x {recipe.duration:g} s a batch, {config.trainer.precision}, "
        f"data.workers={data.workers}, {_machine(device)}"
    )
    return _Table(title, ("scenes", "step, s", *PHASES, "mixtures/s", "GB"), rows), metrics


def _steps(
    session: Session, module: System, data: SceneDataModule, loader: DataLoader[Batch] | None, warm_up: int
) -> dict[str, float]:
    """Train for an epoch; means of the optimiser steps after the first few.

    Args:
        loader: to train from, where it is not the data module's own.

    Raises:
        UserError: there were no more.
    """
    phases = Phases()
    trainer = session.trainer(
        alone=True,
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[instantiate(session.config.callbacks.speed), phases],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=str(session.run_dir),
    )
    data.trainer = trainer  # scenes may be mixed on its device
    peak = peak_gb(partial(trainer.fit, module, loader or data.train_dataloader()), session.device)
    timed = phases.seconds()[warm_up * trainer.accumulate_grad_batches :]
    if not timed:
        raise UserError(
            f"No step was left to time after task.training.warm_up={warm_up}: lower it, or choose a trainer that does "
            "not stop early."
        )
    steps = len(timed) / trainer.accumulate_grad_batches
    parts = {f"{phase}_seconds": sum(batch[phase] for batch in timed) / steps for phase in PHASES}
    return {"step_seconds": sum(parts.values()), **parts, **({} if peak is None else {"peak_gb": peak})}


def _ms(*milliseconds: float) -> list[str]:
    return [f"{value:.1f}" for value in milliseconds]


@dataclass(frozen=True)
class _Table:
    """A title, the names of columns, and rows as long."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


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


def _printed(content: _Table) -> Table:
    table = Table(title=content.title, title_justify="left", box=SIMPLE)
    for column in content.columns:
        table.add_column(column, justify="left" if column in ("precision", "ms") else "right")
    for row in content.rows:
        table.add_row(*row)
    return table


def _markdown(table: _Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return f"{table.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
