"""Everything that is wrong with a data set, found in one go.

Of every audio file the header is read, and samples from the start until one is loud enough to be no silence, which is
the first second of nearly all; of every room the header. Files of the same size in two splits are compared, first by
4 KiB in their middle and by all their bytes where these agree. With `decode` every sample of every file is read, which
finds damage in the middle of a file and numbers that are not finite.

What keeps data from being used is found by the checks that reading it makes, too (`sedsep.scenes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from sedsep.console import in_threads
from sedsep.datasets.contents import Content
from sedsep.errors import UserError
from sedsep.fingerprint import fingerprint
from sedsep.labels import LabelSet
from sedsep.scenes import audio
from sedsep.scenes.layout import (
    EVENTS,
    INTERFERENCE,
    MIXTURES,
    NOISE,
    ROOMS,
    TARGETS,
    Layout,
    Place,
    places,
    recorded_splits,
)  # fmt: skip
from sedsep.scenes.metadata import read_index, read_spec
from sedsep.scenes.problems import DataProblem, scene_problems
from sedsep.scenes.recorded import length_problems, meanings_of_targets
from sedsep.scenes.rooms import Room

SILENT_PEAKS = {EVENTS: 1e-3, INTERFERENCE: 1e-3, NOISE: 2.0**-23}
"""A file of the group without a larger sample is taken for silence. Sounds are scaled up to their level in the scene,
and at -60 dB re full scale the rounding of 16 bits would be heard; a background may be faint, but not nothing."""

SHORTEST = 0.1
"""A sound shorter than this is no event, seconds; the challenge's own preparation leaves such files out."""

BLOCK_S = 10.0
WINDOW = 4096

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aif", ".aiff", ".w64", ".sofa")


@dataclass(frozen=True)
class Verdict:
    """What is in a data set, and what is wrong with it.

    Attributes:
        root: the data set's root.
        contents: one entry for each split, group and label.
        scenes: fixed ones by index.
        problems: of places, files, files in two splits, recordings and scenes.
    """

    root: Path
    contents: list[Content]
    scenes: dict[str, int]
    problems: list[DataProblem]


@dataclass
class File:
    """A file of the data set.

    Attributes:
        path: where it is.
        place: the folder it is read from.
        size: bytes.
        info: its header; `None` of rooms and of what cannot be read.
        problems: with the file alone.
    """

    path: Path
    place: Place
    size: int = 0
    info: audio.AudioInfo | None = None
    problems: list[DataProblem] = field(default_factory=list)


def verify(
    root: Path,
    labels: LabelSet,
    sample_rate: int,
    channels: int,
    *,
    splits: Sequence[str] = ("train",),
    decode: bool = False,
) -> Verdict:
    """Check a data set in the challenge's layout; nothing that is wrong with it raises.

    Args:
        root: the folder that holds `sound_event`, or one that holds it in `dev_set`.
        labels: the classes.
        sample_rate: of scenes, rooms and recordings, Hz.
        channels: microphones.
        splits: those needed; the first is for training and must have sounds of every class, the last for scoring.
        decode: read every sample of every file.
    """
    try:
        layout = Layout(root, sample_rate, channels)
    except UserError as error:
        return Verdict(Path(root), [], {}, [DataProblem("structure", Path(root), str(error))])
    problems = [*_split_problems(layout, labels, splits)]
    files = []
    for split in dict.fromkeys((*layout.split_names, *recorded_splits(layout.root))):
        for place in places(layout.root, split):
            problems += [*place.problems(), *_unread_files(place)]
            files += [File(path, place) for path in place.files]
    contents: dict[Place, Content] = {}
    for file in in_threads(partial(_look, layout=layout, decode=decode), files, "Checking files"):
        place = file.place
        contents.setdefault(place, Content(place.split, place.group, place.label)).add(file.size, file.info)
        problems += file.problems
    # A file that cannot be read is reported as such; it cannot be compared either.
    problems += _leaks([file for file in files if not any(problem.kind == "file" for problem in file.problems)])
    problems += _recording_problems(files, labels)
    infos = {file.path: file.info for file in files if file.info}
    scenes = {}
    for index in sorted((layout.root / "metadata").glob("*.json")):
        scenes[index.stem], scene_faults = _scene_problems(index, layout, labels, infos)
        problems += scene_faults
    return Verdict(layout.root, [*contents.values()], scenes, problems)


