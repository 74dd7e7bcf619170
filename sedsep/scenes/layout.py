"""The challenge's folders on disk, indexed once.

<root>/sound_event/<split>/<Label>/**/*.wav        the sounds to separate
<root>/interference/<split>/<Label>/**/*.wav       sounds nobody asks for (optional)
<root>/noise/<split>/**/*.wav                      background, one channel a microphone (optional)
<root>/room_ir/<split>/*.sofa                      room impulse responses
<root>/metadata/<split>.json                       fixed scenes (optional)
<root>/<split>/soundscape/<name>.wav               recorded scenes (optional; in <root>/synthesized/<split> as well)
<root>/<split>/oracle_target/<name>_<Label>.wav    the dry source of each of their events (or <name>_<i>_<Label>.wav)
<root>/labels.json                                 the classes in order (optional)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sedsep.errors import UserError
from sedsep.files import read_json
from sedsep.fingerprint import fingerprint
from sedsep.labels import LabelSet, class_name
from sedsep.scenes import audio
from sedsep.scenes.problems import DataProblem, raise_first
from sedsep.scenes.rooms import open_room
from sedsep.types import SceneDirs

EVENTS, INTERFERENCE, NOISE, ROOMS = "sound_event", "interference", "noise", "room_ir"
MIXTURES, TARGETS = "soundscape", "oracle_target"
SYNTHESIZED = "synthesized"
"""Holds the recordings in 2026."""

WINDOW = 4096
"""Bytes that a fingerprint takes from the head, the middle and the tail of each audio file and room."""


@dataclass(frozen=True)
class Place:
    """A folder of a split whose files are read.

    Attributes:
        folder: the folder; that of the rooms may be missing.
        split: the split.
        group: `sound_event`, `interference`, `noise`, `room_ir`, `soundscape` or `oracle_target`.
        label: of the sounds; `None` for groups without labels, and for a group that lacks its label folders.
    """

    folder: Path
    split: str
    group: str
    label: str | None = None

    @property
    def suffix(self) -> str:
        """Of the files that are read."""
        return "sofa" if self.group == ROOMS else "wav"

    @property
    def is_deep(self) -> bool:
        """Whether files in sub-folders are read as well, which hold recordings of one object, speaker or place."""
        return self.group in (EVENTS, INTERFERENCE, NOISE)

    @cached_property
    def files(self) -> list[Path]:
        """Those that are read, sorted."""
        if self.lacks_labels:
            return []
        return [path for path in self.entries() if path.suffix == f".{self.suffix}" and path.is_file()]

    def entries(self) -> list[Path]:
        """All that is not hidden where its files are looked for, sorted."""
        entries = self.folder.glob("**/*" if self.is_deep else "*")
        return sorted(
            path for path in entries if not any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        )

    def problems(self) -> Iterator[DataProblem]:
        """That there is nothing to read."""
        if not self.files:
            files = f"{self.suffix} files: add some in it"
            what = "label folders: add one for each class" if self.lacks_labels else files
            yield DataProblem("structure", self.folder, f"{self.folder} holds no {what} or fetch the data set again.")

    @property
    def lacks_labels(self) -> bool:
        """Whether it stands for a group whose files lie in label folders, and there are none."""
        return self.group in (EVENTS, INTERFERENCE) and self.label is None


def places(root: Path, split: str) -> Iterator[Place]:
    """Where the files of a split lie: its sounds by label, background and rooms, then its recordings."""
    for group in (EVENTS, INTERFERENCE):
        if (folder := root / group / split).is_dir():
            labels = _folders(folder)
            yield from (Place(label, split, group, label.name) for label in labels)
            if not labels:
                yield Place(folder, split, group)
    if (root / NOISE / split).is_dir():
        yield Place(root / NOISE / split, split, NOISE)
    if (root / EVENTS / split).is_dir():
        yield Place(root / ROOMS / split, split, ROOMS)
    if recordings := recorded_splits(root).get(split):
        groups = (recordings / MIXTURES, recordings / TARGETS)
        yield from (Place(folder, split, folder.name) for folder in groups if folder.is_dir())


def recorded_splits(root: Path) -> dict[str, Path]:
    """The splits of a data set that come as recordings, and where each lies; one that lies in two places is read from
    the root's."""
    folders = [folder for top in (root / SYNTHESIZED, root) for folder in sorted(top.glob(f"*/{MIXTURES}"))]
    return {folder.parent.name: folder.parent for folder in folders if folder.is_dir()}


@dataclass(frozen=True)
class Split:
    """The files of one split; every list is sorted, every header has been read and checked.

    Attributes:
        name: the split.
        sample_rate: of the scenes, Hz.
        channels: microphones.
        dirs: the split's folders relative to the root; `dirs.interference` is `None` where that folder is absent.
        events: files of each label.
        interference: the same, empty where there is none.
        noise: background files, empty where the folder is absent.
        rooms: SOFA files.
        infos: the header of each audio file.
        names: of each audio file in its group's folder, as scenes give it: `Label/recording/a.wav`.
    """

    name: str
    sample_rate: int
    channels: int
    dirs: SceneDirs
    events: dict[str, list[Path]]
    interference: dict[str, list[Path]]
    noise: list[Path]
    rooms: list[Path]
    infos: dict[Path, audio.AudioInfo] = field(repr=False)
    names: dict[Path, str] = field(repr=False)

    def duration(self, path: Path) -> float:
        """Length of one of the split's audio files, seconds."""
        return self.infos[path].duration


