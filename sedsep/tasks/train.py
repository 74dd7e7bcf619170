"""task=train: train the configured model, with what it leans on first, and score it."""

from __future__ import annotations

import logging
from typing import Any

from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.evaluation.evaluator import Evaluator, passes_to_score
from sedsep.evaluation.label_sources import cached_probabilities, labels_of, taggers_among
from sedsep.labels import LabelRule
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.registry import ORACLE
from sedsep.models.guided import GuidedSeparator
from sedsep.runs.tracking import Tracker
from sedsep.tasks.results import conclude
from sedsep.tasks.session import Session
from sedsep.tasks.stages import build, check_weights, prerequisites, ready, start_stage_two, train
from sedsep.training.checkpointing import LAST

log = logging.getLogger(__name__)


def run(config: DictConfig) -> dict[str, float]:
    """Train `config.model`; returns the test metrics, `<split>/<metric>/<label source>` to number.

    Of several processes, one a device, the first alone returns them.
    """
    if config.ckpt:
        raise UserError("ckpt goes on with one training: to go on with a sweep give sweep.resume=DIRECTORY.")
    taggers_among(config.task.label_sources)
    Bootstrap(config.task.resamples)
    check_weights(config)
    session = Session.open(config)
    session.check_scenes(session.data(config.model.training))
    log.info("Run directory: %s", session.run_dir)
    try:
        with session.tracker() as tracker:
            if config.model.kind == "sed":
                return _train_tagger(session, tracker)
            return _train_separator(session, tracker)
    except BaseException:
        if any(session.run_dir.glob(f"checkpoints/*/{LAST}")):
            log.warning("To go on with this training: python run.py ckpt=%s", session.run_dir)
        raise


def _train_tagger(session: Session, tracker: Tracker) -> dict[str, float]:
    config, node = session.config, session.config.model
    trained = train(session, node, build(session, node), session.run_dir / "checkpoints" / node.name, tracker)
    tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
    source = "baseline" if node.name == config.baseline.name else "tagger"
    evaluator = Evaluator(
        session.labels,
        config.sample_rate,
        {source: trained.network},
        rule=LabelRule(config.task.threshold, at_most=config.slots),
    )
    data = session.data(node.training)
    return conclude(session, tracker, data.eval_dataset(data.test_split), evaluator, [trained])


def _train_separator(session: Session, tracker: Tracker) -> dict[str, float]:
    config, node = session.config, session.config.model
    network = build(session, node)
    assert isinstance(network, GuidedSeparator)
    passes = passes_to_score(config.refinement.eval_iters, network)
    taggers = {option: ready(session, config[option], option, tracker) for option in prerequisites(config)}
    if network.sed is not None:
        start_stage_two(network.sed, config.conditioning.sed, taggers["tagger"])
    data, rule = session.data(node.training), LabelRule(config.task.threshold, at_most=config.slots)
    extra: dict[str, Any] = {"labels": session.labels}
    if "baseline" in taggers:
        probabilities = cached_probabilities(
            taggers["baseline"].network,
            data.val_dataloader(),
            session.device,
            session.cache / "labels" / "baseline",
            f"{data.valid_split}-{data.fingerprint(data.valid_split)}",
        )
        extra["validation_labels"] = labels_of(probabilities, rule)
    trained = train(session, node, network, session.run_dir / "checkpoints" / node.name, tracker, **extra)
    separator = trained.network
    assert isinstance(separator, GuidedSeparator)
    tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
    evaluator = Evaluator(
        session.labels,
        config.sample_rate,
        {source: taggers[source].network for source in taggers_among(config.task.label_sources)},
        separator,
        passes,
        ORACLE in config.task.label_sources,
        rule,
        session.run_dir / "estimates" if config.task.write_estimates else None,
    )
    return conclude(
        session,
        tracker,
        data.eval_dataset(data.test_split),
        evaluator,
        [*taggers.values(), trained],
    )
