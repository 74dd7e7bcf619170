"""The whole config of a job, checked: the one place that decides what may be overridden by what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from sedsep.errors import UserError
from sedsep.runs.command_line.arguments import unknown
from sedsep.runs.command_line.settings.data import Data
from sedsep.runs.command_line.settings.fields import Hertz, Name, Options, Place, Seconds, Seed, expected, text, whole
from sedsep.runs.command_line.settings.networks import Conditioning, Microphones, Passes, Slots
from sedsep.runs.command_line.settings.recipes import Scale, SedModel, Separator
from sedsep.runs.command_line.settings.runs import Launcher, Logger
from sedsep.runs.command_line.settings.tasks import TASKS
from sedsep.runs.command_line.settings.trainer import Callbacks, Speed, Trainer

PER_PASS = Annotated[int, whole(1, 1000)]


class Labels(Options):
    """The classes."""

    names: Annotated[list[Name], Field(min_length=1, description="a list of class names, as [Bell,Dog]")] | None
    count: Annotated[None, Field(description="null (they are counted when a job starts: labels.names=[...])")]


class Refinement(Options):
    """Passes."""

    iters: Passes
    eval_iters: PER_PASS | Annotated[list[PER_PASS], Field(min_length=1)] | None


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


class Job(Options):
    """A config; what others are interpolated from comes first, to be the one that is named."""

    seed: Seed
    sample_rate: Hertz
    duration: Seconds
    microphones: Microphones
    slots: Slots
    ckpt: Place | None
    audio: Place | None
    sweep: Sweep
    paths: Paths
    speed: Speed
    labels: Labels
    refinement: Refinement
    scale: Scale
    conditioning: Conditioning
    data: Data
    model: Annotated[SedModel | Separator, Field(discriminator="kind")]
    tagger: SedModel
    baseline: SedModel
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
    values = _plain(config)
    job = job_of(str(config.hydra.runtime.choices.get("task")))
    # What a cluster's nodes can bear is not known here.
    cores = None if values["hydra"]["launcher"]["_target_"].endswith(".Slurm") else os.cpu_count()
    try:
        job.model_validate(values, context={"cores": cores})
    except ValidationError as error:
        raise UserError(_sentence(error.errors(include_url=False)[0], job, values, default)) from None
    _check_together(values, default)


def _plain(config: DictConfig) -> dict[str, Any]:
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
    values["hydra"] = {"launcher": OmegaConf.to_container(config.hydra.launcher, resolve=True)}
    return values


def _check_together(values: Mapping[str, Any], default: DictConfig | None) -> None:
    """Refuse options that are right by themselves, and not beside others.

    Raises:
        UserError: classes that nothing names; a number of epochs that the trainer would overrule.
    """
    if values["labels"]["names"] is None and values["data"]["root"] is None:
        raise UserError(
            "Nothing names the classes: give data=folder data.root=PATH, which brings them, or labels.names=[...]."
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


def _sentence(error: Any, job: type[Job], values: Mapping[str, Any], default: DictConfig | None) -> str:
    """One of pydantic's errors as a sentence."""
    steps = list(error["loc"])
    if error["type"].startswith("union_tag"):
        steps.append(error["ctx"]["discriminator"].strip("'"))
    path: list[str] = []
    value: Any = values
    models: list[type[BaseModel]] = [job]
    fields: list[FieldInfo] = []
    for step in steps:
        if isinstance(value, list):
            break  # it is told as a whole
        valid = {name: field for model in models for name, field in _fields(model)}
        is_entry = isinstance(value, Mapping) and step in value
        if not is_entry and step not in valid:
            continue  # which member of a union it was taken for
        path.append(str(step))
        fields = [field for model in models for name, field in _fields(model) if name == step]
        models = [model for field in fields for model in _models(field.annotation)] or models
        value = value[step] if is_entry else None
    key, where = ".".join(path), ".".join(path[:-1])
    if error["type"] == "missing":
        return f"{key} is not there, and needed: do not take it out."
    if error["type"] == "extra_forbidden":
        return unknown(where, path[-1], list(valid))
    wanted = dict.fromkeys(field.description or expected(field.annotation) for field in fields)
    what = (error["type"] == "expected" and error["msg"]) or " or ".join(wanted) or "a class with _target_"
    before = None if default is None else OmegaConf.select(default, key, throw_on_resolution_failure=False)
    told = f" (the default is {text(before)})" if before not in (None, value) else ""
    return f"{key}={text(value)} is not right: {what} is expected{told}."


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a model by the names that the config has for them."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


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
