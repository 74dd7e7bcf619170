"""task=submission: make a submission to the challenge, or check one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

from omegaconf import DictConfig

from sedsep import checkpoints
from sedsep.checkpoints import Checkpoint
from sedsep.checkpoints.finding import find_all, one_or_all
from sedsep.composition import common, parts
from sedsep.devices import evaluation_device
from sedsep.errors import PROGRAM, UserError
from sedsep.evaluation.accounts import NAMED_BY, DevResults, meta, parameters, system_config
from sedsep.evaluation.checking import Rules, Verdict, check
from sedsep.evaluation.ensemble import check_classes, combined
from sedsep.evaluation.scored import labelling_of, run_of, scored_with
from sedsep.evaluation.submission import (
    About,
    System,
    find_soundscapes,
    pack,
    pack_2026,
    separate_soundscapes,
    zip_name,
)
from sedsep.files import parsed_json, read_json, sweep, whole, write_json
from sedsep.labels import LabelSet
from sedsep.metrics.registry import DEV_RESULTS, TAGGER
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
        verdict = check(path, _rules(config, lengths, LabelSet(config.labels.names)))
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
    separators, taggers, system = _load(config)
    every = find_soundscapes(Path(config.audio), rate, system.separator.microphones)
    soundscapes = dict(list(every.items())[: DRY if task.dry_run else None])
    lengths = {file.stem: info.frames for file, info in soundscapes.items()}
    rules = _rules(config, lengths, system.labels)
    about = _about(config, separators, taggers, system) if form == "2026" else None
    path = Path(config.paths.run, *(["dry_run"] if task.dry_run else []), name)
    batch_size = parts.recipe(config).plan.eval_batch_size
    sweep(path.parent)
    with whole(path) as partial:
        start = time.perf_counter()
        try:
            answers = separate_soundscapes(soundscapes, system, batch_size)
            if about is None:
                pack(partial, ((mixture, answer.sources) for mixture, answer in answers), rate, form)
            else:
                pack_2026(partial, answers, rate, name.removesuffix("_out.zip"), about)
        except OSError as error:
            raise UserError(
                f"{path} cannot be written ({error.strerror or error}): make room there or run in another directory."
            ) from error
        seconds = time.perf_counter() - start
        verdict = check(partial, rules, name)
        verdict.show()
        origin = {
            "separator": one_or_all([str(one.path) for one in separators]),
            "tagger": one_or_all([str(one.path) for one in taggers]),
            "threshold": system.rule.threshold,
            "labelling": None if system.rule.labelling is None else asdict(system.rule.labelling),
            "precision": system.precision,
        }
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


def _rules(config: DictConfig, lengths: Mapping[str, int], labels: LabelSet) -> Rules:
    dev_test = None
    if config.task.dev_test:
        dev_test = frozenset(path.stem for path in find_soundscapes(Path(config.task.dev_test), config.sample_rate))
    return Rules(lengths, labels, config.sample_rate, str(config.task.format), config.slots, dev_test)


def _about(
    config: DictConfig, separators: Sequence[Checkpoint], taggers: Sequence[Checkpoint], system: System
) -> About:
    """What a submission of 2026 says of its system, whose scores are those of a run that lies on the disk.

    Raises:
        UserError: there are none, or they are another system's.
    """
    task, folder = config.task, Path(config.task.scored) if config.task.scored else None
    if folder is None and len(separators) == 1:
        folder = run_of(separators[0].path)
    ckpt = ",".join(str(separator.path) for separator in separators)
    how = (
        f"score it ({PROGRAM} task=evaluate ckpt=[{ckpt}] edition=dcase2026, with the data's options or "
        "audio=FOLDER) and give that run's directory as task.scored=DIRECTORY"
    )
    if folder is None or not (folder / DEV_RESULTS).exists():
        raise UserError(
            f"A submission of 2026 tells how its system did on the development test set, and {folder or config.ckpt} "
            f"has no {DEV_RESULTS}: {how}."
        )
    results = read_json(folder / DEV_RESULTS, DevResults, how)
    about = system_config(separators, taggers, system.rule.threshold, system.precision)
    known = parsed_json(json.dumps(about), dict[str, Any])
    theirs = results.config if isinstance(results.config, dict) else {}
    if different := [name for name, value in known.items() if theirs.get(name) != value]:
        raise UserError(f"{folder / DEV_RESULTS} is of a system with another {different[0]}: {how}.")
    nparams = parameters([*separators, *taggers])
    description = meta(task.author, task.affiliation, task.number, config.sample_rate, nparams, results)
    return About(nparams, about, (folder / DEV_RESULTS).read_text(encoding="utf-8"), description)


def _load(config: DictConfig) -> tuple[list[Checkpoint], list[Checkpoint], System]:
    """Separators and taggers, and the system of all: what `ckpt` was scored with, unless the command says otherwise.

    The networks must fit each other and the configured scale and rate.
    """
    if not config.ckpt:
        raise UserError(
            "task=submission needs a trained separator: add ckpt=PATH (or check a submission that is there with "
            "task.check=FILE.zip)."
        )
    separators = [checkpoints.load(file, "separator") for file in find_all(config.ckpt, Path(config.paths.cache))]
    check_classes([(separator.path, separator.description.labels) for separator in separators])
    labels = LabelSet(separators[0].description.labels)
    option = NAMED_BY if config.task.format == 2026 else TAGGER
    taggers = [checkpoints.load(file, "sed", labels) for file in parts.tagger_files(config, [option])[option]]
    threshold = config.task.threshold
    if threshold is None:
        scored = [account.threshold for one in separators if (account := scored_with(one.path))]
        threshold = fmean(scored) if scored else config.scale.threshold
    for loaded in (*separators, *taggers):
        check_fit(config.scale.name, config.sample_rate, loaded)
        loaded.network.to(evaluation_device(config.trainer.accelerator)).eval()
    separator, tagger = (combined([one.network for one in those]) for those in (separators, taggers))
    rule = common.label_rule(config, threshold)
    if config.task.threshold is None:
        files = ([one.path for one in those] for those in (separators, taggers))
        given = next(iter(common.fitted_labelling(config, labels).values()), labelling_of(*files))
        rule = replace(rule, labelling=given)
    return separators, taggers, System(separator, tagger, labels, rule, config.task.precision)


def _errors(verdict: Verdict, account: Path) -> str:
    count = len(verdict.errors)
    return f"{count} error{'s' * (count > 1)}, listed above and in {account}"


def _content(verdict: Verdict) -> str:
    return f"{verdict.estimates} estimates of {len(verdict.labels)} soundscapes"
