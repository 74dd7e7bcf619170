"""The whole config of a job, checked: the one place that decides what may be overridden by what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from sedsep.errors import UserError
from sedsep.runs.command_line.arguments import unknown
from sedsep.runs.command_line.settings.data import Data, EditionOptions
from sedsep.runs.command_line.settings.fields import (
    TARGET,
    Checkpoints,
    Foreign,
    Hertz,
    Name,
    Options,
    Place,
    Seconds,
    Seed,
    expected,
    text,
    whole,
)
from sedsep.runs.command_line.settings.networks import Conditioning, Microphones, Slots
from sedsep.runs.command_line.settings.recipes import Augment, Refinement, SedModel, Separator
from sedsep.runs.command_line.settings.runs import Launcher, Logger, Sweeper
from sedsep.runs.command_line.settings.scale import Scale
from sedsep.runs.command_line.settings.tasks import TASKS
from sedsep.runs.command_line.settings.trainer import Callbacks, Speed, Trainer

MODELS = ("model", "tagger", "baseline", "unlabelled")
ENSEMBLES = ("evaluate", "separate", "submission")
"""Tasks that take several checkpoints for one, as `ckpt` and for taggers."""


class Labels(Options):
    """The classes."""

    names: Annotated[list[Name], Field(min_length=1, description="a list of class names, as [Bell,Dog]")] | None
    count: Annotated[None, Field(description="null (they are counted when a job starts: labels.names=[...])")]


class Fit(Foreign):
    """What fits labelling."""

    rounds: Annotated[int, whole(0, 1000)] = 0


class Labelling(Options):
    """How labels are chosen."""

    name: Literal["threshold", "per_class", "expected"]
    fit: Fit | None
    file: Place | None


class Paths(Options):
    """Where things go."""

    work: Place
    run: Place
    cache: Place


class Sweep(Options):
    """Of a sweep."""

    resume: Place | None


class Hydra(BaseModel):
    """What of Hydra's own options it does not check itself."""

    model_config = ConfigDict(extra="ignore", strict=True)

    launcher: Launcher
    sweeper: Sweeper


class Job(Options):
    """A config; what others are interpolated from comes first, to be the one that is named."""

    seed: Seed
    sample_rate: Hertz
    duration: Seconds
    microphones: Microphones
    slots: Slots
    ckpt: Checkpoints | None
    audio: Place | None
    a: Place | None
    b: Annotated[Place | list[Place] | None, Field(description="a system, or a list of them, as [PATH,PATH]")]
    sweep: Sweep
    paths: Paths
    speed: Speed
    labels: Labels
    edition: EditionOptions
    labelling: Labelling
    refinement: Refinement
    scale: Scale
    conditioning: Conditioning
    data: Data
    augment: Augment
    model: Annotated[SedModel | Separator, Field(discriminator="kind")]
    tagger: SedModel
    baseline: SedModel
    unlabelled: Separator
    trainer: Trainer
    callbacks: Callbacks
    logger: Logger
    hydra: Hydra


@cache
def job_of(task: str) -> type[Job]:
    """The config of a task; that of one which is not known has any options."""
    options: Any = TASKS.get(task, dict[str, Any])
    return create_model(f"Job_{task}", __base__=Job, task=(options, ...))


def check_settings(config: DictConfig, default: DictConfig | None = None) -> None:
    """Refuse a config in which an option has a value that it does not take, or which has an option that there is not.

    Args:
        config: composed for a job, with Hydra's part.
        default: composed of the same choices, without the values that were given.

    Raises:
        UserError: naming the first such option, its value, and what is expected.
    """
    check_values(plain(config), str(config.hydra.runtime.choices.get("task")), default)


