"""task=separate: take recordings apart."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sedsep.errors import UserError, choice
from sedsep.evaluation.report.activity import activity_figure
from sedsep.inference import Job, Request, SceneSeparator, find, from_file, load, write

LIKELIEST = 3
"""Sounds to name where none is likely enough."""


def run(config: DictConfig) -> None:
    """Separate what `config.audio` means into a folder each, and say what was found.

    Raises:
        UserError: there is no separator or nothing to separate, what is asked for cannot be had, or a recording cannot
            be used; of several, the others are separated all the same.
    """
    if not config.audio:
        raise UserError("task=separate needs something to separate: add audio=PATH of a file, a folder or a glob.")
    if not config.ckpt:
        raise UserError("task=separate needs a trained separator: add ckpt=PATH (and tagger.ckpt=PATH to name sounds).")
    request = _request(config.task)
    paths = find(str(config.audio))
    system = load(
        config.ckpt,
        config.tagger.ckpt,
        "cpu" if config.trainer.accelerator == "cpu" or not torch.cuda.is_available() else "cuda",
        config.task.chunk,
        Path(config.paths.cache),
    )
    system.check(request)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if request.labels is None and system.tagger is None:
        console.print(
            "No tagger is given: the SED model that guides the separator names the sounds (tagger.ckpt=PATH)."
        )
    parent = Path(config.task.output or config.paths.run)
    failed = [path for path in paths if not _tried(path, len(paths) == 1, system, request, parent, config, console)]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(paths)} recordings could not be separated, for the reasons above: mend them and "
            "separate them again."
        )


def _request(task: DictConfig) -> Request:
    labels = [task.labels] if isinstance(task.labels, str) else task.labels
    return Request(
        labels=None if labels is None else tuple(dict.fromkeys(str(label) for label in labels)),
        threshold=task.threshold,
        per_chunk=choice(task.decide, ("recording", "chunk"), "task.decide") == "chunk",
        iters=task.iters,
        level_db=None if task.level is None else _pair(task.level),
    )


def _pair(level: object) -> tuple[float, float]:
    values = OmegaConf.to_object(level) if OmegaConf.is_list(level) else level
    if not isinstance(values, list) or len(values) != 2 or not all(isinstance(value, int | float) for value in values):
        raise UserError(f"task.level={level} is no range of levels: give two numbers as [-45,-30], or null.")
    return float(values[0]), float(values[1])


def _tried(
    path: Path,
    alone: bool,
    system: SceneSeparator,
    request: Request,
    parent: Path,
    config: DictConfig,
    console: Console,
) -> bool:
    """Whether a recording could be separated; one that was asked for alone raises the reason."""
    try:
        _separate(path, system, request, parent, config, console)
    except UserError as error:
        if alone:
            raise
        console.print(f"Error: {error}")
        return False
    return True


def _separate(
    path: Path, system: SceneSeparator, request: Request, parent: Path, config: DictConfig, console: Console
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(path.name, total=None)

        def watch(doing: str, done: int, total: int) -> None:
            if not done:
                progress.reset(bar)
            progress.update(bar, description=f"{path.name}: {doing}", completed=done, total=total)

        job = system.begin(from_file(path), request, watch)
        console.print(f"{path}: {_heard(job)}")
        figure = _figure(job)
        facts = {"file": str(path.absolute()), "separator": str(config.ckpt), "tagger": config.tagger.ckpt}
        folder = write(job, parent, facts, {} if figure is None else {"events.svg": figure})
    console.print(f"    {_found(job)} -> {folder}")


def _heard(job: Job) -> str:
    recording = job.recording
    parts = [f"{recording.duration:.1f} s at {recording.rate} Hz", job.hearing.how]
    if job.gain_db:
        parts.append(f"heard {abs(job.gain_db):.0f} dB {'louder' if job.gain_db > 0 else 'softer'} than it is")
    return "; ".join(parts)


def _found(job: Job) -> str:
    if job.labels:
        return ", ".join(job.labels)
    assert job.detection is not None
    likeliest = list(job.detection.probabilities.items())[:LIKELIEST]
    names = ", ".join(f"{label} {probability:.2f}" for label, probability in likeliest)
    return f"nothing heard at task.threshold={job.request.threshold} (likeliest: {names}), all is residual"


def _figure(job: Job) -> bytes | None:
    if job.detection is None:
        return None
    events = [(event.label, event.onset, event.offset) for event in job.events]
    return activity_figure(
        job.detection.activity, job.detection.names, job.recording.duration, events, chosen=job.labels
    )
