"""A run: its config, its directory, its device."""

from __future__ import annotations

import logging
import platform
import re
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import sedsep
from sedsep.devices import evaluation_device
from sedsep.errors import printable
from sedsep.files import flat, write_whole
from sedsep.metrics.registry import DEV_RESULTS, REPORT, SCORE_FILES
from sedsep.runs import provenance
from sedsep.runs.directories import is_main_process
from sedsep.runs.provenance import PROJECT, commit
from sedsep.runs.sweeps import Manifest, differing, sweep_dir
from sedsep.runs.tracking import Logging, Tracker
from sedsep.wiring import build

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
    ".*``compute`` method of metric MeanMetric was called before.*",  # a rank without validation scenes has none to add
)

ENVIRONMENT = "environment.txt"

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow shows as text, above all numbers of a run."""


@dataclass(frozen=True)
class Run:
    """A task's run.

    Attributes:
        config: resolved.
        directory: of this run.
        cache: what runs share.
        device: where networks are evaluated.
    """

    config: DictConfig
    directory: Path
    cache: Path
    device: torch.device

    @classmethod
    def open(cls, config: DictConfig) -> Run:
        """Seed, remove an earlier job's scores from the directory, and write the resolved config there."""
        set_up(config.seed)
        directory = Path(config.paths.run)
        if is_main_process():
            directory.mkdir(parents=True, exist_ok=True)
            for name in (*SCORE_FILES, DEV_RESULTS, REPORT):
                (directory / name).unlink(missing_ok=True)
            write_whole(directory / "config.yaml", OmegaConf.to_yaml(config))
        return cls(config, directory, Path(config.paths.cache), evaluation_device(config.trainer.accelerator))

    def tracker(self) -> Tracker:
        """The run's tracking, with the resolved config as parameters; of several processes, the first's alone."""
        logging_: Logging = build(OmegaConf.to_container(self.config.logger)) if is_main_process() else Logging()
        tags = {
            DESCRIPTION: f"`{provenance.command()}`",
            "sedsep.run_dir": str(self.directory),
            **provenance.facts(commit(PROJECT), HydraConfig.get().overrides.task),
        }
        parameters = flat(OmegaConf.to_container(self.config))
        tracker = logging_.job(self.directory, self._name(), parameters, tags, sweep_dir())
        if is_main_process():
            write_whole(self.directory / ENVIRONMENT, provenance.environment())
            tracker.artifact(self.directory / ENVIRONMENT)
        return tracker

    def _name(self) -> str:
        """What is run; within a sweep, what sets the job apart there."""
        if root := sweep_dir():
            manifest = Manifest.read(root)
            differences = differing(manifest.jobs)
            for job in manifest.jobs:
                if manifest.run_dir(job) == self.directory:
                    return ", ".join(override.removeprefix("experiment=") for override in differences[job.number])
        choices = HydraConfig.get().runtime.choices
        guided = self.config.model.kind == "separator" and self.config.model.network.sed is not None
        what = "-".join(str(choices[group]) for group in ("model", *(["conditioning"] if guided else [])))
        task = "" if choices["task"] == "train" else f"{choices['task']} "
        parts = (what, self.data_name, self.differences, f"seed {self.config.seed}", f"{datetime.now():%Y-%m-%d %H:%M}")
        return task + ", ".join(part for part in parts if part)

    @property
    def data_name(self) -> str:
        """What the data set, or the folder of recordings, is called."""
        config = self.config
        folder = config.audio or (config.data.root if config.data.name == "folder" else None)
        return Path(folder).name if folder else str(config.data.name)

    @property
    def differences(self) -> str:
        """The options that were chosen and that neither the name of the model nor of the data says."""
        keys = r"task|model|conditioning|data|data\.root|seed|(\w+\.)?ckpt|audio|sweep\.resume|(logger|paths)\b.*"
        chosen = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
        others = [text for text in chosen if not re.fullmatch(keys, text.partition("=")[0])]
        return printable(" ".join(text.removeprefix("experiment=") for text in others))

    def facts(self, data: Path) -> list[tuple[str, str]]:
        """What a reader of the report wants to know of its making.

        Args:
            data: folder of the scenes.
        """
        threads = f"{platform.machine()}, {torch.get_num_threads()} threads"
        machine = torch.cuda.get_device_name() if self.device.type == "cuda" else threads
        return [
            ("Command", provenance.command()),
            ("Data", str(data) if self.config.audio else f"{self.config.data.name}: {data}"),
            ("Scale", self.config.scale.name),
            ("Seed", str(self.config.seed)),
            ("Machine", f"{platform.node()} ({machine})"),
            ("Software", f"sedsep {sedsep.__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
            ("Commit", commit(PROJECT) or "not in a git repository"),
        ]


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
