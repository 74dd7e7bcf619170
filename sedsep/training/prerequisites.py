"""The models that a training or an evaluation leans on: given, left by an earlier run, or trained on the spot."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sedsep.checkpoints.finding import find
from sedsep.errors import PROGRAM, UserError, reason
from sedsep.files import sole_writer
from sedsep.fingerprint import fingerprint
from sedsep.runs.directories import is_main_process
from sedsep.runs.tracking import Tracker
from sedsep.training.build import TrainedModel, build_network, load_model, starting_file
from sedsep.training.fit import Trainings
from sedsep.training.recipe import RECIPE_VERSION, Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prerequisites:
    """Models by the option that configures them.

    Attributes:
        recipes: `baseline`, `tagger`, `unlabelled`, as far as they are needed.
        scale: name of the sizes.
        are_trained: whether one without a checkpoint is trained on the spot, as at small scales.
        cache: folder of what several runs share.
    """

    recipes: Mapping[str, Recipe]
    scale: str
    are_trained: bool
    cache: Path

    def check(self) -> None:
        """Make sure of all of them, before a data set is made.

        Raises:
            UserError: one has no checkpoint and cannot be trained on the spot, or its checkpoint is not there.
        """
        for option in self.recipes:
            self._check_given(option)
        for recipe in self.recipes.values():
            if recipe.ckpt:
                find(recipe.ckpt, self.cache)

    def models(self, trainings: Trainings, sample_rate: int, tracker: Tracker) -> dict[str, TrainedModel]:
        """The trained models: those at `<option>.ckpt`, those an earlier run left in the cache, or trained now.

        Args:
            trainings: of this run.
            sample_rate: Hz, that they must be made for.
            tracker: told of losses.

        Raises:
            UserError: one cannot be had, or does not fit.
        """
        models, trainings = {}, trainings.ordinary()
        for option, recipe in self.recipes.items():
            if recipe.ckpt:
                file = find(recipe.ckpt, self.cache)
                models[option] = load_model(recipe.name, recipe.kind, file, self.scale, sample_rate, trainings.labels)
            else:
                self._check_given(option)
                models[option] = self._cached(option, trainings, tracker)
        return models

    def _cached(self, option: str, trainings: Trainings, tracker: Tracker) -> TrainedModel:
        recipe = self.recipes[option]
        home = _home(recipe, trainings, self.cache)
        home.parent.mkdir(parents=True, exist_ok=True)
        if not is_main_process():  # of several, the first trains, on one device: it may still be at it
            while not home.is_dir():
                time.sleep(1.0)
            return trainings.kept(recipe, home)
        with sole_writer(home):
            if home.is_dir():
                log.info("Using the %s trained earlier: %s", recipe.name, home)
                return trainings.kept(recipe, home)
            log.info("No %s is given (%s.ckpt): training one, kept for later runs", recipe.name, option)
            # In a directory beside its place, where an interrupted one is gone on with; moved there when it is whole.
            partial = home.with_name(f"{home.name}.partial")
            network = build_network(recipe, trainings.seed, self.cache)
            model = trainings.fit(recipe, network, partial, tracker.logger(recipe.name), one_device=True)
            _put_in_place(partial, home)
            return trainings.kept(recipe, home, model.seconds)

    def _check_given(self, option: str) -> None:
        recipe = self.recipes[option]
        if not recipe.ckpt and not self.are_trained:
            raise UserError(
                f"The {recipe.name} has no weights: take the published ones ({option}.ckpt={recipe.published}), or "
                f"train some ({PROGRAM} model={recipe.name} scale={self.scale}) and give {option}.ckpt=PATH."
            )


def keep_for_others(recipe: Recipe, trainings: Trainings, directory: Path, cache: Path) -> None:
    """Keep a SED model where trainings that lean on one like it find it, as a whole or not at all.

    One that started from weights of the command's own, overfits, averages weights, or was trained on several devices,
    is like none.

    Args:
        recipe: it was trained by.
        trainings: that its own was one of.
        directory: of its training.
        cache: folder of what several runs share.
    """
    several = any(str(trainings.trainer.get(name, 1)) != "1" for name in ("devices", "num_nodes"))
    if recipe.ckpt or several or trainings.ordinary() is not trainings:
        return
    home = _home(recipe, trainings, cache)
    copy = home.with_name(f"{home.name}.copy")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(copy):
            shutil.rmtree(copy, ignore_errors=True)  # of a process that was killed
            try:
                shutil.copytree(directory, copy)
                _put_in_place(copy, home)
            finally:
                shutil.rmtree(copy, ignore_errors=True)
    except OSError as error:  # the training itself has lost nothing
        log.warning("%s is not kept for other trainings in %s: %s", recipe.name, home, reason(error))


def _home(recipe: Recipe, trainings: Trainings, cache: Path) -> Path:
    """Where a SED model lies that was trained by a recipe."""
    return cache / "models" / f"{recipe.name}-{recipe_key(recipe, trainings, cache)}"


def _put_in_place(trained: Path, home: Path) -> None:
    """Move a finished training to its place, unless another process was faster."""
    try:
        trained.rename(home)
    except OSError:
        if not home.is_dir():
            raise
        shutil.rmtree(trained)


def check_weights(recipe: Recipe, prerequisites: Prerequisites) -> None:
    """Make sure of the weights that training starts from and leans on, before a data set is made.

    Args:
        recipe: of the model that is trained.
        prerequisites: that it leans on.

    Raises:
        UserError: as `Prerequisites.check`, or starting weights cannot be had.
    """
    prerequisites.check()
    if recipe.ckpt:
        find(recipe.ckpt, prerequisites.cache)
    for each in (recipe, *prerequisites.recipes.values()):  # last: it may download
        starting_file(each, prerequisites.cache)


def needed_options(recipe: Recipe, options: Sequence[str]) -> list[str]:
    """The options of the models that a model leans on: for validation and test labels, and for Stage 2.

    Args:
        recipe: of the model that is trained.
        options: of those that give the labels that test scenes are scored under.
    """
    if recipe.kind == "sed":
        return []
    return [*options, "tagger"] if recipe.is_guided and "tagger" not in options else list(options)


def recipe_key(recipe: Recipe, trainings: Trainings, cache: Path) -> str:
    """12 hexadecimal digits that change with anything that the trained weights depend on."""
    start = starting_file(recipe, cache)
    return fingerprint(
        RECIPE_VERSION,
        trainings.settings(recipe),
        trainings.trainer,
        trainings.callbacks,
        trainings.content(),
        start or "",
    )[:12]