class Layout:
    """A data set in the challenge's layout.

    Args:
        root: the folder that holds `sound_event`, or one that holds it in `dev_set`.
        sample_rate: of the scenes, Hz; files may have other rates.
        channels: microphones of the rooms and the background.

    Raises:
        UserError: the root is missing, empty, or laid out in another way.
    """

    def __init__(self, root: Path, sample_rate: int, channels: int) -> None:
        root = Path(root)
        if not root.is_dir():
            raise UserError(f"The data set's root {root} does not exist: set it to the folder that holds sound_event.")
        roots = [folder for folder in (root, root / "dev_set") if (folder / EVENTS).is_dir()]
        if not roots:
            what = "does not hold the folder sound_event" if any(root.iterdir()) else "is empty"
            raise UserError(f"The data set's root {root} {what}: point it at a data set in the challenge's layout.")
        self.root = roots[0]
        self.sample_rate = sample_rate
        self.channels = channels
        self._splits: dict[str, Split] = {}
        if not self.split_names:
            raise UserError(f"{self.root / EVENTS} holds no splits: add a folder for each, such as train.")

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that have sound events."""
        return tuple(folder.name for folder in _folders(self.root / EVENTS))

    def split(self, name: str) -> Split:
        """Index a split, once.

        Raises:
            UserError: there is no such split, one of its folders is empty, a header cannot be read, or a background
                file or a room does not fit the rate and the channels.
        """
        if name in self._splits:
            return self._splits[name]
        if name not in self.split_names:
            present = ", ".join(self.split_names)
            raise UserError(f"{self.root} has no split '{name}': choose one of those present ({present}).")
        labelled: dict[str, dict[str, list[Path]]] = {EVENTS: {}, INTERFERENCE: {}}
        files: dict[str, list[Path]] = {NOISE: [], ROOMS: []}
        names: dict[Path, str] = {}
        for place in places(self.root, name):
            if place.group in (MIXTURES, TARGETS):
                continue
            raise_first(place.problems())
            group = place.folder if place.label is None else place.folder.parent
            names |= {path: path.relative_to(group).as_posix() for path in place.files}
            if place.label is not None:
                labelled[place.group][place.label] = place.files
            else:
                files[place.group] = place.files
        sounds = [path for group in labelled.values() for paths in group.values() for path in paths]
        infos = {path: audio.info(path) for path in (*sounds, *files[NOISE])}
        for path in files[NOISE]:
            raise_first(audio.format_problems(path, infos[path], self.channels))
        for path in files[ROOMS]:
            open_room(path, self.sample_rate, self.channels)
        dirs = SceneDirs(
            foreground=f"{EVENTS}/{name}",
            background=f"{NOISE}/{name}",
            rooms=f"{ROOMS}/{name}",
            interference=f"{INTERFERENCE}/{name}" if labelled[INTERFERENCE] else None,
        )
        self._splits[name] = Split(
            name, self.sample_rate, self.channels, dirs,
            labelled[EVENTS], labelled[INTERFERENCE], files[NOISE], files[ROOMS], infos, names,
        )  # fmt: skip
        return self._splits[name]

    def labels(self) -> LabelSet:
        """The classes: those in `labels.json` in its order, else the sorted label folders of all splits.

        Raises:
            UserError: `labels.json` is not a list of names, a name cannot be one, or there is no label folder.
        """
        path = self.root / "labels.json"
        if os.path.lexists(path):
            names = read_json(path, list[str], 'write it as ["First", "Second"]')
        else:
            path = self.root / EVENTS
            names = sorted({folder.name for folder in self._label_folders()})
        try:
            return LabelSet(tuple(names))
        except UserError as error:
            raise UserError(f"{path} gives no classes. {error}") from error

    def label_problems(self, labels: LabelSet) -> Iterator[DataProblem]:
        """The label folders of the sound events, in any split, that are no class of `labels`, and those of the
        interference whose names cannot be labels."""
        for folder in self._label_folders():
            if folder.name not in labels:
                text = (
                    f"{folder} is not among the {len(labels)} classes of the label set: choose the label set of this "
                    "data set or move the folder away."
                )
                yield DataProblem("label", folder, text)
        for folder in self._label_folders(INTERFERENCE):
            try:
                class_name(folder.name)
            except ValueError as error:
                yield DataProblem("label", folder, f"{folder} cannot be used, for {error}: rename it.")

    def check(self, labels: LabelSet) -> None:
        """Raise a `UserError` unless every label folder of the sound events is a class of `labels`."""
        raise_first(self.label_problems(labels))

    def fingerprint(self, split: str) -> str:
        """16 hex digits that change with the split's content and stay when it is copied or touched.

        Covers the relative path and size of every file of the split, the bytes at its head, middle and tail, and all
        of `labels.json`, the split's index and its scenes. Not the modification times, and not what lies between the
        windows of a large file.
        """
        index, metadata = self.split(split), self.root / "metadata"
        parts: list[object] = []
        for path in sorted([*index.infos, *index.rooms]):
            size = path.stat().st_size
            parts += [path.relative_to(self.root).as_posix(), size]
            with path.open("rb") as file:
                for start in sorted({0, max(0, size // 2 - WINDOW // 2), max(0, size - WINDOW)}):
                    file.seek(start)
                    parts.append(file.read(WINDOW))
        for path in (self.root / "labels.json", metadata / f"{split}.json", *sorted((metadata / split).glob("*.json"))):
            if path.is_file():
                parts += [path.relative_to(self.root).as_posix(), path]
        return fingerprint(*parts)[:16]

    def _label_folders(self, group: str = EVENTS) -> list[Path]:
        splits = [self.root / group / split for split in self.split_names]
        return [label for split in splits if split.is_dir() for label in _folders(split)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
