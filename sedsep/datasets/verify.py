"""Everything that is wrong with a data set, found in one go.

Of every audio file the header is read, and samples from the start until one is loud enough to be no silence, which is
the first second of nearly all; of every room the header. Files of the same size in two splits are compared, first by
4 KiB in their middle and by all their bytes where these agree. With `decode` every sample of every file is read, which
finds damage in the middle of a file and numbers that are not finite.

Threads do it: reading, decoding and hashing let one another run.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import Progress

from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes import audio
from sedsep.scenes.layout import MIXTURES, TARGETS, Layout, recorded_splits
from sedsep.scenes.metadata import read_index, read_spec
from sedsep.scenes.problems import scene_problems
from sedsep.scenes.rooms import Room
from sedsep.types import SceneSpec

T = TypeVar("T")
R = TypeVar("R")

SILENT_PEAKS = {"sound_event": 1e-3, "interference": 1e-3, "noise": 2.0**-23}
"""A file of the group without a larger sample is taken for silence. Sounds are scaled up to their level in the scene,
and at -60 dB re full scale the rounding of 16 bits would be heard; a background may be faint, but not nothing."""

SHORTEST = 0.1
"""A sound shorter than this is no event, seconds; the challenge's own preparation leaves such files out."""

BLOCK_S = 10.0
WINDOW = 4096

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a", ".aif", ".aiff", ".w64", ".sofa")


@dataclass(frozen=True)
class Problem:
    """Something to mend.

    Attributes:
        kind: structure, label, file, duration, silence, metadata or leak.
        path: what it is about. text: one sentence that names it and says what to do.
    """

    kind: str
    path: Path
    text: str


@dataclass
class Content:
    """What a place in the data set holds.

    Attributes:
        split: the split.
        group: sound_event, interference, noise, room_ir, or soundscape and oracle_target of mixtures kept as audio.
        label: of the sounds; `None` for groups without labels.
        files: how many. seconds: of audio in them. size: bytes.
    """

    split: str
    group: str
    label: str | None
    files: int = 0
    seconds: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        root: the data set's root. contents: one entry for each split, group and label. scenes: fixed ones by index.
        problems: everything wrong: places, files, files in two splits, recordings, scenes.
    """

    root: Path
    contents: list[Content] = field(default_factory=list)
    scenes: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    path: Path
    split: str
    group: str
    label: str | None


@dataclass(frozen=True)
class _Findings:
    """What a look at a file gave; `info` is `None` for rooms and for what cannot be read."""

    size: int
    info: audio.AudioInfo | None
    problems: list[Problem]


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
        labels: the classes. sample_rate: of scenes, rooms and recordings, Hz. channels: microphones.
        splits: those needed; the first is for training and must have sounds of every class.
        decode: read every sample of every file.
    """
    try:
        layout = Layout(root, sample_rate, channels)
    except UserError as error:
        return Verdict(Path(root), problems=[Problem("structure", Path(root), str(error))])
    verdict = Verdict(layout.root)
    verdict.problems.extend(_split_problems(layout, splits))
    files = list(_files(layout, labels, splits[0], verdict.problems))
    check = _Check(sample_rate, channels, decode)
    found = dict(zip(files, _at_once(check, files, "Checking files"), strict=True))
    verdict.contents.extend(_contents(found))
    verdict.problems.extend(problem for findings in found.values() for problem in findings.problems)
    # A file that cannot be read is reported as such; it cannot be compared either.
    broken = {problem.path for findings in found.values() for problem in findings.problems if problem.kind == "file"}
    verdict.problems.extend(_leaks({file: found[file].size for file in files if file.path not in broken}))
    infos = {file.path: findings.info for file, findings in found.items() if findings.info}
    verdict.problems.extend(_targets({file: findings.info for file, findings in found.items()}, labels))
    for index in sorted((layout.root / "metadata").glob("*.json")):
        scenes = _Scenes(layout, labels, infos)
        verdict.problems.extend(scenes.check(index))
        verdict.scenes[index.stem] = scenes.count
    return verdict


# --- structure ------------------------------------------------------------------------------------------------------


def _split_problems(layout: Layout, splits: Sequence[str]) -> Iterator[Problem]:
    """Training draws from sounds; evaluation takes fixed scenes or recordings as well."""
    fixed = {path.stem for path in (layout.root / "metadata").glob("*.json")} | set(recorded_splits(layout.root))
    for number, split in enumerate(splits):
        sounds = layout.root / "sound_event" / split
        if split not in layout.split_names and (number == 0 or split not in fixed):
            text = f"{sounds} does not exist: add the split or choose another (data.module.*_split)."
            yield Problem("structure", sounds, text)


