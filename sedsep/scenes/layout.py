"""The challenge's folders on disk, indexed once.

<root>/sound_event/<split>/<Label>/*.wav      the sounds to separate
<root>/interference/<split>/<Label>/*.wav     sounds nobody asks for (optional)
<root>/noise/<split>/*.wav                    background, one channel a microphone (optional)
<root>/room_ir/<split>/*.sofa                 room impulse responses
<root>/metadata/<split>.json                  fixed scenes (optional)
<root>/labels.json                            the classes in order (optional)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.scenes import audio
from sedsep.scenes.rooms import open_room
from sedsep.types import SceneDirs

WINDOW = 4096
"""Bytes hashed at the head, the middle and the tail of each file of a fingerprint."""


@dataclass(frozen=True)
class Split:
    """The files of one split; every list is sorted, every header has been read and checked.

    Attributes:
        name: the split. root: the data set's root. sample_rate: of the scenes, Hz. channels: microphones.
        dirs: the split's folders relative to `root`; `dirs.interference` is `None` where that folder is absent.
        events: files of each label. interference: the same, empty where there is none.
        noise: background files, empty where the folder is absent. rooms: SOFA files.
        infos: the header of each audio file.
    """

    name: str
    root: Path
    sample_rate: int
    channels: int
    dirs: SceneDirs
    events: dict[str, list[Path]]
    interference: dict[str, list[Path]]
    noise: list[Path]
    rooms: list[Path]
    infos: dict[Path, audio.AudioInfo] = field(repr=False)

    def duration(self, path: Path) -> float:
        """Length of one of the split's audio files, seconds."""
        return self.infos[path].duration


class Layout:
    """A data set in the challenge's layout.

    Args:
        root: the folder that holds `sound_event`, or one that holds it in `dev_set`.
        sample_rate: of the scenes, Hz; audio files may have other rates, rooms may not.
        channels: microphones of the rooms and the background.

    Raises:
        UserError: the root is missing, empty, or laid out in another way.
    """

    def __init__(self, root: Path, sample_rate: int, channels: int) -> None:
        self.root = _find_root(Path(root))
        self.sample_rate = sample_rate
        self.channels = channels
        self._splits: dict[str, Split] = {}
        if not self.split_names:
            raise UserError(f"{self.root / 'sound_event'} holds no splits: add a folder for each, such as train.")

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that have sound events."""
        return tuple(folder.name for folder in _folders(self.root / "sound_event"))

    def split(self, name: str) -> Split:
        """Index a split, once.

        Raises:
            UserError: there is no such split, one of its folders is empty, a header cannot be read, or a background
                file or a room does not fit the rate and the channels.
        """
        if name not in self._splits:
            if name not in self.split_names:
                present = ", ".join(self.split_names) or "none"
                raise UserError(f"{self.root} has no split '{name}': choose one of those present ({present}).")
            self._splits[name] = self._index(name)
        return self._splits[name]

    def labels(self) -> LabelSet:
        """The classes: those in `labels.json` in its order, else the sorted label folders of all splits.

        Raises:
            UserError: `labels.json` is not a list of names, or there is no label folder.
        """
        path = self.root / "labels.json"
        if not path.is_file():
            return LabelSet(tuple(sorted(self._label_folders())))
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f'{path} is not a JSON list of class names: write it as ["First", "Second"].')
        return LabelSet(tuple(names))

    def check(self, labels: LabelSet) -> None:
        """Raise a `UserError` unless every label folder of the sound events is a class of `labels`."""
        for label, folder in self._label_folders().items():
            if label not in labels:
                raise UserError(
                    f"{folder} is not among the {len(labels)} classes of the label set: choose the label set of this "
                    "data set or move the folder away."
                )

    def fingerprint(self, split: str) -> str:
        """16 hex digits that change with the split's content and stay when it is copied or touched.

        Covers the relative path and size of every file of the split, the bytes at its head, middle and tail, and all
        of `labels.json`, the split's index and its scenes. Not the modification times, and not what lies between the
        windows of a large file.
        """
        index = self.split(split)
        files = [*index.infos, *index.rooms]
        metadata = self.root / "metadata"
        texts = [self.root / "labels.json", metadata / f"{split}.json", *sorted((metadata / split).glob("*.json"))]
        digest = hashlib.sha256()
        for path in sorted(files):
            _hash(digest, path, self.root, path.stat().st_size, _windows(path))
        for path in texts:
            if path.is_file():
                content = path.read_bytes()
                _hash(digest, path, self.root, len(content), content)
        return digest.hexdigest()[:16]

    def _label_folders(self) -> dict[str, Path]:
        return {
            label.name: label for split in self.split_names for label in _folders(self._folder("sound_event", split))
        }

    def _folder(self, group: str, split: str) -> Path:
        return self.root / group / split

    def _index(self, name: str) -> Split:
        events = _labelled(self._folder("sound_event", name))
        interference_folder = self._folder("interference", name)
        interference = _labelled(interference_folder) if interference_folder.is_dir() else {}
        noise_folder = self._folder("noise", name)
        noise = _files(noise_folder, "wav") if noise_folder.is_dir() else []
        rooms = _files(self._folder("room_ir", name), "sofa")
        sounds = [path for group in (events, interference) for files in group.values() for path in files]
        infos = {path: audio.info(path) for path in (*sounds, *noise)}
        for path in noise:
            if infos[path].channels != self.channels:
                raise UserError(
                    f"The background {path} has {infos[path].channels} channels, not {self.channels}: "
                    "use a recording with one channel for each microphone."
                )
        for path in rooms:
            open_room(path, self.sample_rate, self.channels)
        dirs = SceneDirs(
            foreground=f"sound_event/{name}",
            background=f"noise/{name}",
            rooms=f"room_ir/{name}",
            interference=f"interference/{name}" if interference else None,
        )
        return Split(name, self.root, self.sample_rate, self.channels, dirs, events, interference, noise, rooms, infos)


def _find_root(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"The data set's root {root} does not exist: set it to the folder that holds sound_event.")
    for candidate in (root, root / "dev_set"):
        if (candidate / "sound_event").is_dir():
            return candidate
    what = "does not hold the folder sound_event" if any(root.iterdir()) else "is empty"
    raise UserError(f"The data set's root {root} {what}: point it at a data set in the challenge's layout.")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path, suffix: str) -> list[Path]:
    found = sorted(path for path in folder.glob(f"*.{suffix}") if not path.name.startswith(".") and path.is_file())
    if not found:
        raise UserError(f"{folder} holds no {suffix} files: add some directly in it or fetch the data set again.")
    return found


def _labelled(folder: Path) -> dict[str, list[Path]]:
    labels = _folders(folder)
    if not labels:
        raise UserError(f"{folder} holds no label folders: add one for each class or fetch the data set again.")
    return {label.name: _files(label, "wav") for label in labels}


def _windows(path: Path) -> Iterable[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in sorted({0, max(0, size // 2 - WINDOW // 2), max(0, size - WINDOW)}):
            file.seek(start)
            yield file.read(WINDOW)


def _hash(digest: hashlib._Hash, path: Path, root: Path, size: int, content: Iterable[bytes] | bytes) -> None:
    digest.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode())
    for part in [content] if isinstance(content, bytes) else content:
        digest.update(part)
