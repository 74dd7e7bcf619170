"""What can be wrong with a data set. Each check stands once, here or beside the reading of its files, and lists what it
finds: who needs the data raises the first problem, who verifies a data set reads them all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sedsep.errors import UserError, printable
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text, 1000))  # names of files may hold anything


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
    dirs = spec.dirs
    texts: list[str] = []
    if sorted(slot for slot in spec.slots if slot != SILENCE) != sorted(events):
        texts.append(
            f"has the events {', '.join(events) or 'none'} but the ref_event {', '.join(spec.slots) or 'none'}: "
            f"name each event once and fill the other slots with {SILENCE}."
        )
    if labels is not None:
        texts += [
            f"holds the label {label}, which is no class: choose the label set of this data set."
            for label in sorted({*spec.slots} - {*labels, SILENCE})
        ]
    if int(spec.duration * spec.sample_rate) < 1:
        texts.append(f"lasts {spec.duration:g} s, which is less than a sample: correct its config.")
    texts += [
        f"places {event.source_file} at {event.event_time:g} s, but events start within the scene's "
        f"{spec.duration:g} s: correct it."
        for event in (*spec.foreground, *spec.background, *spec.interference)
        if event.event_time >= spec.duration
    ]
    files = [(dirs.rooms, spec.room)]
    files += [(dirs.foreground, event.source_file) for event in spec.foreground]
    files += [(dirs.background, event.source_file) for event in spec.background]
    files += [(str(dirs.interference), event.source_file) for event in spec.interference]
    outside = [folder for folder in {folder for folder, _ in files} if leads_outside(root, folder, links=False)]
    for folder, file in files:
        place = root / folder / file
        if folder in outside or leads_outside(root / folder, file):
            texts.append(f"names {place}, which leads out of the data set {root}: copy the file to its folder there.")
        elif not os.path.isfile(place):  # noqa: PTH113 # whatever the name
            texts.append(f"names {place}, which does not exist: check the data set's root.")
    yield from (DataProblem("metadata", path, f"{path} {text}") for text in texts)


def fit_problems(spec: SceneSpec, source: Path | str, sample_rate: int, channels: int) -> Iterator[DataProblem]:
    """Where a scene does not fit the data set's rate, Hz, and microphones; `source` is what the sentence calls it."""
    if spec.sample_rate != sample_rate:
        text = f"is at {spec.sample_rate} Hz, not at {sample_rate} Hz: set the sample rate to match or prepare it anew."
        yield DataProblem("metadata", Path(source), f"{source} {text}")
    if not 0 <= spec.ref_channel < channels:
        text = f"has its targets at channel {spec.ref_channel} of {channels}: correct its config."
        yield DataProblem("metadata", Path(source), f"{source} {text}")


def leads_outside(folder: Path, name: str, links: bool = True) -> bool:
    """Whether a name leads out of its folder: by what it says, or by links below the folder, which may be one itself.

    Args:
        folder: the folder.
        name: of a file or folder in it; an absolute one has to begin with the folder.
        links: follow them.
    """
    place = folder / name
    top = folder.absolute() if Path(name).is_absolute() else folder
    if ".." in name.split("/") or not place.is_relative_to(top):
        return True
    while links and place != top:
        if os.path.islink(place):  # noqa: PTH114 # whatever the name
            return not place.resolve().is_relative_to(top.resolve())
        place = place.parent
    return False
