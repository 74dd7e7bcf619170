"""task=evaluate: score a trained model on the test scenes under every label source."""

from __future__ import annotations

from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.models.separator import GuidedSeparator
from sedsep.tasks.results import conclude
from sedsep.tasks.session import Session
from sedsep.tasks.stages import check_taggers, label_givers, load, ready


def run(config: DictConfig) -> dict[str, float]:
    """Score `config.ckpt`, a model of the kind that `config.model` names.

    Raises:
        UserError: no `ckpt`, one that does not fit the data set, or no SED model for a label source.
    """
    if not config.ckpt:
        raise UserError("task=evaluate needs a trained model: add ckpt=PATH (a run keeps its own under checkpoints/).")
    node = config.model
    if node.kind == "separator":
        check_taggers(config, label_givers(config))
    session = Session.open(config)
    data = session.data(node.training)
    session.check_scenes(data)
    trained = load(session, node, config.ckpt)
    with session.tracker() as tracker:
        tracker.tags({"sedsep.checkpoint": str(trained.checkpoint)})
        if not isinstance(trained.network, GuidedSeparator):
            source = "baseline" if node.name == config.baseline.name else "tagger"
            return conclude(session, tracker, data, None, {source: trained}, [trained])
        taggers = {source: ready(session, config[source], source, tracker) for source in label_givers(config)}
        return conclude(session, tracker, data, trained.network, taggers, [*taggers.values(), trained])
