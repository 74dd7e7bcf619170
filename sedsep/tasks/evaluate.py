"""task=evaluate: score a trained model, or another system's estimates, on the test scenes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.utils.data import Dataset

from sedsep.checkpoints.finding import find_all
from sedsep.composition import common, parts
from sedsep.composition.conclusion import conclude
from sedsep.errors import UserError
from sedsep.evaluation import ear as ears
from sedsep.evaluation.ensemble import check_classes, combined
from sedsep.evaluation.estimates import Estimates
from sedsep.evaluation.evaluator import FileEvaluator, passes_to_score
from sedsep.evaluation.label_sources import options_among, taggers_among
from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.runs.run import Run
from sedsep.scenes.dataset import GeneratedScenes, IndexedScenes
from sedsep.scenes.layout import Layout
from sedsep.scenes.recorded import RecordedScenes
from sedsep.training.build import TrainedModel, load_model
from sedsep.training.recipe import Recipe
from sedsep.types import Scene

log = logging.getLogger(__name__)

OPTIONS = {
    "refinement.iters": ("refinement.iters", "refinement", "experiment"),
    "time_film": ("conditioning", "conditioning.time_film", "experiment"),
    "injection": ("conditioning", "conditioning.injection", "experiment"),
    "dprnn": ("model", "experiment"),
    "outputs": ("model", "experiment"),
}
"""Parts of a separator's network, and the options that say what they are."""


def run(config: DictConfig, conclude: Callable[..., Any] = conclude) -> Any:
    """Score `config.ckpt`, a model of the kind that `config.model` names or an ensemble of several, or the wav files in
    `config.task.estimates`.

    Args:
        config: of the job.
        conclude: scores what was prepared, and makes something of it.

    Returns:
        What `conclude` does: the metrics.

    Raises:
        UserError: neither is given, or both; a checkpoint that does not fit the data set, or is not what else the
            command asks for; no SED model for a label source; files that are no estimates of the mixtures.
    """
    if bool(config.ckpt) == bool(config.task.estimates):
        raise UserError(
            "task=evaluate scores one thing: give ckpt=PATH of a trained model (a run's directory will do), or "
            "task.estimates=PATH of the wav files of another system."
        )
    recipe = parts.recipe(config)
    parts.check_ledger(config, recipe)
    sources = parts.label_sources(config, recipe)
    files = parts.tagger_files(config, options_among(sources)) if config.ckpt and recipe.kind == "separator" else {}
    task = config.task
    ear = ears.load(task.ear, Path(config.paths.cache), task.ear_labels, task.ear_rate) if task.ear else None
    run = Run.open(config)
    labels, layout = common.class_labels(config), cache(partial(common.data_set, config))
    data = Path(config.audio) if config.audio else layout().root
    if config.task.estimates:
        scenes = _scenes(config, recipe, layout, labels)
        estimates = Estimates(Path(config.task.estimates), scenes.names, labels, config.sample_rate)
        if ear is not None:
            ear.check(labels.names)
        if missing := estimates.without:
            log.warning(
                "%d of %d mixtures have no estimate, %s among them: what sounds there counts as missed",
                len(missing), len(scenes.names), missing[0],
            )  # fmt: skip
        with run.tracker() as tracker:
            of_files = FileEvaluator(labels, config.sample_rate, estimates.of, ear)
            return conclude(run, tracker, data, labels, scenes, of_files)
    scale, rate = config.scale.name, config.sample_rate
    models = [load_model(recipe.name, recipe.kind, file, scale, rate) for file in find_all(config.ckpt, run.cache)]
    check_classes([(model.checkpoint, model.description.labels) for model in models])
    if not config.audio:  # a folder of recordings has no classes of its own
        _check_labels(labels, models[0])
    labels, network = LabelSet(models[0].description.labels), combined([model.network for model in models])
    if ear is not None:
        ear.check(labels.names)
    scenes = _scenes(config, recipe, layout, labels)

    def validation() -> Dataset[Scene]:
        data = parts.scenes(config, layout(), labels, recipe.plan)
        return data.eval_dataset(data.valid_split)

    with run.tracker() as tracker:
        tracker.tags({"sedsep.checkpoint": ", ".join(str(model.checkpoint) for model in models)})
        if recipe.kind == "sed":
            if ear is not None:
                raise UserError("task.ear listens to what was separated: score a separator, or leave task.ear out.")
            taggers = {parts.label_source(config, recipe): models}
            evaluator = parts.evaluator(run, labels, taggers, validation)
            return conclude(run, tracker, data, labels, scenes, evaluator, models)
        for model in models:
            assert isinstance(model.network, GuidedSeparator)
            _check_command(config, model.network, model.checkpoint)
        passes_to_score(config.refinement.eval_iters, network)
        taggers = {
            option: [load_model(config[option].name, config[option].kind, file, scale, rate, labels) for file in those]
            for option, those in files.items()
        }
        naming = {source: taggers[source] for source in taggers_among(sources)}
        self_guided = parts.self_guided(config, labels, taggers, network)
        evaluator = parts.evaluator(run, labels, naming, validation, network, ear, self_guided)
        return conclude(run, tracker, data, labels, scenes, evaluator, models, taggers)


def _scenes(
    config: DictConfig, recipe: Recipe, layout: Callable[[], Layout], labels: LabelSet
) -> IndexedScenes | GeneratedScenes | RecordedScenes:
    """The recordings of the folder that `audio` names, or else the test scenes of the data set."""
    if config.audio:
        return RecordedScenes(Path(config.audio), labels, config.sample_rate, config.microphones)
    data = parts.scenes(config, layout(), labels, recipe.plan)
    scenes = data.eval_dataset(data.test_split)
    if not scenes.names:
        raise UserError(f"The split {data.test_split} has no scenes to score: choose another data.module.test_split.")
    return scenes


def _check_labels(labels: LabelSet, model: TrainedModel) -> None:
    """A data set may have fewer classes than the model, as one of a test split alone may, but no others."""
    if foreign := [label for label in labels if label not in model.description.labels]:
        raise UserError(
            f"{model.checkpoint} was trained on other classes than this data set has (it lacks: {', '.join(foreign)}): "
            "use the data it was trained on, or train anew."
        )


def _check_command(config: DictConfig, separator: GuidedSeparator, checkpoint: Path) -> None:
    """A checkpoint brings its network along: what the command says of it must be true."""

    def word(part: object) -> str:
        return str(part) if isinstance(part, int) else ("none" if part is None else "some")

    overrides = {override.lstrip("+").split("=", 1)[0] for override in HydraConfig.get().overrides.task}
    for part, options in OPTIONS.items():
        name = part.removeprefix("refinement.")
        command, network = word(config.model.network.separator[name]), word(separator.part(name))
        if command != network and not overrides.isdisjoint(options):
            more = " (refinement.eval_iters=[1,2,3] scores other numbers of passes)" if name == "iters" else ""
            raise UserError(
                f"The command asks for {part}={command}, but {checkpoint} has {part}={network}: leave out what "
                f"describes the network, which the checkpoint brings along{more}."
            )
