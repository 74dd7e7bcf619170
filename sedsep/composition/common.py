"""What every task takes from the config: classes, the data set, how labels and events are read.

Apart from the parts of trainings, whose libraries take seconds to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sedsep.errors import UserError
from sedsep.evaluation.scored import Fitted
from sedsep.events import EventRule
from sedsep.files import read_json
from sedsep.labelling import Expected, PerClass, check_classes
from sedsep.labels import LabelRule, LabelSet
from sedsep.scenes.layout import Layout
from sedsep.scenes.local_copy import local_copy
from sedsep.wiring import build


def complete(config: DictConfig) -> None:
    """Fill in the classes that the data set brings, and their number: at the start of a job, before all else.

    Raises:
        UserError: the data set is not there.
    """
    if config.labels.names is None:
        layout = Layout(Path(config.data.root), config.sample_rate, config.microphones)
        config.labels.names = list(layout.labels())
    config.labels.count = len(config.labels.names)


def class_labels(config: DictConfig) -> LabelSet:
    """The classes that are configured."""
    return LabelSet(tuple(config.labels.names))


def data_root(config: DictConfig) -> Path:
    """Where the configured data set lies; one that is made on the spot is made first where it is missing."""
    return Path(build(plain(config.data.prepare)) if config.data.prepare else config.data.root)


def data_set(config: DictConfig) -> Layout:
    """The data set, made or copied first where it has to be.

    Raises:
        UserError: it is not there, or holds sounds that are of no class.
    """
    layout = Layout(data_root(config), config.sample_rate, config.microphones)
    if config.data.local_copy:
        layout = Layout(local_copy(layout.root, config.data.local_copy), config.sample_rate, config.microphones)
    layout.check(class_labels(config))
    return layout


def label_rule(config: DictConfig, threshold: float) -> LabelRule:
    """How taggers' labels are chosen, from a probability on: at least one of them, where every scene holds a target."""
    return LabelRule(threshold, min(1, config.data.sampler.events[0]), config.slots)


def fitted_labelling(config: DictConfig, labels: LabelSet) -> dict[str, PerClass | Expected]:
    """What `labelling.file` says, by label source; nothing where there is no file.

    Raises:
        UserError: it says nothing of `labelling`, or is for other classes.
    """
    if not config.labelling.file:
        return {}
    path, name = Path(config.labelling.file), config.labelling.name
    fitted = read_json(path, Fitted, f"give one that task=evaluate labelling={name} wrote, as labelling.file").labelling
    if not fitted or any(labelling.rule != name for labelling in fitted.values()):
        raise UserError(f"{path} holds no labelling={name}: give evaluation.json of a run that was scored with it.")
    for labelling in fitted.values():
        check_classes(labelling, labels)
    return fitted


def event_rule(config: DictConfig) -> EventRule:
    """How events are read from what SED models say of each frame."""
    return EventRule(**{name: value for name, value in plain(config.task.events).items() if value is not None})


def plain(node: Any) -> Any:
    """A part of the config as plain values."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
