"""task=submission: make a submission to the challenge, or check one."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sedsep import checkpoints
from sedsep.composition import parts
from sedsep.devices import evaluation_device
from sedsep.errors import UserError
from sedsep.evaluation.checking import Rules, Verdict, check
from sedsep.evaluation.scored import scored_with
from sedsep.evaluation.submission import System, find_soundscapes, pack, separate_soundscapes, zip_name
from sedsep.files import sweep, whole, write_json
from sedsep.labels import LabelRule, LabelSet
from sedsep.metrics.registry import TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.runs.run import set_up
from sedsep.training.build import check_fit

DRY = 4
"""Soundscapes of a dry run."""
ACCOUNT = "submission.json"


def run(config: DictConfig) -> None:
    """Check what `task.check` names, or make a zip in the run directory.

    Raises:
        UserError: something is missing or does not fit, or the submission has errors.
    """
    form = str(config.task.format)
    if not config.audio:
        raise UserError("task=submission needs the soundscapes: add audio=FOLDER of their wav files.")
    account = Path(config.paths.run) / ACCOUNT
    if config.task.check:
        path = Path(config.task.check)
        soundscapes = find_soundscapes(Path(config.audio), config.sample_rate)
        lengths = {file.stem: info.frames for file, info in soundscapes.items()}
        verdict = check(path, Rules(lengths, LabelSet(config.labels.names), config.sample_rate, form, config.slots))
        verdict.show()
        write_json(account, {"submission": str(path.absolute()), "form": form, **verdict.account()})
        if verdict.errors:
            raise UserError(f"{path} has {_errors(verdict, account)}: mend it and check again.")
        print(f"{path} can be handed in: {_content(verdict)}.")
    else:
        _make(config, form, account)


def _make(config: DictConfig, form: str, account: Path) -> None:
    task, rate = config.task, config.sample_rate
    if not task.author or not task.affiliation:
        raise UserError(
            "A submission is named after its author: add task.author=NAME and task.affiliation=NAME, one word each."
        )
    name = zip_name(task.author, task.affiliation, task.number)
    set_up(config.seed)
    system, origin = _load(config)
    every = find_soundscapes(Path(config.audio), rate, system.separator.microphones)
    soundscapes = dict(list(every.items())[: DRY if task.dry_run else None])
    lengths = {file.stem: info.frames for file, info in soundscapes.items()}
    path = Path(config.paths.run, *(["dry_run"] if task.dry_run else []), name)
    batch_size = parts.recipe(config).plan.eval_batch_size
    sweep(path.parent)
    with whole(path) as partial:
        start = time.perf_counter()
        try:
            pack(partial, separate_soundscapes(soundscapes, system, batch_size), rate, form)
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror or error}): make room there or run in another directory."
            ) from error
        seconds = time.perf_counter() - start
        verdict = check(partial, Rules(lengths, system.labels, rate, form, config.slots), name)
        verdict.show()
        write_json(account, {"submission": str(path.absolute()), "form": form, **origin, **verdict.account()})
        if verdict.errors:
            raise UserError(f"{name} has {_errors(verdict, account)}, and was not kept: look into what made them.")
    size = path.stat().st_size / 1e6
    print(f"{path}: {_content(verdict)}, {size:.1f} MB.")
    if task.dry_run:
        times = len(every) / len(soundscapes)
        print(
            f"A dry run of {len(soundscapes)} of {len(every)} soundscapes: all of them would take about "
            f"{timedelta(seconds=round(times * seconds))} (h:mm:ss) and {times * size:.0f} MB."
        )


def _load(config: DictConfig) -> tuple[System, dict[str, Any]]:
    """What `ckpt` was scored with, unless the command says otherwise, and where it comes from.

    The networks must fit each other and the configured scale and rate.
    """
    if not config.ckpt:
        raise UserError(
            "task=submission needs a trained separator: add ckpt=PATH (or check a submission that is there with "
            "task.check=FILE.zip)."
        )
    separator = checkpoints.load(config.ckpt, "separator")
    labels = LabelSet(separator.description.labels)
    tagger = checkpoints.load(parts.tagger_files(config, [TAGGER])[TAGGER], "sed", labels)
    threshold = config.task.threshold
    if threshold is None:
        scored = scored_with(separator.path)
        threshold = config.scale.threshold if scored is None else scored.threshold
    for loaded in (separator, tagger):
        check_fit(config.scale.name, config.sample_rate, loaded)
        loaded.network.to(evaluation_device(config.trainer.accelerator)).eval()
    assert isinstance(separator.network, GuidedSeparator)
    assert isinstance(tagger.network, SedModel)
    rule = LabelRule(threshold, at_most=config.slots)
    precision = config.task.precision
    origin = {
        "separator": str(separator.path), "tagger": str(tagger.path), "threshold": threshold, "precision": precision
    }  # fmt: skip
    return System(separator.network, tagger.network, labels, rule, precision), origin


def _errors(verdict: Verdict, account: Path) -> str:
    count = len(verdict.errors)
    return f"{count} error{'s' * (count > 1)}, listed above and in {account}"


def _content(verdict: Verdict) -> str:
    return f"{verdict.estimates} estimates of {len(verdict.labels)} soundscapes"
