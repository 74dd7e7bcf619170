"""task=separate: take recordings apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sedsep.checkpoints.finding import BOX, each, find_all, one_or_all
from sedsep.composition.common import event_rule, fitted_labelling
from sedsep.devices import evaluation_device
from sedsep.errors import UserError, printable
from sedsep.evaluation import ear as ears
from sedsep.evaluation.ear import Ear
from sedsep.evaluation.report.timelines import timeline_figure
from sedsep.files import read_json, sweep
from sedsep.inference import Request, SceneSeparator, SeparationJob, find, from_file, load, write

LONGEST_PATH = 4096
LIKELIEST = 3
"""Sounds to name where none is likely enough."""


def run(config: DictConfig) -> None:
    """Separate what `config.audio` means into a folder each, and say what was found.

    Raises:
        UserError: there is nothing to separate, what is asked for cannot be had, or a recording cannot
            be used; of several, the others are separated all the same.
    """
    if not config.audio:
        raise UserError("task=separate needs something to separate: add audio=PATH of a file, a folder or a glob.")
    request, paths = _request(config), find(str(config.audio))
    device = evaluation_device(config.trainer.accelerator)
    chunk, cache = config.task.chunk, Path(config.paths.cache)
    threshold, precision = config.scale.threshold, config.task.precision
    ckpt = config.ckpt or BOX
    system = load(each(ckpt), config.tagger.ckpt, device, chunk, cache, threshold, precision)
    if given := fitted_labelling(config, system.label_set):
        system.labelling = next(iter(given.values()))
    request = system.deciding(request, config.task.threshold)
    system.check(request)
    task = config.task
    ear = ears.load(task.ear, cache, task.ear_labels, task.ear_rate) if task.ear else None
    if ear is not None:
        ear.check(system.labels)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if request.labels is None:
        files = ", ".join(map(str, system.tagger_files))
        named_by = f"{system.named_by}{f' ({files})' if files else ''}"
        hint = "" if files else " (tagger.ckpt=PATH gives a tagger)"
        how = f"from a probability of {request.threshold:g}"
        if request.labelling is not None:
            how = f"by labelling={request.labelling.rule} as fitted on validation scenes"
        console.print(f"Sounds are named by {named_by}, {how}{hint}.")
    parent = Path(config.task.output or config.paths.run)
    # Of a name, the very file that it means here; of an ensemble all of them.
    parts = {"separator": find_all(ckpt, cache), "tagger": system.tagger_files}
    checkpoints = {name: one_or_all([str(file) for file in files]) for name, files in parts.items()}
    sweep(parent)
    failures = 0
    for path in paths:
        try:
            _separate(path, system, request, parent, checkpoints, console, ear)
        except UserError as error:
            if len(paths) == 1:
                raise
            console.print(f"Error: {error}")
            failures += 1
    if failures:
        raise UserError(
            f"{failures} of {len(paths)} recordings could not be separated, for the reasons above: mend them and "
            "separate them again."
        )


def _request(config: DictConfig) -> Request:
    task = config.task
    labels = [task.labels] if isinstance(task.labels, str) else task.labels
    return Request(
        labels=None if labels is None else tuple(dict.fromkeys(str(label) for label in labels)),
        per_chunk=task.decide == "chunk",
        iters=task.iters,
        level_db=None if task.level is None else (task.level[0], task.level[1]),
        events=event_rule(config),
    )


def _separate(
    path: Path,
    system: SceneSeparator,
    request: Request,
    parent: Path,
    checkpoints: Mapping[str, Any],
    console: Console,
    ear: Ear | None,
) -> None:
    """Separate one recording, with word of what is heard first and of what is found at the end."""
    begin = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        name = printable(path.name)
        bar = progress.add_task(name, total=None)

        def watch(doing: str, done: int, total: int) -> None:
            if not done:
                progress.reset(bar)
            progress.update(bar, description=f"{name}: {doing}", completed=done, total=total)

        job = system.begin(from_file(path), request, watch)
        recording, detection = job.recording, job.detection
        parts = [f"{recording.duration:.1f} s at {recording.rate} Hz", job.channel_mix.description]
        if job.gain_db:
            parts.append(f"heard {abs(job.gain_db):.0f} dB {'louder' if job.gain_db > 0 else 'softer'} than it is")
        console.print(f"{printable(str(path), LONGEST_PATH)}: {'; '.join(parts)}")
        figures = {}
        if detection is not None:
            events = [(event.label, event.onset, event.offset) for event in job.events]
            figures["events.svg"] = timeline_figure(
                detection.activity, detection.names, recording.duration, events, job.labels, alone=True
            )
        folder = write(job, parent, {"file": str(path.absolute()), **checkpoints}, figures, ear)
    factor = (time.perf_counter() - begin) / recording.duration
    console.print(f"    {_sounds(job)} -> {printable(str(folder), LONGEST_PATH)} ({factor:.2g} s a second of sound)")
    if ear is not None:
        for stem in read_json(folder / "separation.json", dict[str, Any], "separate the recording again")["stems"]:
            heard = {place: "unknown" if value is None else f"{value:.2f}" for place, value in stem["ear"].items()}
            console.print(
                f"    the ear: {stem['label']} {heard['stem']} in its stem, {heard['residual']} in the residual"
            )


def _sounds(job: SeparationJob) -> str:
    if job.labels:
        return ", ".join(job.labels)
    assert job.detection is not None
    likeliest = list(job.detection.probabilities.items())[:LIKELIEST]
    names = ", ".join(f"{label} {probability:.2f}" for label, probability in likeliest)
    rule = job.request.labelling
    how = f"task.threshold={job.request.threshold}" if rule is None else f"labelling={rule.rule}"
    return f"nothing heard at {how} (likeliest: {names}), all is residual"
