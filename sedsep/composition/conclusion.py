"""What concludes a training or an evaluation: scores, the page, and what is kept of the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType

from omegaconf import OmegaConf
from torch.utils.data import Dataset

from sedsep.checkpoints import Checkpoint
from sedsep.checkpoints.finding import one_or_all
from sedsep.composition.common import event_rule, label_rule, plain
from sedsep.composition.parts import recipe
from sedsep.evaluation.accounts import NAMED_BY, dev_results
from sedsep.evaluation.evaluator import AnyEvaluator
from sedsep.evaluation.report import reliability_curves, show_scores, take_apart, training_curves, write_report
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.scored import TaggerFile
from sedsep.evaluation.writing import main_scores, write_scores
from sedsep.files import write_json
from sedsep.labels import LabelSet
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.registry import DEV_RESULTS, ORACLE
from sedsep.models.guided import GuidedSeparator
from sedsep.runs import provenance
from sedsep.runs.directories import is_main_process
from sedsep.runs.run import DESCRIPTION, Run
from sedsep.runs.tracking import Tracker, read_history
from sedsep.training.build import TrainedModel
from sedsep.training.fit import make_trainer
from sedsep.training.scoring import score_scenes
from sedsep.types import Scene


def score(run: Run, labels: LabelSet, scenes: Dataset[Scene], evaluator: AnyEvaluator) -> Evaluation:
    """Score scenes as the run's config says."""
    config = run.config
    trainer = partial(make_trainer, plain(config.trainer), default_root_dir=str(run.directory))
    batch_size = recipe(config).plan.eval_batch_size
    return Evaluation(
        config.data.module.test_split,
        labels.names,
        score_scenes(evaluator, scenes, trainer, batch_size, config.data.workers),
        evaluator.trained_passes,
        label_rule(config, config.task.threshold),
        event_rule(config),
        bootstrap=Bootstrap(config.task.resamples),
        ranking=config.edition.ranking,
        labelling=evaluator.labelling,
    )


def conclude(
    run: Run,
    tracker: Tracker,
    data: Path,
    labels: LabelSet,
    scenes: Dataset[Scene],
    evaluator: AnyEvaluator,
    models: Sequence[TrainedModel] = (),
    taggers: Mapping[str, Sequence[TrainedModel]] = MappingProxyType({}),
) -> dict[str, float]:
    """Score the test scenes; write the scores, the page, and the tracking run's last entries.

    Of several processes all score, and the first alone writes.

    Args:
        run: of the task.
        tracker: its tracking.
        data: folder of the scenes.
        labels: the classes.
        scenes: to score.
        evaluator: scores batches of them.
        models: the network that is scored, or the members of an ensemble; none for files.
        taggers: that it is scored or was trained with, by their options, each alone or as an ensemble.

    Returns:
        The metrics by name; of the other processes none.
    """
    config = run.config
    evaluation = score(run, labels, scenes, evaluator)
    if not is_main_process():
        return {}
    facts, curves, notes = run.facts(data), [], []
    if evaluator.ear is not None:
        facts.append(("Ear", str(evaluator.ear.file)))
    networks = [network for those in (*taggers.values(), models) for network in those]
    files_of: dict[str, list[str]] = {}
    for network in networks:
        files_of.setdefault(network.name, []).append(str(network.checkpoint))
    about = {
        "facts": dict(facts),
        "checkpoints": {name: one_or_all(paths) for name, paths in files_of.items()},
        "labelling": {source: asdict(labelling) for source, labelling in evaluator.labelling.items()},
        "taggers": {
            option: asdict(TaggerFile.of(those[0].checkpoint)) for option, those in taggers.items() if len(those) == 1
        },
    }
    files = write_scores(run.directory, evaluation, about)
    if config.edition.year == 2026 and models and NAMED_BY in taggers and NAMED_BY in evaluation.sources:
        separators, namers = (
            [Checkpoint(one.network, one.description, one.checkpoint) for one in those]
            for those in (models, taggers[NAMED_BY])
        )
        files.append(run.directory / DEV_RESULTS)
        write_json(files[-1], dev_results(evaluation, separators, namers, config.task.precision))
    for network in networks:
        duration = f"{network.seconds:.0f} s" if network.seconds else f"not trained now, read from {network.checkpoint}"
        facts.append((f"Training {network.name}", duration))
        if network.history is not None and network.history.is_file():
            loss = "negative SNR in dB" if isinstance(network.network, GuidedSeparator) else "cross-entropy"
            curves += training_curves(network.name, read_history(network.history), loss)
    if config.scale.name == "mini":
        notes.append(
            "The mini scale shows that the whole system works; its numbers do not compare with published ones."
        )
    if evaluation.main_source != ORACLE:
        notes.append(f"Precision and recall by class are those of the {evaluation.main_source} labels.")
    scored = f"{len(evaluation.mixtures)} mixtures{'' if config.audio else f' of the {evaluation.split} split'}"
    page, *figures = write_report(
        run.directory,
        evaluation,
        title=f"{config.model.name if networks else config.task.estimates} on {run.data_name}",
        subtitle=f"{scored}{run.differences and f', {run.differences}'}, seed {config.seed}, {date.today()}",
        facts=facts,
        notes=notes,
        curves=[*curves, *reliability_curves(evaluation)],
        examples=take_apart(evaluation, scenes, evaluator, config.task.examples, config.sample_rate, run.device),
        config_yaml=OmegaConf.to_yaml(config),
    )
    metrics = {name: score.value for name, score in evaluation.metrics.items()}
    tracker.metrics(metrics)
    tracker.tags({DESCRIPTION: f"{main_scores(evaluation)}\n\n{scored}; {page}\n\n`{provenance.command()}`"})
    for figure in figures:
        tracker.artifact(figure, "figures")
    for file in (*files, run.directory / "config.yaml", page):
        tracker.artifact(file)
    show_scores(evaluation)
    print(f"Report: {page}")
    return metrics
