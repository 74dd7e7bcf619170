"""task=evaluate: score a trained model, or what another system made, on the test scenes."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.evaluation import FileJudge
from sedsep.evaluation.estimates import Estimates
from sedsep.models.separator import GuidedSeparator
from sedsep.tasks.results import conclude
from sedsep.tasks.scoring import make_evaluator, test_scenes, trained_passes
from sedsep.tasks.session import Session
from sedsep.tasks.stages import Trained, check_taggers, label_givers, load, ready

NETWORK = ("model", "conditioning", "refinement.iters", "refinement=", "experiment")
PARTS = ("time_film", "injection", "dprnn")


def run(config: DictConfig) -> dict[str, float]:
    """Score `config.ckpt`, a model of the kind that `config.model` names, or the wav files in `config.task.estimates`.

    Raises:
        UserError: neither is given, or both; a checkpoint that does not fit the data set, or is not what else the
            command asks for; no SED model for a label source; files that are no estimates of the mixtures.
    """
    if bool(config.ckpt) == bool(config.task.estimates):
        raise UserError(
            "task=evaluate scores one thing: give ckpt=PATH of a trained model (a run's directory will do), or "
            "task.estimates=PATH of the wav files of another system."
        )
    if config.task.estimates:
        session = Session.open(config)
        scenes = test_scenes(session)
        made = Estimates(Path(config.task.estimates), scenes.names, session.labels, config.sample_rate)
        with session.tracker() as tracker:
            return conclude(session, tracker, scenes, FileJudge(session.labels, made.of))
    node = config.model
    if node.kind == "separator":
        check_taggers(config, label_givers(config))
    session = Session.open(config)
    scenes = test_scenes(session)
    trained = load(session, node, config.ckpt)
    with session.tracker() as tracker:
        tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
        separator = trained.network
        if not isinstance(separator, GuidedSeparator):
            source = "baseline" if node.name == config.baseline.name else "tagger"
            return conclude(session, tracker, scenes, make_evaluator(session, {source: trained}), [trained])
        _check_asked(trained, separator, config)
        taggers = {source: ready(session, config[source], source, tracker) for source in label_givers(config)}
        judge = make_evaluator(session, taggers, separator)
        return conclude(session, tracker, scenes, judge, [*taggers.values(), trained], trained_passes(separator))


def _check_asked(trained: Trained, separator: GuidedSeparator, config: DictConfig) -> None:
    """A checkpoint brings its network along: what the command says of it must be true.

    Raises:
        UserError: it says something else.
    """
    if not any(one.lstrip("+").startswith(NETWORK) for one in HydraConfig.get().overrides.task):
        return
    asked, has = config.model.network.separator, separator.separator
    said = {"refinement.iters": asked.iters, **{part: asked[part] is not None for part in PARTS}}
    true = {"refinement.iters": has.iters, **{part: getattr(has, part) is not None for part in PARTS}}
    for name, value in said.items():
        if value != true[name]:
            what = f"{name}={value}" if name == "refinement.iters" else f"{'a' if value else 'no'} {name}"
            more = (
                ", or refinement.eval_iters=[1,2,3] for scores after other numbers of passes" if "iters" in name else ""
            )
            raise UserError(
                f"The command asks for {what}, but {trained.checkpoint} was trained with {true[name]}: leave out what "
                f"describes the network, which the checkpoint brings along{more}."
            )