def check_values(values: Mapping[str, Any], task: str, default: DictConfig | None = None) -> None:
    """The same for a config as plain values.

    Args:
        values: of the job, and of launcher and sweeper as Hydra's part.
        task: its name.
        default: as `check_settings` takes it.

    Raises:
        UserError: as `check_settings`.
    """
    job = job_of(task)
    # What a cluster's nodes can bear is not known here.
    cores = None if values["hydra"]["launcher"]["_target_"].endswith(".Slurm") else os.cpu_count()
    try:
        job.model_validate(values, context={"cores": cores})
    except ValidationError as error:
        raise UserError(_sentence(error.errors(include_url=False), job, values, default)) from None
    _check_ensembles(values, task)
    _check_together(values, default)


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as plain values, with all references followed.

    Raises:
        UserError: something has no value.
    """
    config = config.copy()
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.runtime.output_dir = "outputs"  # known when the job has begun
    HydraConfig.instance().set_config(config)
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for key in sorted(OmegaConf.missing_keys(own)):
        raise UserError(f"{key} is needed and not given: add {key}=VALUE to the command.")
    count, names = own.labels.count, own.labels.names
    own.labels.count = count or (len(names) if OmegaConf.is_list(names) else 0) or 1
    values: Any = OmegaConf.to_container(own, resolve=True)
    values["labels"]["count"] = count
    values["hydra"] = {
        name: OmegaConf.to_container(config.hydra[name], resolve=True) for name in ("launcher", "sweeper")
    }
    return values


def _check_ensembles(values: Mapping[str, Any], task: str) -> None:
    """Refuse several checkpoints where one is meant.

    Raises:
        UserError: naming the option.
    """
    for key, ckpt in {"ckpt": values["ckpt"], **{f"{name}.ckpt": values[name]["ckpt"] for name in MODELS}}.items():
        if isinstance(ckpt, list) and (key in ("model.ckpt", "unlabelled.ckpt") or task not in ENSEMBLES):
            raise UserError(
                f"{key}={text(ckpt)} names several networks, whose mean is for task={', '.join(ENSEMBLES)} alone: give "
                "one."
            )


def _check_together(values: Mapping[str, Any], default: DictConfig | None) -> None:
    """Refuse options that are right by themselves, and not beside others.

    Raises:
        UserError: classes that nothing names; a rotation of what cannot be turned; how passes follow each other where
            there is one; a number of epochs that the trainer would overrule.
    """
    if values["labels"]["names"] is None and values["data"]["root"] is None:
        raise UserError(
            "Nothing names the classes: give data=folder data.root=PATH, which brings them, or labels.names=[...]."
        )
    foa, reference = values["microphones"] == 4, values["data"]["sampler"]["ref_channel"]
    if values["augment"]["scenes"].get("rotation") and not (foa and reference == 0):
        raise UserError(
            "augment=rotation turns first-order ambisonics, whose targets are taken at W: leave it out, or set "
            "microphones=4 and data.sampler.ref_channel=0."
        )
    model = values["model"]
    if model["kind"] == "separator" and model["network"]["separator"]["iters"] < 2:
        feedback = model["network"]["separator"]["feedback"] or {}
        options = {f"feedback.{name}": value for name, value in feedback.items() if name != TARGET}
        options |= {name: model["system"][name] for name in ("pass_decay", "through")}
        if said := [name for name, value in options.items() if value not in ("own", False, None)]:
            raise UserError(
                f"refinement.{said[0]}={text(options[said[0]])} says how passes follow each other, and there is one: "
                "add refinement.iters=2 or more."
            )
    if longest := values["trainer"].get("max_epochs"):
        for place in ("model", "scale.tagger", "scale.baseline", "scale.separator"):
            key = f"{place}.training.epochs"
            value = _at(values, key)
            if value is not None and default is not None and value != OmegaConf.select(default, key):
                raise UserError(
                    f"{key}={value} has no effect beside trainer.max_epochs={longest}, which counts with this trainer: "
                    f"give trainer.max_epochs={value} instead."
                )


def _sentence(errors: Sequence[Any], job: type[Job], values: Mapping[str, Any], default: DictConfig | None) -> str:
    """The first of pydantic's errors as a sentence; where that is about a group, about what is wrong inside of it."""
    places = [_Place.of(error, job, values) for error in errors]
    first = places[0].path
    deepest = max((place for place in places if place.path[: len(first)] == first), key=lambda place: len(place.path))
    error, path, value = errors[places.index(deepest)], deepest.path, deepest.value
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return unknown(".".join(path[:-1]), path[-1], deepest.valid)
    what = (error["type"] == "expected" and error["msg"]) or deepest.expected
    if error["type"] == "missing":
        return f"{key} is needed and not there: {what} is expected."
    before = None if default is None else OmegaConf.select(default, key, throw_on_resolution_failure=False)
    told = f" (the default is {text(before)})" if before not in (None, value) else ""
    return f"{key}={text(value)} is not right: {what} is expected{told}."


@dataclass
class _Place:
    """Where in a config an error is.

    Attributes:
        path: to the option, of which a list is told as a whole.
        value: that it has.
        expected: what is expected of it.
        valid: names of its group's options.
    """

    path: list[str]
    value: Any
    expected: str
    valid: list[str]

    @classmethod
    def of(cls, error: Any, job: type[Job], values: Any) -> _Place:
        """The place of one of pydantic's errors."""
        steps = list(error["loc"])
        if error["type"].startswith("union_tag"):
            steps.append(error["ctx"]["discriminator"].strip("'"))
        path, value, valid = list[str](), values, list[str]()
        models: list[type[BaseModel]] = [job]
        fields: list[FieldInfo] = []
        for step in steps:
            if isinstance(value, list):
                break
            named = [(field.alias or name, field) for model in models for name, field in model.model_fields.items()]
            is_entry = isinstance(value, Mapping) and step in value
            is_missing = error["type"] == "missing" and step == steps[-1]
            if not (is_entry or is_missing or step in dict(named)):
                continue  # which member of a union it was taken for
            path.append(str(step))
            valid = list(dict(named))
            fields = [field for name, field in named if name == step] or fields
            models = [model for field in fields for model in _models(field.annotation)] or models
            value = value[step] if is_entry else None
        words = dict.fromkeys(field.description or expected(field.annotation) for field in fields)
        return cls(path, value, " or ".join(words), valid)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _at(values: Any, key: str) -> Any:
    for step in key.split("."):
        values = values[step]
    return values
