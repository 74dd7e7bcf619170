"""task=benchmark: what the configured separator costs on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from omegaconf import DictConfig, OmegaConf

from sedsep.benchmarks.costs import CostTable
from sedsep.benchmarks.export import export_costs
from sedsep.benchmarks.scenes import NoiseSet, scene_costs
from sedsep.benchmarks.separator import separator_costs
from sedsep.benchmarks.training import training_costs
from sedsep.checkpoints import Checkpoint, Description
from sedsep.composition import common, parts
from sedsep.console import print_table
from sedsep.devices import evaluation_device
from sedsep.errors import UserError
from sedsep.files import write_json, write_whole
from sedsep.fingerprint import fingerprint
from sedsep.models.guided import GuidedSeparator
from sedsep.runs.run import set_up
from sedsep.scenes.layout import Layout
from sedsep.training.build import build_system
from sedsep.training.fit import make_trainer
from sedsep.wiring import build

log = logging.getLogger(__name__)


def run(config: DictConfig) -> dict[str, float]:
    """Measure what `task.parts` names, print tables, and write metrics.json and benchmark.md to the run directory.

    Raises:
        UserError: the model is no separator that answers one query at a time.
    """
    device = evaluation_device(config.trainer.accelerator)
    benchmarks = {"scenes": _scenes, "separator": _separator, "training": _training, "export": _export}
    tables: list[CostTable] = []
    metrics: dict[str, float] = {}
    for part in config.task.parts:
        table = benchmarks[part](config, device)
        tables.append(table)
        metrics |= table.metrics
        print_table(table.printed())
    run_dir = Path(config.paths.run)
    write_json(run_dir / "metrics.json", metrics)
    write_whole(run_dir / "benchmark.md", "\n".join(table.markdown() for table in tables))
    log.info("Written to %s: metrics.json, benchmark.md", run_dir)
    return metrics


def _scenes(config: DictConfig, device: torch.device) -> CostTable:
    noise, layout = _noise(config, config.task.set)
    return scene_costs(noise, layout, device, config.task.scenes, config.seed)


def _noise(config: DictConfig, sizes: DictConfig) -> tuple[NoiseSet, Layout]:
    """A data set of noise of these sizes, made once."""
    values: Any = OmegaConf.to_container(sizes, resolve=True)
    noise = NoiseSet(**values)
    return noise, noise.write(Path(config.paths.cache) / "benchmark" / f"set-{fingerprint(asdict(noise))[:8]}")


def _separator(config: DictConfig, device: torch.device) -> CostTable:
    node, task = config.model, config.task
    if node.kind != "separator" or node.network.separator.outputs > 1:
        raise UserError(f"task=benchmark measures separators that are asked one event at a time, not {node.name}.")
    torch.manual_seed(config.seed)
    mixture = 0.1 * torch.randn(1, config.microphones, round(config.duration * config.sample_rate)).to(device)
    network = common.plain(node.network)

    def make(iters: int, **changes: Any) -> GuidedSeparator:
        return build({**network, "separator": {**network["separator"], "iters": iters, **changes}})

    networks: dict[str, Callable[[int], GuidedSeparator]] = {node.name: make}
    if network["separator"]["body"] is not None:
        networks["U-Net"] = partial(make, body=None, widths=list(config.scale.separator.widths))
    title = f"{node.name}, scale={config.scale.name}, {config.duration:g} s clips"
    ways = task.iters, task.queries, task.precisions, task.compile, task.repeats
    return separator_costs(title, networks, mixture, *ways)


def _export(config: DictConfig, device: torch.device) -> CostTable:
    """The configured separator, with its passes, as `task=export` writes it; on the CPU, where such files are run."""
    node, task = config.model, config.task
    if node.kind != "separator":
        raise UserError(f"task.parts=[export] measures separators, not {node.name}.")
    torch.manual_seed(config.seed)
    network = common.plain(node.network)
    description = Description(node.kind, config.scale.name, network, tuple(config.labels.names))
    checkpoint = Checkpoint(build(network), description, Path(config.paths.run))
    title = f"{node.name}, scale={config.scale.name}, {config.duration:g} s clips"
    return export_costs(title, checkpoint, config.duration, task.threads, task.repeats)


def _training(config: DictConfig, device: torch.device) -> CostTable:
    """Training steps of the configured model by its recipe."""
    set_up(config.seed)
    recipe, task = parts.recipe(config), config.task.training
    _, layout = _noise(config, task.set or config.task.sets.get(config.scale.name) or config.task.set)
    labels = layout.labels()
    network = build(recipe.network)
    batches = (task.warm_up + task.steps) * config.trainer.accumulate_grad_batches
    plan = replace(recipe.plan, epoch_size=batches * recipe.plan.batch_size)
    data = parts.scenes(config, layout, labels, plan)

    def trainer(meters: list[Callback]) -> Trainer:
        return make_trainer(
            common.plain(config.trainer),
            one_device=True,
            max_epochs=1,
            limit_val_batches=0,
            callbacks=[build(common.plain(config.callbacks.speed)), *meters],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            default_root_dir=str(config.paths.run),
        )

    title = (
        f"training {recipe.name}, scale={config.scale.name}, refinement.iters={config.refinement.iters}, "
        f"{plan.batch_size} x {plan.duration:g} s a batch, {config.trainer.precision}, data.workers={data.workers}"
    )
    system = build_system(recipe, network, labels, config.scale.name, config.seed)
    return training_costs(title, system, data, trainer, device, task.warm_up)