def _files(layout: Layout, labels: LabelSet, train_split: str, found: list[Problem]) -> Iterator[_File]:
    """Every file that training and evaluation read; what is wrong with their places goes to `found`."""
    for split in layout.split_names:
        for group in ("sound_event", "interference"):
            folder = layout.root / group / split
            if folder.is_dir():
                yield from _labelled(folder, split, group, found)
        present = {folder.name for folder in _folders(layout.root / "sound_event" / split)}
        found.extend(_label_problems(layout.root / "sound_event" / split, present, labels, split == train_split))
        noise = layout.root / "noise" / split
        if noise.is_dir():
            yield from (_File(path, split, "noise", None) for path in _listed(noise, "wav", found))
        rooms = _listed(layout.root / "room_ir" / split, "sofa", found)
        yield from (_File(path, split, "room_ir", None) for path in rooms)
    for split in recorded_splits(layout.root):
        for group in (MIXTURES, TARGETS):
            folder = layout.root / split / group
            if folder.is_dir():
                yield from (_File(path, split, group, None) for path in _listed(folder, "wav", found))


def _labelled(folder: Path, split: str, group: str, found: list[Problem]) -> Iterator[_File]:
    labels = _folders(folder)
    if not labels:
        text = f"{folder} holds no label folders: add one for each class or fetch the data set again."
        found.append(Problem("structure", folder, text))
    for label in labels:
        yield from (_File(path, split, group, label.name) for path in _listed(label, "wav", found))


def _label_problems(folder: Path, present: set[str], labels: LabelSet, training: bool) -> Iterator[Problem]:
    for name in sorted(present - set(labels)):
        text = f"{folder / name} is no class of the label set: rename or remove it, or choose the set of this data."
        yield Problem("label", folder / name, text)
    for name in labels if training else ():
        if name not in present:
            text = f"{folder / name} does not exist: add sounds of the class {name} or take it out of labels.names."
            yield Problem("label", folder / name, text)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))


def _listed(folder: Path, suffix: str, found: list[Problem]) -> list[Path]:
    """The files that are read from a folder; one that holds none, or some that nobody reads, goes to `found`."""
    visible = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    read = [path for path in visible if path.is_file() and path.suffix == f".{suffix}"]
    if not read:
        text = f"{folder} holds no {suffix} files: add some directly in it or fetch the data set again."
        found.append(Problem("structure", folder, text))
    for path in visible:
        if path.is_symlink() and not path.exists():
            text = f"{path} is a link to {path.readlink()}, which does not exist: fetch the file or remove the link."
            found.append(Problem("structure", path, text))
        elif path.is_dir() and (count := sum(_is_audio(inner) for inner in path.rglob("*"))):
            text = f"{path} holds {count} files that nobody reads: move them to {folder} or remove the folder."
            found.append(Problem("structure", path, text))
        elif path not in read and _is_audio(path):
            text = f"{path} is not read, because only *.{suffix} files are: convert, rename or remove it."
            found.append(Problem("structure", path, text))
    return read