# --- places ---------------------------------------------------------------------------------------------------------


def _split_problems(layout: Layout, labels: LabelSet, splits: Sequence[str]) -> Iterator[DataProblem]:
    """Training draws from sounds of every class; evaluation takes fixed scenes or recordings as well.

    A set that has the last split and none of the others is there for scoring alone.
    """
    fixed = {path.stem for path in (layout.root / "metadata").glob("*.json")} | set(recorded_splits(layout.root))
    if fixed.union(layout.split_names).intersection(splits) == {splits[-1]} != set(splits):
        yield from layout.label_problems(labels)
        return
    for split in splits:
        sounds = layout.root / EVENTS / split
        if split not in layout.split_names and (split == splits[0] or split not in fixed):
            text = f"{sounds} does not exist: add the split or choose another (data.module.*_split)."
            yield DataProblem("structure", sounds, text)
    yield from layout.label_problems(labels)
    if splits[0] in layout.split_names:
        for name in labels:
            folder = layout.root / EVENTS / splits[0] / name
            if not folder.is_dir():
                text = f"{folder} does not exist: add sounds of the class {name} or take it out of labels.names."
                yield DataProblem("label", folder, text)


def _unread_files(place: Place) -> Iterator[DataProblem]:
    """Links to nothing, and audio that nobody reads, in a folder of files."""
    if place.lacks_labels:
        return
    files = set(place.files)
    for path in (path for path in place.entries() if path not in files):
        unread = path.is_dir() and (path.is_symlink() or not place.is_deep)
        if path.is_symlink() and not path.exists():
            text = f"{path} is a link to {path.readlink()}, which does not exist: fetch the file or remove the link."
        elif unread and (count := sum(_is_audio(inner) for inner in path.rglob("*"))):
            text = f"{path} holds {count} files that nobody reads: move them to {place.folder} or remove the folder."
        elif _is_audio(path):
            text = f"{path} is not read, because only *.{place.suffix} files are: convert, rename or remove it."
        else:
            continue
        yield DataProblem("structure", path, text)


