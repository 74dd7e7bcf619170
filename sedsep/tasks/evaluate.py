"""task=evaluate: score a trained model, or another system's estimates, on the test scenes."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.evaluation.estimates import Estimates
from sedsep.evaluation.evaluator import Evaluator, FileEvaluator, passes_to_score
from sedsep.evaluation.label_sources import taggers_among
from sedsep.labels import LabelRule, LabelSet
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.registry import BASELINE, ORACLE, TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.scenes.dataset import GeneratedScenes, IndexedScenes
from sedsep.scenes.recorded import RecordedScenes
from sedsep.tasks.results import conclude
from sedsep.tasks.session import Session
from sedsep.tasks.stages import check_taggers, load, ready

log = logging.getLogger(__name__)

OPTIONS = {
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
    options = taggers_among(config.task.label_sources)
    Bootstrap(config.task.resamples)
    if bool(config.ckpt) == bool(config.task.estimates):
        raise UserError(
            "task=evaluate scores one thing: give ckpt=PATH of a trained model (a run's directory will do), or "
            "task.estimates=PATH of the wav files of another system."
        )
    node = config.model
    if config.ckpt and node.kind == "separator":
        check_taggers(config, options)
    session = Session.open(config)
    if config.task.estimates:
        scenes = _scenes(session)
        estimates = Estimates(Path(config.task.estimates), scenes.names, session.labels, config.sample_rate)
        if missing := estimates.without:
            log.warning(
                "%d of %d mixtures have no estimate, %s among them: their events count as missed",
                len(missing), len(scenes.names), missing[0],
            )  # fmt: skip
        with session.tracker() as tracker:
            return conclude(session, tracker, scenes, FileEvaluator(session.labels, estimates.of))
    trained = load(session, node, config.ckpt, any_labels=bool(config.audio))
    session.labels = LabelSet(trained.description.labels)  # a folder of recordings has none of its own
    scenes = _scenes(session)
    with session.tracker() as tracker:
        tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
        separator = trained.network if isinstance(trained.network, GuidedSeparator) else None
        passes: tuple[int, ...] = ()
        if separator is not None:
            _check_command(config, separator, trained.checkpoint)
            passes = passes_to_score(config.refinement.eval_iters, separator)
            taggers = {option: ready(session, config[option], option, tracker) for option in options}
        else:
            taggers = {BASELINE if node.name == config.baseline.name else TAGGER: trained}
        evaluator = Evaluator(
            session.labels,
            config.sample_rate,
            {source: tagger.network for source, tagger in taggers.items()},
            separator,
            passes,
            ORACLE in config.task.label_sources,
            LabelRule(config.task.threshold, at_most=config.slots),
            session.run_dir / "estimates" if config.task.write_estimates else None,
        )
        return conclude(session, tracker, scenes, evaluator, [*taggers.values(), *([trained] if separator else [])])


def _scenes(session: Session) -> IndexedScenes | GeneratedScenes | RecordedScenes:
    """The recordings of the folder that `audio` names, or else the test scenes of the data set."""
    config = session.config
    if config.audio:
        return RecordedScenes(Path(config.audio), session.labels, config.sample_rate, config.microphones)
    data = session.data(config.model.training)
    scenes = data.eval_dataset(data.test_split)
    if not scenes.names:
        raise UserError(f"The split {data.test_split} has no scenes to score: choose another data.module.test_split.")
    return scenes


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