def _is_audio(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in AUDIO_SUFFIXES


# --- files ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Check:
    """Looks at one file; for threads to call."""

    sample_rate: int
    channels: int
    decode: bool

    def __call__(self, file: _File) -> _Findings:
        info, size = None, 0
        found: list[Problem] = []
        try:
            size = file.path.stat().st_size
            if file.group == "room_ir":
                found.extend(self._room(file.path))
            else:
                info = audio.info(file.path)
                found.extend(self._audio(file, info))
        except UserError as error:
            found.append(Problem("file", file.path, str(error)))
        except OSError as error:
            text = f"{file.path} cannot be read ({error.strerror or error}): check its permissions and the disk."
            found.append(Problem("file", file.path, text))
        return _Findings(size, info, found)

    def _audio(self, file: _File, info: audio.AudioInfo) -> Iterator[Problem]:
        path = file.path
        expected = {"noise": self.channels, MIXTURES: self.channels, TARGETS: 1}.get(file.group)
        if expected not in (None, info.channels):
            text = f"{path} has {info.channels} channels, not {expected}: replace it by a recording that has."
            yield Problem("file", path, text)
        if file.group in (MIXTURES, TARGETS) and info.rate != self.sample_rate:
            text = f"{path} is sampled at {info.rate} Hz, not at {self.sample_rate} Hz: resample or fetch it again."
            yield Problem("file", path, text)
        if info.duration < SHORTEST:
            text = f"{path} lasts only {info.duration:.3f} s, less than {SHORTEST} s: remove or replace it."
            yield Problem("duration", path, text)
        silent = SILENT_PEAKS.get(file.group, 0.0)
        peak = _peak(path, info, np.inf if self.decode else silent)
        if peak < silent:
            level = f"peaks at {20 * np.log10(peak):.0f} dB re full scale" if peak > 0 else "holds nothing but zeros"
            yield Problem("silence", path, f"{path} {level}: remove or replace the silent file.")

    def _room(self, path: Path) -> Iterator[Problem]:
        room = Room(path, self.sample_rate, self.channels)
        for index in range(len(room)) if self.decode else ():
            if not room.response(index).any():
                text = f"{path} has a response of nothing but zeros at position {index}: fetch or prepare it again."
                yield Problem("silence", path, text)


def _peak(path: Path, info: audio.AudioInfo, enough: float) -> float:
    """The largest absolute sample, or the first block's that reaches `enough`.

    Raises:
        UserError: the file cannot be decoded or holds NaN or infinite samples.
    """
    peak, start = 0.0, 0.0
    length = 1.0  # the first second says it for nearly all files
    while start < info.duration and peak < enough:
        rest = info.duration - start
        samples, _ = audio.read(path, start, None if rest <= length else length)
        peak = max(peak, float(np.abs(samples).max()))
        start, length = start + length, BLOCK_S
    return peak


def _contents(found: Mapping[_File, _Findings]) -> list[Content]:
    contents: dict[tuple[str, str, str | None], Content] = {}
    for file, findings in found.items():
        key = (file.split, file.group, file.label)
        content = contents.setdefault(key, Content(*key))
        content.files += 1
        content.size += findings.size
        content.seconds += findings.info.duration if findings.info else 0.0
    return list(contents.values())


# --- between files --------------------------------------------------------------------------------------------------


def _leaks(sizes: Mapping[_File, int]) -> Iterator[Problem]:
    """Files with the same content in two splits."""
    keys: dict[_File, object] = dict(sizes)
    for part, title in ((_middle, "Comparing files"), (_all, "Comparing files of one size")):
        suspects = [file for group in _shared(keys) for file in group]
        keys = {
            file: (keys[file], value) for file, value in zip(suspects, _at_once(part, suspects, title), strict=True)
        }
    for first, *others in _shared(keys):
        names = ", ".join(f"{file.path} ({file.split})" for file in others)
        text = f"{first.path} ({first.split}) has the same content as {names}: keep it in one split only."
        yield Problem("leak", first.path, text)


def _shared(keys: Mapping[_File, object]) -> list[list[_File]]:
    """Groups of files that have the same key and belong to more than one split."""
    groups: dict[object, list[_File]] = defaultdict(list)
    for file, key in keys.items():
        groups[key].append(file)
    return [group for group in groups.values() if len({file.split for file in group}) > 1]


def _middle(file: _File) -> bytes:
    with file.path.open("rb") as stream:
        stream.seek(max(0, file.path.stat().st_size // 2 - WINDOW // 2))
        return stream.read(WINDOW)


def _all(file: _File) -> bytes:
    with file.path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _targets(infos: Mapping[_File, audio.AudioInfo | None], labels: LabelSet) -> Iterator[Problem]:
    """Whether each `<name>_<Label>.wav` belongs to a mixture `<name>.wav` of the same length."""
    mixtures = {file.path: info for file, info in infos.items() if file.group == MIXTURES}
    for file, info in infos.items():
        if file.group != TARGETS:
            continue
        path = file.path
        name, _, label = path.stem.rpartition("_")
        mixture = path.parent.parent / MIXTURES / f"{name}.wav"
        if label not in labels:
            yield Problem("label", path, f"{path} names no class of the label set after its last '_': rename it.")
        if mixture not in mixtures:
            yield Problem("structure", path, f"{path} belongs to {mixture}, which does not exist: fetch or rename it.")
        elif info and (whole := mixtures[mixture]) and whole.frames != info.frames:
            text = f"{path} has {info.frames} samples, {mixture.name} {whole.frames}: fetch both again."
            yield Problem("duration", path, text)


# --- scenes ---------------------------------------------------------------------------------------------------------


class _Scenes:
    """Checks the fixed scenes of an index.

    Attributes:
        count: scenes it lists.
    """

    def __init__(self, layout: Layout, labels: LabelSet, infos: Mapping[Path, audio.AudioInfo]) -> None:
        self.layout, self.labels, self.infos = layout, labels, infos
        self.count = 0

    def check(self, index: Path) -> Iterator[Problem]:
        try:
            scenes = read_index(index)
        except UserError as error:
            yield Problem("metadata", index, str(error))
            return
        self.count = len(scenes)
        for path, ref_event in scenes:
            try:
                spec = read_spec(path, ref_event)
            except UserError as error:
                yield Problem("metadata", path, str(error))
                continue
            layout = self.layout
            for problem in scene_problems(spec, path, layout.root, layout.sample_rate, layout.channels, self.labels):
                yield Problem(problem.kind, problem.path, problem.text)
            yield from (Problem("metadata", path, sentence) for sentence in self._more(spec, path))

    def _more(self, spec: SceneSpec, path: Path) -> Iterator[str]:
        groups = [(spec.dirs.foreground, spec.foreground), (spec.dirs.background, spec.background)]
        if spec.dirs.interference is not None:
            groups.append((spec.dirs.interference, spec.interference))
        for folder, events in groups:
            for event in events:
                info = self.infos.get(self.layout.root / folder / event.source_file)
                if info is None or event.source_time is None:
                    continue
                end = event.source_time + event.event_duration
                if int(event.source_time * info.rate) + int(event.event_duration * info.rate) > info.frames:
                    yield (
                        f"{path} plays {event.source_file} up to {end:.2f} s, but it lasts {info.duration:.2f} s: "
                        "fetch the file or prepare the metadata again."
                    )


def _at_once(function: Callable[[T], R], items: Sequence[T], title: str) -> Iterator[R]:
    """`function` of each item in order, in threads, with a progress bar on a terminal."""
    console = Console(stderr=True)
    with (
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
        ThreadPoolExecutor() as pool,
    ):
        yield from progress.track(pool.map(function, items), total=len(items), description=title)
