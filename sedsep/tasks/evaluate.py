"""task=evaluate: score a trained model, or what another system made, on the test scenes."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.evaluation.estimates import Estimates
from sedsep.evaluation.evaluator import FileEvaluator
from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.scenes.dataset import GeneratedScenes, IndexedScenes
from sedsep.scenes.recorded import RecordedScenes
from sedsep.tasks.results import conclude
from sedsep.tasks.scoring import check_scoring, make_evaluator, passes_to_score
from sedsep.tasks.session import Session
from sedsep.tasks.stages import Trained, check_taggers, label_givers, load, ready

log = logging.getLogger(__name__)

TOLD_BY = {
    "refinement.iters": ("refinement.iters", "refinement", "experiment"),
    "time_film": ("conditioning", "conditioning.time_film", "experiment"),
    "injection": ("conditioning", "conditioning.injection", "experiment"),
    "dprnn": ("model", "experiment"),
    "outputs": ("model", "experiment"),
}
"""Parts of a separator's network, and the options that say what they are."""


def run(config: DictConfig) -> dict[str, float]:
    """Score `config.ckpt`, a model of the kind that `config.model` names, or the wav files in `config.task.estimates`.

    Raises:
        UserError: neither is given, or both; a checkpoint that does not fit the data set, or is not what else the
            command asks for; no SED model for a label source; files that are no estimates of the mixtures.
    """
    check_scoring(config)
    if bool(config.ckpt) == bool(config.task.estimates):
        raise UserError(
            "task=evaluate scores one thing: give ckpt=PATH of a trained model (a run's directory will do), or "
            "task.estimates=PATH of the wav files of another system."
        )
    if config.task.estimates:
        session = Session.open(config)
        scenes = _scenes(session)
        made = Estimates(Path(config.task.estimates), scenes.names, session.labels, config.sample_rate)
        if made.without:
            log.warning(
                "%d of %d mixtures have no estimate, %s among them: their events count as missed",
                len(made.without), len(scenes.names), made.without[0],
            )  # fmt: skip
        with session.tracker() as tracker:
            return conclude(session, tracker, scenes, FileEvaluator(session.labels, made.of))
    node = config.model
    if node.kind == "separator":
        check_taggers(config, label_givers(config))
    session = Session.open(config)
    trained = load(session, node, config.ckpt, any_labels=bool(config.audio))
    session.labels = LabelSet(trained.description.labels)  # a folder of recordings has none of its own
    scenes = _scenes(session)
    with session.tracker() as tracker:
        tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
        separator = trained.network
        if not isinstance(separator, GuidedSeparator):
            source = "baseline" if node.name == config.baseline.name else "tagger"
            return conclude(session, tracker, scenes, make_evaluator(session, {source: trained}), [trained])
        _check_asked(trained, separator, config)
        passes_to_score(config, separator)
        taggers = {source: ready(session, config[source], source, tracker) for source in label_givers(config)}
        evaluator = make_evaluator(session, taggers, separator)
        return conclude(session, tracker, scenes, evaluator, [*taggers.values(), trained], separator.trained_passes)


def _scenes(session: Session) -> IndexedScenes | GeneratedScenes | RecordedScenes:
    """The recordings of the folder that `audio` names, or else the test scenes of the data set.

    Raises:
        UserError: there are none.
    """
    config = session.config
    if config.audio:
        return RecordedScenes(Path(config.audio), session.labels, config.sample_rate, config.microphones)
    data = session.data(config.model.training)
    scenes = data.eval_dataset(data.test_split)
    if not scenes.names:
        raise UserError(f"The split {data.test_split} has no scenes to score: choose another data.module.test_split.")
    return scenes


def _check_asked(trained: Trained, separator: GuidedSeparator, config: DictConfig) -> None:
    """A checkpoint brings its network along: what the command says of it must be true.

    Raises:
        UserError: it says something else.
    """
    given = {override.lstrip("+").split("=", 1)[0] for override in HydraConfig.get().overrides.task}
    for part, options in TOLD_BY.items():
        name = part.removeprefix("refinement.")
        asked, has = config.model.network.separator[name], separator.part(name)
        if not given.isdisjoint(options) and _said(asked) != _said(has):
            more = " (refinement.eval_iters=[1,2,3] scores other numbers of passes)" if name == "iters" else ""
            raise UserError(
                f"The command asks for {part}={_said(asked)}, but {trained.checkpoint} has {part}={_said(has)}: leave "
                f"out what describes the network, which the checkpoint brings along{more}."
            )


def _said(part: object) -> str:
    """A number, or whether there is such a part."""
    return str(part) if isinstance(part, int) else ("none" if part is None else "some")
