"""task=train: train the configured model, with what it leans on first, and score it."""

from __future__ import annotations

import logging
from functools import partial

from omegaconf import DictConfig

from sedsep.composition import common, parts
from sedsep.composition.conclusion import conclude
from sedsep.errors import PROGRAM, UserError
from sedsep.evaluation.evaluator import passes_to_score
from sedsep.evaluation.label_sources import LabelTable, cached_labels, options_among, taggers_among
from sedsep.metrics.registry import BASELINE, TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.runs.directories import is_main_process
from sedsep.runs.run import Run
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.signals import Stopped
from sedsep.training.build import TrainedModel, build_network, start_stage_two
from sedsep.training.checkpointing import LAST
from sedsep.training.prerequisites import check_weights, keep_for_others, needed_options

log = logging.getLogger(__name__)


def run(config: DictConfig) -> dict[str, float]:
    """Train `config.model`; returns the test metrics, `<split>/<metric>/<label source>` to number.

    Of several processes, one a device, the first alone returns them.

    Raises:
        UserError: something that is needed cannot be had; a training that does not fit; a loss that is not finite.
    """
    if config.ckpt:
        raise UserError("ckpt goes on with one training: to go on with a sweep give sweep.resume=DIRECTORY.")
    recipe = parts.recipe(config)
    parts.check_ledger(config, recipe)
    sources = parts.label_sources(config, recipe)
    prerequisites = parts.prerequisites(config, needed_options(recipe, options_among(sources)))
    check_weights(recipe, prerequisites)
    run = Run.open(config)
    labels, layout = common.class_labels(config), common.data_set(config)
    data = parts.scenes(config, layout, labels, recipe.plan)
    parts.check_scenes(data)
    log.info("Run directory: %s", run.directory)
    try:
        with run.tracker() as tracker:
            named_by: dict[str, list[TrainedModel]] = {}
            network = build_network(recipe, config.seed, run.cache)
            trainings = parts.trainings(config, labels, lambda: layout)
            validation = partial(data.eval_dataset, data.valid_split)
            directory, logger = run.directory / "checkpoints" / recipe.name, tracker.logger(recipe.name)
            if isinstance(network, GuidedSeparator):
                passes_to_score(config.refinement.eval_iters, network)  # what is asked for is refused now, not then
                taggers = prerequisites.models(trainings, config.sample_rate, tracker)
                if network.sed is not None:
                    start_stage_two(network.sed, recipe.network["sed"]["backbone"]["frontend"], taggers[TAGGER])
                table = _validation_labels(run, data, taggers[BASELINE]) if BASELINE in taggers else None
                scored = {"validation_labels": table, "ranking": config.edition.ranking}
                model = trainings.fit(recipe, network, directory, logger, **scored)
                assert isinstance(model.network, GuidedSeparator)
                named_by = {option: [tagger] for option, tagger in taggers.items()}
                naming = {source: named_by[source] for source in taggers_among(sources)}
                self_guided = parts.self_guided(config, labels, named_by, model.network)
                evaluator = parts.evaluator(run, labels, naming, validation, model.network, self_guided=self_guided)
            else:
                model = trainings.fit(recipe, network, directory, logger)
                if is_main_process() and config.scale.trains_prerequisites:
                    keep_for_others(recipe, trainings, directory, run.cache)
                evaluator = parts.evaluator(run, labels, {parts.label_source(config, recipe): [model]}, validation)
            tracker.tags({"sedsep.checkpoint": str(model.checkpoint)})
            test_scenes = data.eval_dataset(data.test_split)
            return conclude(run, tracker, layout.root, labels, test_scenes, evaluator, [model], named_by)
    except BaseException as error:
        if isinstance(error, Stopped) or any(run.directory.glob(f"checkpoints/*/{LAST}")):
            log.warning("To go on with this training: %s ckpt=%s", PROGRAM, run.directory)
        raise


def _validation_labels(run: Run, data: SceneDataModule, tagger: TrainedModel) -> LabelTable:
    """What the baseline tagger names in the validation scenes, computed once for their content and its weights."""
    split = f"{data.valid_split}-{data.fingerprint(data.valid_split)}"
    folder = run.cache / "labels" / BASELINE
    rule = common.label_rule(run.config, run.config.task.threshold)
    return cached_labels(tagger.network, data.val_dataloader(), rule, run.device, folder, split)
