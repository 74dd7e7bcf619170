"""task=train: train the configured model, with what it leans on first, and score it."""

from __future__ import annotations

import logging
from typing import Any

from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.models.guided import GuidedSeparator
from sedsep.runs.tracking import Tracker
from sedsep.tasks.results import conclude
from sedsep.tasks.scoring import check_scoring, make_evaluator, passes_to_score, validation_labels
from sedsep.tasks.session import Session
from sedsep.tasks.stages import build, check_weights, label_givers, prerequisites, ready, start_stage_two, train
from sedsep.training.checkpointing import LAST

log = logging.getLogger(__name__)


def run(config: DictConfig) -> dict[str, float]:
    """Train `config.model`; returns the test metrics, `<split>/<metric>/<label source>` to number.

    Of several processes, one a device, the first alone returns them.
    """
    if config.ckpt:
        raise UserError("ckpt goes on with one training: to go on with a sweep give sweep.resume=DIRECTORY.")
    check_scoring(config)
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
    node = session.config.model
    trained = train(session, node, build(session, node), session.run_dir / "checkpoints" / node.name, tracker)
    tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
    source = "baseline" if node.name == session.config.baseline.name else "tagger"
    evaluator = make_evaluator(session, {source: trained})
    data = session.data(node.training)
    return conclude(session, tracker, data.eval_dataset(data.test_split), evaluator, [trained])


def _train_separator(session: Session, tracker: Tracker) -> dict[str, float]:
    config, node = session.config, session.config.model
    network = build(session, node)
    assert isinstance(network, GuidedSeparator)
    passes_to_score(config, network)
    taggers = {option: ready(session, config[option], option, tracker) for option in prerequisites(config)}
    if network.sed is not None:
        start_stage_two(network.sed, config.conditioning.sed, taggers["tagger"])
    data = session.data(node.training)
    extra: dict[str, Any] = {"labels": session.labels}
    if "baseline" in taggers:
        extra["validation_labels"] = validation_labels(session, data, taggers["baseline"])
    trained = train(session, node, network, session.run_dir / "checkpoints" / node.name, tracker, **extra)
    separator = trained.network
    assert isinstance(separator, GuidedSeparator)
    tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
    evaluator = make_evaluator(session, {source: taggers[source] for source in label_givers(config)}, separator)
    return conclude(
        session,
        tracker,
        data.eval_dataset(data.test_split),
        evaluator,
        [*taggers.values(), trained],
        separator.trained_passes,
    )
