"""What can be wrong with a data set. Each check stands once, here or beside the reading of its files, and lists what it
finds: who needs the data raises the first problem, who verifies a data set reads them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sedsep.errors import UserError
from sedsep.labels import SILENCE, LabelSet
from sedsep.types import SceneSpec


class FileError(UserError):
    """A file of a data set that cannot be used: missing, damaged or unfit.

    Attributes:
        path: the file; `None` in what torch makes of an error that comes from a worker.
    """

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class DataProblem:
    """Something to mend in a data set.

    Attributes:
        kind: structure, label, file, duration, silence, metadata or leak.
        path: the file or folder it is about.
        text: one sentence that names it and says what to do.
    """

    kind: str
    path: Path
    text: str


def raise_first(problems: Iterable[DataProblem]) -> None:
    """Raise the first of the problems, if any: a `FileError` where its kind is file, else a `UserError`."""
    for problem in problems:
        raise FileError(problem.text, problem.path) if problem.kind == "file" else UserError(problem.text)


def scene_problems(
    spec: SceneSpec, path: Path, root: Path, sample_rate: int, channels: int, labels: LabelSet | None = None
) -> Iterator[DataProblem]:
    """What keeps the description of a scene from being rendered.

    Args:
        spec: the scene.
        path: the file it was read from.
        root: the data set's root.
        sample_rate: of the data set's scenes, Hz.
        channels: its microphones.
        labels: the classes; `None` takes any label.
    """
    yield from fit_problems(spec, path, sample_rate, channels)
    events = [str(event.label) for event in spec.foreground]
    dirs, (before, after) = spec.dirs, spec.direct_path_ms
    texts: list[str] = []
    if twice := sorted({label for label in events if events.count(label) > 1}):
        texts.append(f"has two events labelled {twice[0]}: a scene may hold each label once.")
    elif sorted(slot for slot in spec.slots if slot != SILENCE) != sorted(events):
        texts.append(
            f"has the events {', '.join(events) or 'none'} but the ref_event {', '.join(spec.slots) or 'none'}: "
            f"name each event once and fill the other slots with {SILENCE}."
        )
    if labels is not None:
        texts += [
            f"holds the label {label}, which is no class: choose the label set of this data set."
            for label in sorted({*spec.slots} - {*labels, SILENCE})
        ]
    if spec.duration <= 0 or spec.sample_rate <= 0 or before < 0 or after <= 0:
        texts.append("has a duration, rate or direct path time that is not positive: correct its config.")
    for event in (*spec.foreground, *spec.background, *spec.interference):
        if not 0 <= event.event_time < spec.duration or event.event_duration <= 0 or (event.source_time or 0) < 0:
            texts.append(
                f"places {event.source_file} at {event.event_time:g} s for {event.event_duration:g} s, but events "
                f"start within the scene's {spec.duration:g} s and last longer than nothing: correct it."
            )
    files = [Path(dirs.rooms, spec.room)]
    files += [Path(dirs.foreground, event.source_file) for event in spec.foreground]
    files += [Path(dirs.background, event.source_file) for event in spec.background]
    files += [Path(str(dirs.interference), event.source_file) for event in spec.interference]
    texts += [
        f"names {root / file}, which does not exist: check the data set's root."
        for file in files
        if not (root / file).is_file()
    ]
    yield from (DataProblem("metadata", path, f"{path} {text}") for text in texts)


def fit_problems(spec: SceneSpec, source: Path | str, sample_rate: int, channels: int) -> Iterator[DataProblem]:
    """Where a scene does not fit the data set's rate, Hz, and microphones; `source` is what the sentence calls it."""
    if spec.sample_rate != sample_rate:
        text = f"is at {spec.sample_rate} Hz, not at {sample_rate} Hz: set the sample rate to match or prepare it anew."
        yield DataProblem("metadata", Path(source), f"{source} {text}")
    if not -channels <= spec.ref_channel < channels:
        text = f"has its targets at channel {spec.ref_channel} of {channels}: correct its config."
        yield DataProblem("metadata", Path(source), f"{source} {text}")
