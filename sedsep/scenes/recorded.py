"""Scenes that come as recordings: the challenge's test and evaluation sets.

<root>/<split>/soundscape/<name>.wav               mixtures, one channel a microphone
<root>/<split>/oracle_target/<name>_<Label>.wav    the dry source of each event

Axes: M microphones, K slots, L samples.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sedsep.errors import UserError
from sedsep.labels import SILENCE, LabelSet
from sedsep.scenes import audio
from sedsep.types import FloatArray, Scene

MIXTURES = "soundscape"
TARGETS = "oracle_target"


def recorded_splits(root: Path) -> tuple[str, ...]:
    """The splits of a data set that come as recordings."""
    return tuple(sorted(folder.parent.name for folder in root.glob(f"*/{MIXTURES}") if folder.is_dir()))


def mixtures(folder: Path) -> list[Path]:
    """The mixtures of a split, sorted by name.

    Raises:
        UserError: there are none.
    """
    return _wavs(folder / MIXTURES)


class RecordedScenes(Dataset[Scene]):
    """The recordings of a split with their sources, in the order of their names.

    Every scene has as many slots as the fullest one has sources: these sorted by class, then silence.

    Args:
        folder: of the split. labels: the classes. sample_rate: of all files, Hz. channels: microphones.

    Raises:
        UserError: no mixtures or no sources, or a source that is of no mixture or no class.
    """

    def __init__(self, folder: Path, labels: LabelSet, sample_rate: int, channels: int) -> None:
        self.folder = Path(folder)
        self.sample_rate = sample_rate
        self.channels = channels
        self.mixtures = mixtures(self.folder)
        self.targets: dict[str, dict[str, Path]] = {path.stem: {} for path in self.mixtures}
        for path in _wavs(self.folder / TARGETS):
            name, _, label = path.stem.rpartition("_")
            if name not in self.targets or label not in labels:
                raise UserError(
                    f"{path} is the source of no mixture in {self.folder / MIXTURES} or of no class: expected a "
                    "mixture's name, an underscore and a class."
                )
            self.targets[name][label] = path
        self.slots = max(map(len, self.targets.values()))

    @property
    def names(self) -> list[str]:
        """Of the scenes."""
        return [path.stem for path in self.mixtures]

    def __len__(self) -> int:
        return len(self.mixtures)

    def __getitem__(self, item: int) -> Scene:
        """Read a scene; an event lasts from the first to the last sample of its source that is not zero.

        Raises:
            UserError: a file is damaged, or does not fit the rate, the channels or the mixture's length.
        """
        path = self.mixtures[item]
        mixture = self._read(path, self.channels)
        sources = sorted(self.targets[path.stem].items())
        targets = np.zeros((self.slots, mixture.shape[1]), dtype=np.float32)
        for row, (_, source) in enumerate(sources):
            target = self._read(source, 1)[0]
            if len(target) != mixture.shape[1]:
                raise UserError(
                    f"{source} has {len(target)} samples, but its mixture {mixture.shape[1]}: fetch the data set again."
                )
            targets[row] = target
        labels = [label for label, _ in sources] + [SILENCE] * (self.slots - len(sources))
        return Scene(mixture, targets, tuple(labels), tuple(map(_span, targets)), path.stem)

    def fingerprint(self) -> str:
        """16 hex digits that change with the names and sizes of the files."""
        digest = hashlib.sha256()
        for path in (*self.mixtures, *(path for targets in self.targets.values() for path in targets.values())):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        return digest.hexdigest()[:16]

    def _read(self, path: Path, channels: int) -> FloatArray:
        """Float32 [channels, L]."""
        samples, rate = audio.read(path)
        if rate != self.sample_rate or samples.shape[1] != channels:
            raise UserError(
                f"{path} has {samples.shape[1]} channels at {rate} Hz, not {channels} at {self.sample_rate} Hz: set "
                "the sample rate and the microphones of the data set."
            )
        return np.ascontiguousarray(samples.T)


def _wavs(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.wav"))
    if not found:
        raise UserError(f"{folder} holds no wav files: the scenes of this split cannot be scored without them.")
    return found


def _span(target: FloatArray) -> tuple[int, int]:
    sounding = np.flatnonzero(target)
    return (int(sounding[0]), int(sounding[-1]) + 1) if len(sounding) else (0, 0)
