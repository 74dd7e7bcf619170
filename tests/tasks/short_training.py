"""A short training at the mini scale that can be killed: run by tests in processes of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from tiny import write_tiny_set
from torch import Tensor

from sedsep.composition import common, parts
from sedsep.runs.run import Run
from sedsep.training.build import build_network

CONF = Path(__file__).parents[2] / "conf"
SHORT = (
    "data=folder",
    "data.workers=0",
    "trainer.log_every_n_steps=1",
    "sample_rate=16000",
    "duration=1.0",
    "scale.sed.unit_frames=51",
    "scale.sed.f_max=8000",
    "scale.sed.width=16",
    "scale.sed.depth=1",
    "scale.separator.widths=[4,8]",
    "scale.separator.condition_width=8",
    "scale.separator.dprnn_hidden=4",
    "scale.separator.warmup_steps=3",
    "callbacks.last.minutes=0",  # a checkpoint after every step: the kill may meet one being written
    *(
        f"scale.{part}.training.{name}={value}"
        for part in ("tagger", "separator")
        for name, value in (("duration", 0.6), ("epochs", 3), ("batch_size", 4), ("epoch_size", 20), ("keep", "best"))
    ),
    *(f"scale.{part}.training.validate_every=2" for part in ("tagger", "separator")),
)


def write_set(root: Path, valid_scenes: int = 2) -> Path:
    return write_tiny_set(root, seconds=1.0, scenes_per_split={"valid": valid_scenes, "test": 1})


def open_run(root: Path, where: Path, *overrides: str) -> Run:
    paths = [f"paths.work={where}", f"paths.run={where}", f"paths.cache={where.parent / 'cache'}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[*paths, f"data.root={root}", *SHORT, *overrides])
        common.complete(config)
        return Run.open(config)


def train(root: Path, where: Path, *overrides: str) -> None:
    """Train the configured model in `where`, or go on with it there."""
    torch.set_num_threads(1)
    config = open_run(root, where, *overrides).config
    recipe, layout = parts.recipe(config), common.data_set(config)
    trainings = parts.trainings(config, common.class_labels(config), lambda: layout)
    trainings.fit(recipe, build_network(recipe, config.seed, Path(config.paths.cache)), where)


def weights(where: Path, name: str = "last.ckpt") -> dict[str, Tensor]:
    return torch.load(where / name, weights_only=True)["state_dict"]