def _is_audio(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in AUDIO_SUFFIXES


# --- files ----------------------------------------------------------------------------------------------------------


def _look(file: File, layout: Layout, decode: bool) -> File:
    """Note size, header and problems of a file."""
    path = file.path
    try:
        file.size = path.stat().st_size
        if file.place.group == ROOMS:
            room = Room(path, layout.sample_rate, layout.channels)
            for index in range(len(room)) if decode else ():
                room.response(index)
        else:
            file.info = audio.info(path)
            file.problems.extend(_audio_problems(path, file.info, file.place.group, layout, decode))
    except UserError as error:
        file.problems.append(DataProblem("file", path, str(error)))
    except OSError as error:
        text = f"{path} cannot be read ({error.strerror or error}): check its permissions and the disk."
        file.problems.append(DataProblem("file", path, text))
    return file


def _audio_problems(
    path: Path, info: audio.AudioInfo, group: str, layout: Layout, decode: bool
) -> Iterator[DataProblem]:
    if group in (NOISE, MIXTURES, TARGETS):
        rate = None if group == NOISE else layout.sample_rate
        yield from audio.format_problems(path, info, 1 if group == TARGETS else layout.channels, rate)
    if info.duration < SHORTEST:
        text = f"{path} lasts only {info.duration:.3f} s, less than {SHORTEST} s: remove or replace it."
        yield DataProblem("duration", path, text)
    silent = SILENT_PEAKS.get(group, 0.0)
    enough = np.inf if decode else silent
    peak, start, length = 0.0, 0.0, 1.0  # the first second says it for nearly all files
    while start < info.duration and peak < enough:
        rest = info.duration - start
        samples, _ = audio.read(path, start, None if rest <= length else length)
        peak = max(peak, float(np.abs(samples).max()))
        start, length = start + length, BLOCK_S
    if peak < silent:
        level = f"peaks at {20 * np.log10(peak):.0f} dB re full scale" if peak > 0 else "holds nothing but zeros"
        yield DataProblem("silence", path, f"{path} {level}: remove or replace the silent file.")


# --- between files --------------------------------------------------------------------------------------------------


def _leaks(files: Sequence[File]) -> Iterator[DataProblem]:
    """Files with the same content in two splits: of those alike so far, the next key tells more apart."""

    def middle(file: File) -> bytes:
        with file.path.open("rb") as stream:
            stream.seek(max(0, file.size // 2 - WINDOW // 2))
            return stream.read(WINDOW)

    keys: tuple[tuple[Callable[[File], object], str], ...] = (
        (lambda file: file.size, "Comparing sizes"),
        (middle, "Comparing files"),
        (lambda file: fingerprint(file.path), "Comparing files of one size"),
    )
    alike = [list(files)]
    for key, title in keys:
        suspects = [(number, file) for number, group in enumerate(alike) for file in group]
        values = in_threads(key, [file for _, file in suspects], title)
        groups: dict[object, list[File]] = defaultdict(list)
        for (number, file), value in zip(suspects, values, strict=True):
            groups[number, value].append(file)
        alike = [group for group in groups.values() if len({file.place.split for file in group}) > 1]
    for first, *others in alike:
        names = ", ".join(f"{file.path} ({file.place.split})" for file in others)
        text = f"{first.path} ({first.place.split}) has the same content as {names}: keep it in one split only."
        yield DataProblem("leak", first.path, text)


def _recording_problems(files: Sequence[File], labels: LabelSet) -> Iterator[DataProblem]:
    """Whether each source belongs to a mixture of the same length."""
    for folder in dict.fromkeys(file.place.folder for file in files if file.place.group == TARGETS):
        targets = [file for file in files if file.place.folder == folder]
        whole = folder.with_name(MIXTURES)
        mixtures = {file.path.stem: file for file in files if file.place.folder == whole}
        meanings = meanings_of_targets([target.path for target in targets], mixtures, labels)
        for target, meaning in zip(targets, meanings, strict=True):
            if isinstance(meaning, DataProblem):
                yield meaning
            elif target.info and (mixture := mixtures[meaning.mixture]).info:
                yield from length_problems(target.path, target.info.frames, mixture.path, mixture.info.frames)


def _scene_problems(
    index: Path, layout: Layout, labels: LabelSet, infos: Mapping[Path, audio.AudioInfo]
) -> tuple[int, list[DataProblem]]:
    """How many fixed scenes an index lists, and what is wrong with them."""
    try:
        scenes = read_index(index)
    except UserError as error:
        return 0, [DataProblem("metadata", index, str(error))]
    problems: list[DataProblem] = []
    for path, ref_event in scenes:
        try:
            spec = read_spec(path, ref_event)
        except UserError as error:
            problems.append(DataProblem("metadata", path, str(error)))
            continue
        problems += scene_problems(spec, path, layout.root, layout.sample_rate, layout.channels, labels)
        dirs = spec.dirs
        sounds = [(dirs.foreground, event) for event in spec.foreground]
        sounds += [(dirs.background, event) for event in spec.background]
        sounds += [(str(dirs.interference), event) for event in spec.interference]
        for folder, event in sounds:
            info = infos.get(layout.root / folder / event.source_file)
            start, duration = event.source_time, event.event_duration
            if info and start is not None and int(start * info.rate) + int(duration * info.rate) > info.frames:
                text = (
                    f"{path} plays {event.source_file} up to {start + duration:.2f} s, but it lasts "
                    f"{info.duration:.2f} s: fetch the file or prepare the metadata again."
                )
                problems.append(DataProblem("metadata", path, text))
    return len(scenes), problems
