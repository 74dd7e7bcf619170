"""What every task starts from: data, classes, directories, a seed."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

import sedsep
from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.runs.directories import is_main_process
from sedsep.runs.snapshots import commit
from sedsep.runs.sweeps import Manifest, differing, sweep_dir
from sedsep.runs.tracking import Logging, NoTracking, Tracker, provenance
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.scenes.local_copy import local_copy
from sedsep.training.checkpointing import WholeCheckpoints

ADVICE = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*logging interval.*",
    ".*LeafSpec.*",
    ".*Checkpoint directory.*exists.*",
    ".*overridden `transfer_batch_to_device`.*",
    ".*your dataloader is not resumable.*",  # ours goes on after the scenes that an epoch has had
    ".*`srun`.*",
    ".*sync_dist=True.*",  # it is done, with the weight of each process
    ".*Grad strides do not match.*",
    ".*have no `val_dataloader`.*",
)

PROJECT = Path(sedsep.__file__).parents[1]
ENVIRONMENT = "environment.txt"
ON_ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "sync_batchnorm": False}


@dataclass
class Session:
    """A task's surroundings.

    Attributes:
        config: resolved. run_dir: this job's directory. cache: what jobs share. labels: the classes.
        made: the data set, in place of the configured one.
    """

    config: DictConfig
    run_dir: Path
    cache: Path
    labels: LabelSet
    made: Layout | None = None

    @classmethod
    def open(cls, config: DictConfig) -> Session:
        """Seed, and write the resolved config to the run directory.

        Raises:
            UserError: the data set has no place.
        """
        if OmegaConf.is_missing(config.data, "root"):  # the labels come from there
            raise UserError(f"data={config.data.name} needs a folder: add data.root=PATH.")
        set_up(config.seed)
        run_dir = Path(config.paths.run)
        if is_main_process():
            run_dir.mkdir(parents=True, exist_ok=True)
            for stale in (
                "metrics.json",
                "evaluation.json",
                "mixtures.csv",
                "sources.csv",
                "report.html",
            ):  # of an earlier job in this directory
                (run_dir / stale).unlink(missing_ok=True)
            (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(config))
        return cls(config, run_dir, Path(config.paths.cache), LabelSet(tuple(config.labels.names)))

    @cached_property
    def layout(self) -> Layout:
        """The data set, made or copied first where it has to be.

        Raises:
            UserError: it is not there, or holds sounds that are of no class.
        """
        config = self.config
        if self.made is not None:
            return self.made
        layout = Layout(data_root(config), config.sample_rate, config.microphones)
        if config.data.local_copy:
            root = local_copy(layout.root, config.data.local_copy)
            layout = Layout(root, config.sample_rate, config.microphones)
        layout.check(self.labels)
        return layout

    def check_scenes(self, data: SceneDataModule) -> None:
        """Check every header and scene description that the job needs, before minutes of training.

        Raises:
            UserError: a split, a label's sounds or a file that a scene names is missing.
        """
        sounds = self.layout.split(data.train_split).events
        if missing := [label for label in self.labels if label not in sounds]:
            raise UserError(
                f"{self.layout.root / 'sound_event' / data.train_split} has no sounds of {', '.join(missing)}: add a "
                "folder for each or take the names out of labels.json."
            )
        for split in (data.valid_split, data.test_split):
            data.eval_dataset(split)

    def data(self, training: DictConfig) -> SceneDataModule:
        """The scenes, in the batches and lengths that a model's recipe asks for."""
        make = instantiate(self.config.data.module, sampler=instantiate(self.config.data.sampler))
        return make(
            layout=self.layout,
            labels=self.labels,
            **{key: training[key] for key in ("epoch_size", "batch_size", "eval_batch_size", "duration")},
        )

    def trainer(self, alone: bool = False, **settings: Any) -> lightning.Trainer:
        """A Lightning trainer as configured; what the trainer group sets wins over a recipe's epochs.

        Args:
            alone: on one device, whatever is configured. settings: of `lightning.Trainer`.
        """
        given: dict[str, Any] = {key: value for key, value in settings.items() if key not in self.config.trainer}
        given["plugins"] = [WholeCheckpoints()]
        if alone:
            given |= ON_ONE_DEVICE
            given["plugins"].append(LightningEnvironment())  # whatever a scheduler's variables say
        elif SLURMEnvironment.detect():
            given["plugins"].append(SLURMEnvironment(auto_requeue=False))  # submitit sees to it
        try:
            return instantiate(self.config.trainer)(**given)
        except (TypeError, ValueError, MisconfigurationException) as error:
            raise UserError(f"The trainer cannot be set up: {' '.join(str(error).split())}") from error

    @property
    def device(self) -> torch.device:
        """Where networks are evaluated."""
        on_cpu = self.config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
        return torch.device("cpu") if on_cpu else torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def tracker(self) -> Tracker:
        """The job's tracking run, with the resolved config as parameters; of several processes, the first's alone."""
        logging_: Logging = instantiate(self.config.logger) if is_main_process() else NoTracking()
        tags = {
            "sedsep.run_dir": str(self.run_dir),
            **provenance.facts(commit(PROJECT), HydraConfig.get().overrides.task),
        }
        params = flat(OmegaConf.to_container(self.config))
        tracker = logging_.job(
            run_dir=self.run_dir, sweep_dir=sweep_dir(), run_name=self._name(), params=params, tags=tags
        )
        if is_main_process():
            (self.run_dir / ENVIRONMENT).write_text(provenance.environment())
            tracker.artifact(self.run_dir / ENVIRONMENT)
        return tracker

    def _name(self) -> str:
        """What is run; within a sweep, what sets the job apart there."""
        if root := sweep_dir():
            manifest = Manifest.read(root)
            told = differing(manifest.jobs)
            for job in manifest.jobs:
                if manifest.run_dir(job) == self.run_dir:
                    return ", ".join(override.removeprefix("experiment=") for override in told[job.number])
        choices = HydraConfig.get().runtime.choices
        guided = self.config.model.kind == "separator" and self.config.model.network.sed is not None
        return "-".join(str(choices[group]) for group in ("model", *(["conditioning"] if guided else []), "data"))

    def facts(self) -> list[tuple[str, str]]:
        """What a reader of the report wants to know of its making."""
        threads = torch.get_num_threads()
        machine = (
            torch.cuda.get_device_name() if self.device.type == "cuda" else f"{platform.machine()}, {threads} threads"
        )
        return [
            ("Command", provenance.command()),
            ("Data", str(self.config.audio or f"{self.config.data.name}: {self.layout.root}")),
            ("Scale", self.config.scale.name),
            ("Seed", str(self.config.seed)),
            ("Machine", f"{platform.node()} ({machine})"),
            ("Software", f"sedsep {sedsep.__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
            ("Commit", commit(PROJECT) or "not in a git repository"),
        ]


def data_root(config: DictConfig) -> Path:
    """Where the configured data set lies; one that is made on the spot is made first where it is missing."""
    return Path(instantiate(config.data.prepare) if config.data.prepare else config.data.root)


def flat(node: Any, prefix: str = "") -> Mapping[str, Any]:
    """Nested config to `a.b.c` names."""
    if not isinstance(node, dict):
        return {prefix: node}
    out: dict[str, Any] = {}
    for key, value in node.items():
        out.update(flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return cast(Mapping[str, Any], out)


def set_up(seed: int) -> None:
    """Seed everything, compute alike in every run, and keep libraries from advising on each: a newcomer takes it for
    something that went wrong."""
    for name in logging.root.manager.loggerDict:
        if name.startswith("lightning"):
            logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in ADVICE:
        warnings.filterwarnings("ignore", message=pattern)
    lightning.seed_everything(seed, workers=True, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic mode fills every new tensor, to show who reads what nobody wrote: up to a tenth of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
