"""task=submission: make a submission to the challenge, or check one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from sedsep import checkpoints
from sedsep.errors import UserError, choice
from sedsep.evaluation.estimates import FORMS
from sedsep.evaluation.submission import ERRORS, WARNINGS, Problem, Rules, Verdict, check, pack, separated, zip_name
from sedsep.files import whole, write_json
from sedsep.labels import LabelRule, LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.scenes import audio
from sedsep.scenes.layout import MIXTURES
from sedsep.tasks.session import set_up
from sedsep.tasks.stages import check_fit

DRY = 4
"""Soundscapes of a dry run."""
SHOWN = 3
"""Files of a kind that the table names."""
ACCOUNT = "submission.json"


def run(config: DictConfig) -> None:
    """Check what `task.check` names, or make a zip in the run directory.

    Raises:
        UserError: something is missing or does not fit, or the submission has errors.
    """
    form = choice(str(config.task.format), FORMS, "task.format")
    if not config.audio:
        raise UserError("task=submission needs the soundscapes: add audio=FOLDER of their wav files.")
    if config.task.check:
        _check(config, form)
    else:
        _make(config, form)


def _check(config: DictConfig, form: str) -> None:
    path = Path(config.task.check)
    rules = _rules(config, _soundscapes(config), LabelSet(tuple(config.labels.names)), form)
    with _bar("Checking") as watch:
        verdict = check(path, rules, watch=watch)
    _tell(config, verdict, {"submission": str(path.absolute()), "form": form})
    if verdict.errors:
        raise UserError(f"{path} has {_errors(config, verdict)}: mend it and check again.")
    print(f"{path} can be handed in: {_holds(verdict)}.")


def _make(config: DictConfig, form: str) -> None:
    task = config.task
    if not task.author or not task.affiliation:
        raise UserError(
            "A submission is named after its author: add task.author=NAME and task.affiliation=NAME, one word each."
        )
    name = zip_name(task.author, task.affiliation, task.number)
    set_up(config.seed)
    system = _load(config)
    every = _soundscapes(config, system.separator.microphones)
    chosen = dict(list(every.items())[: DRY if task.dry_run else None])
    rules = _rules(config, chosen, system.labels, form)
    path = Path(config.paths.run, *(["dry_run"] if task.dry_run else []), name)
    made_of = {"separator": str(config.ckpt), "tagger": str(config.tagger.ckpt), "threshold": task.threshold}
    with whole(path) as partial:
        begun = time.perf_counter()
        with _writable(path):
            pack(partial, _answers(config, system, chosen), config.sample_rate, form)
        seconds = time.perf_counter() - begun
        with _bar("Checking") as watch:
            verdict = check(partial, rules, name, watch)
        _tell(config, verdict, {"submission": str(path.absolute()), "form": form, **made_of})
        if verdict.errors:
            raise UserError(f"{name} has {_errors(config, verdict)}, and was not kept: look into what made them.")
    size = path.stat().st_size
    print(f"{path}: {_holds(verdict)}, {size / 1e6:.1f} MB.")
    if task.dry_run:
        times = len(every) / len(chosen)
        print(
            f"A dry run of {len(chosen)} of {len(every)} soundscapes: all of them would take about "
            f"{timedelta(seconds=round(times * seconds))} (h:mm:ss) and {times * size / 1e6:.0f} MB."
        )


@dataclass(frozen=True)
class _System:
    """Networks in evaluation mode, where they run, and their classes."""

    tagger: SedModel
    separator: GuidedSeparator
    labels: LabelSet
    device: torch.device


def _load(config: DictConfig) -> _System:
    """The networks at `ckpt` and `tagger.ckpt`.

    Raises:
        UserError: one is missing, cannot be loaded, or does not fit the other or the configured scale and rate.
    """
    if not config.ckpt or not config.tagger.ckpt:
        raise UserError(
            "task=submission needs a trained separator and a tagger: add ckpt=PATH and tagger.ckpt=PATH (or check a "
            "submission that is there with task.check=FILE.zip)."
        )
    loaded = checkpoints.load(config.ckpt, "separator")
    labels = LabelSet(loaded.description.labels)
    named = checkpoints.load(config.tagger.ckpt, "sed", labels)
    separator, tagger = loaded.network, named.network
    assert isinstance(separator, GuidedSeparator)
    assert isinstance(tagger, SedModel)
    for one in (loaded, named):
        check_fit(config, one)
    device = torch.device("cpu" if config.trainer.accelerator == "cpu" or not torch.cuda.is_available() else "cuda")
    return _System(tagger.to(device).eval(), separator.to(device).eval(), labels, device)


def _soundscapes(config: DictConfig, microphones: int | None = None) -> dict[Path, audio.AudioInfo]:
    """The mixtures, in order of their names, with their headers.

    Args:
        microphones: channels that they must have, where it matters.

    Raises:
        UserError: there are none, or one does not fit.
    """
    folder = Path(config.audio)
    if (folder / MIXTURES).is_dir():
        folder = folder / MIXTURES
    found = {path: audio.info(path) for path in sorted(folder.glob("*.wav")) if not path.name.startswith(".")}
    if not found:
        raise UserError(f"{folder} holds no wav files: give the folder of the soundscapes as audio=FOLDER.")
    for path, info in found.items():
        if info.rate != config.sample_rate:
            raise UserError(
                f"{path} is sampled at {info.rate} Hz, not at {config.sample_rate} Hz: give soundscapes of the "
                "challenge, or set sample_rate."
            )
        if microphones not in (None, info.channels):
            raise UserError(
                f"{path} has {info.channels} channels and the separator {microphones} microphones: give soundscapes of "
                "the challenge, or another checkpoint."
            )
    return found


def _rules(config: DictConfig, soundscapes: Mapping[Path, audio.AudioInfo], labels: LabelSet, form: str) -> Rules:
    lengths = {path.stem: info.frames for path, info in soundscapes.items()}
    return Rules(lengths, labels, config.sample_rate, form, config.slots)


def _answers(
    config: DictConfig, system: _System, soundscapes: Mapping[Path, audio.AudioInfo]
) -> Iterator[tuple[str, list[tuple[str, Tensor]]]]:
    """Names of mixtures, with labels and waveforms of what the system hears in them."""
    with _bar("Separating") as watch:
        done, rule = 0, LabelRule(config.task.threshold, at_most=config.slots)
        for paths in _batches(soundscapes, config.model.training.eval_batch_size):
            watch(done, len(soundscapes))
            mixture = torch.stack([torch.from_numpy(audio.read(path)[0].T.copy()) for path in paths]).to(system.device)
            found = separated(mixture, system.tagger, system.separator, system.labels, rule)
            yield from zip((path.stem for path in paths), found, strict=True)
            done += len(paths)


def _batches(soundscapes: Mapping[Path, audio.AudioInfo], size: int) -> Iterator[list[Path]]:
    """Neighbours of the same length."""
    for _, group in groupby(soundscapes, key=lambda path: soundscapes[path].frames):
        paths = list(group)
        yield from (paths[start : start + size] for start in range(0, len(paths), size))


def _tell(config: DictConfig, verdict: Verdict, facts: Mapping[str, Any]) -> None:
    """Print what is the matter, kind by kind, and write all of it to the run directory."""
    table = Table("", "", "", "", box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    for severity, kinds in (("error", ERRORS), ("warning", WARNINGS)):
        for kind, title in kinds.items():
            if items := [problem for problem in verdict.problems if problem.kind == kind]:
                table.add_row(severity, str(len(items)), title, _first(items))
    if table.row_count:
        Console(markup=False, highlight=False).print(table)
    labels = Counter(label for chosen in verdict.labels.values() for label in chosen)
    write_json(
        Path(config.paths.run) / ACCOUNT,
        {
            **facts,
            "mixtures": len(verdict.labels),
            "estimates": verdict.estimates,
            "labels": dict(sorted(labels.items())),
            "errors": [asdict(problem) for problem in verdict.problems if problem.kind in ERRORS],
            "warnings": [asdict(problem) for problem in verdict.problems if problem.kind in WARNINGS],
        },
    )


def _first(items: Sequence[Problem]) -> str:
    lines = [f"{problem.item} {problem.text}".rstrip() for problem in items[:SHOWN]]
    return "\n".join([*lines, *([f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else [])])


def _errors(config: DictConfig, verdict: Verdict) -> str:
    count = len(verdict.errors)
    return f"{count} error{'s' * (count > 1)}, listed above and in {Path(config.paths.run) / ACCOUNT}"


def _holds(verdict: Verdict) -> str:
    return f"{verdict.estimates} estimates of {len(verdict.labels)} soundscapes"


@contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, moved by telling it how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): make room there or run in another directory."
        ) from error
