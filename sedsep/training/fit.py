"""Training one model: as a whole, or the rest of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichModelSummary
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from sedsep import checkpoints
from sedsep.checkpoints.own import RECIPE
from sedsep.errors import PROGRAM, UserError
from sedsep.files import flat, read_json, write_json
from sedsep.labels import LabelSet
from sedsep.runs.directories import is_main_process
from sedsep.runs.tracking import HistoryLogger
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.training.build import TrainedModel, build_system
from sedsep.training.checkpointing import LAST, LastCheckpoint, WholeCheckpoints
from sedsep.training.groups import summary
from sedsep.training.progress import Bar, ProgressLog
from sedsep.training.recipe import Plan, Recipe
from sedsep.wiring import build

log = logging.getLogger(__name__)

AVERAGE = "average"
"""The callback that averages weights, where there is one."""

ONE_DEVICE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "sync_batchnorm": False}


@dataclass(frozen=True)
class Trainings:
    """What the trainings of a run have in common.

    Attributes:
        seed: of weights and draws.
        scale: name of the sizes.
        labels: the classes.
        scenes: makes the data module of a plan.
        data: settings of the data that a training cannot change on its way, for its notes.
        content: digests of the training and validation scenes' files; the data set is made where it is missing.
        trainer: what `build` makes the trainer of.
        callbacks: the same for callbacks, by name; `last` is a `LastCheckpoint`.
    """

    seed: int
    scale: str
    labels: LabelSet
    scenes: Callable[[Plan], SceneDataModule]
    data: Mapping[str, Any]
    content: Callable[[], list[str]]
    trainer: Mapping[str, Any]
    callbacks: Mapping[str, Any]

    def ordinary(self) -> Trainings:
        """The same without overfitting and averages, which are for the model that is asked for and not for those it
        leans on."""
        if "overfit_batches" not in self.trainer and AVERAGE not in self.callbacks:
            return self
        overfitting = ("overfit_batches", "max_epochs") if "overfit_batches" in self.trainer else ()
        return replace(
            self,
            trainer={name: value for name, value in self.trainer.items() if name not in overfitting},
            callbacks={name: value for name, value in self.callbacks.items() if name != AVERAGE},
        )

    def fit(
        self,
        recipe: Recipe,
        network: nn.Module,
        directory: Path,
        logger: Logger | None = None,
        one_device: bool = False,
        **parts: Any,
    ) -> TrainedModel:
        """Train a network by its recipe and load the weights that the recipe keeps.

        A training that was begun in `directory` goes on from its last checkpoint there.

        Args:
            recipe: of the model.
            network: to train.
            directory: for checkpoints and history.
            logger: told of losses beside the history; `None` for none.
            one_device: train on one device, whatever is configured.
            parts: what the system takes beside the recipe.

        Raises:
            UserError: a training was begun in `directory` by another recipe, or a loss is not finite.
        """
        system = build_system(recipe, network, self.labels, self.scale, self.seed, **parts)
        checkpoint = self._interrupted(recipe, directory)
        callbacks = {name: build(callback) for name, callback in self.callbacks.items()}
        for callback in callbacks.values():
            if isinstance(callback, ModelCheckpoint):
                callback.dirpath = str(directory)
        on_terminal = sys.stdout.isatty()
        people: list[Callback] = [ProgressLog(recipe.name, within=not on_terminal), RichModelSummary(max_depth=2)]
        trainer = make_trainer(
            self.trainer,
            one_device,
            max_epochs=recipe.plan.epochs,
            check_val_every_n_epoch=recipe.plan.validate_every,
            callbacks=[*callbacks.values(), *people, *([Bar()] if on_terminal else [])],
            enable_progress_bar=on_terminal,
            logger=[HistoryLogger(directory), *([logger] if logger is not None else [])],
            default_root_dir=str(directory),
        )
        log.info("%s: learning rates %s", recipe.name, summary(system.groups()))
        # Whatever was trained, or found in a cache, before: the same draws from here on.
        lightning.seed_everything(self.seed, workers=True, verbose=False)
        trainer.fit(system, self.scenes(recipe.plan), ckpt_path=checkpoint, weights_only=True)
        last = callbacks["last"]
        assert isinstance(last, LastCheckpoint)
        return self.kept(recipe, directory, last.seconds)

    def kept(self, recipe: Recipe, directory: Path, seconds: float = 0.0) -> TrainedModel:
        """The weights in a directory that the recipe keeps; the last ones where there was no validation to judge by.

        Args:
            recipe: of the model.
            directory: of its training.
            seconds: that the training took; 0 where it was not trained now.
        """
        path = directory / f"{recipe.plan.keep}.ckpt"
        model = checkpoints.load(path if path.is_file() else directory / LAST, recipe.kind, self.labels)
        history = directory / HistoryLogger.NAME
        return TrainedModel(recipe.name, model.network, model.path, model.description, history, seconds)

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """What a training cannot change on its way."""
        names = list(self.labels.names)
        average = {AVERAGE: self.callbacks[AVERAGE]} if AVERAGE in self.callbacks else {}
        return {"seed": self.seed, "model": recipe.fixed(), "data": dict(self.data), "labels": names, **average}

    def _interrupted(self, recipe: Recipe, directory: Path) -> Path | None:
        """The checkpoint of a training begun in `directory`, and a note there of how it was begun."""
        settings, note, last = flat(self.settings(recipe)), directory / RECIPE, directory / LAST
        if not last.is_file():
            if is_main_process():
                (directory / HistoryLogger.NAME).unlink(missing_ok=True)  # of an attempt that came to no checkpoint
                write_json(note, settings)
            return None
        if not note.is_file():
            raise UserError(
                f"{last} says nothing of the settings that it was trained with ({note.name} is missing): choose "
                f"another directory, and start from its weights with model.ckpt={last} if you like."
            )
        begun = read_json(note, dict[str, object], f"start from the weights beside it with model.ckpt={last}")
        for name in dict.fromkeys([*settings, *begun]):
            if begun.get(name) != settings.get(name):
                raise UserError(
                    f"The training in {directory} was begun with {name}={begun.get(name)}, not {settings.get(name)}: "
                    f"go on with the settings it was begun with ({PROGRAM} ckpt=DIRECTORY knows them), or choose "
                    "another directory."
                )
        log.info("Going on with %s", last)
        return last


def make_trainer(
    config: Mapping[str, Any], one_device: bool = False, callbacks: Sequence[Callback] = (), **settings: Any
) -> lightning.Trainer:
    """A Lightning trainer as configured; what is configured wins over other settings.

    Args:
        config: what `build` makes a partial `lightning.Trainer` of; null leaves an argument to the settings.
        one_device: whatever is configured.
        callbacks: of the trainer.
        settings: of `lightning.Trainer`.

    Raises:
        UserError: Lightning refuses the settings.
    """
    options = {key: value for key, value in settings.items() if config.get(key) is None}
    plugins: list[Any] = [WholeCheckpoints()]
    if one_device:
        options |= ONE_DEVICE
        plugins.append(LightningEnvironment())  # whatever a scheduler's variables say
    elif SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # submitit sees to it
    if config["accelerator"] == "cpu":  # where torch has no synchronised BatchNorm
        options["sync_batchnorm"] = False
    try:
        trainer = build(config)(**options, callbacks=list(callbacks), plugins=plugins)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(f"The trainer cannot be set up: {' '.join(str(error).split())}") from error
    # Signals are ours (`sedsep.signals`): Lightning's way ends with exit code 0, and of several ranks one hangs.
    trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer
