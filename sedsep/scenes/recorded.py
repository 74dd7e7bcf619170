"""Scenes that come as recordings, with the dry source of each event: the challenge's test and evaluation sets.

Axes: M microphones, K slots, L samples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sedsep.fingerprint import fingerprint
from sedsep.labels import SILENCE, LabelSet
from sedsep.scenes import audio
from sedsep.scenes.layout import MIXTURES, TARGETS, Place
from sedsep.scenes.naming import Meaning, Problem, form_of, meaning_of
from sedsep.scenes.problems import DataProblem, raise_first
from sedsep.types import FloatArray, Scene


def meanings_of_targets(
    targets: Sequence[Path], mixtures: Collection[str], labels: LabelSet
) -> Iterator[Meaning | DataProblem]:
    """Whose source each target is, `<name>_<Label>.wav` or `<name>_<i>_<Label>.wav`, or why that cannot be told.

    Args:
        targets: all files of a folder.
        mixtures: names of all.
        labels: the classes.
    """
    form = form_of([target.name for target in targets], mixtures, labels)
    for target in targets:
        found = meaning_of(target.name, mixtures, labels, form)
        yield found if isinstance(found, Meaning) else _without_meaning(target, found)


def _without_meaning(target: Path, found: Problem) -> DataProblem:
    if found.kind == "stray":
        text = f"{target} belongs to a mixture which does not exist in {MIXTURES}: fetch or rename it."
        return DataProblem("structure", target, text)
    what = found.text if found.kind == "ambiguous" else "names no class of the label set after its mixture"
    return DataProblem("label", target, f"{target} {what}: rename it.")


def length_problems(target: Path, frames: int, mixture: Path, mixture_frames: int) -> Iterator[DataProblem]:
    """That a target is not as long as its mixture."""
    if frames != mixture_frames:
        text = f"{target} has {frames} samples, {mixture.name} {mixture_frames}: fetch both again."
        yield DataProblem("duration", target, text)


class RecordedScenes(Dataset[Scene]):
    """The recordings of a split with their sources, in the order of their names.

    Every scene has as many slots as the fullest one has sources: these by number, or else by class, then silence.

    Args:
        folder: of the split.
        labels: the classes.
        sample_rate: of all files, Hz.
        channels: microphones.

    Raises:
        UserError: no mixtures or no sources, or a source that is of no mixture or no class, or could be of two.
    """

    def __init__(self, folder: Path, labels: LabelSet, sample_rate: int, channels: int) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        places = [Place(folder / group, folder.name, group) for group in (MIXTURES, TARGETS)]
        for place in places:
            raise_first(place.problems())
        self.mixtures, sources = (place.files for place in places)
        self.targets: dict[str, list[tuple[str, Path]]] = {path.stem: [] for path in self.mixtures}
        found = list(zip(meanings_of_targets(sources, self.targets, labels), sources, strict=True))
        raise_first(problem for problem, _ in found if isinstance(problem, DataProblem))
        meanings = [(meaning, path) for meaning, path in found if isinstance(meaning, Meaning)]
        for meaning, path in sorted(meanings, key=lambda pair: (pair[0].number or 0, pair[0].label)):
            self.targets[meaning.mixture].append((meaning.label, path))
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
        targets = np.zeros((self.slots, mixture.shape[1]), dtype=np.float32)
        spans = [(0, 0)] * self.slots
        sources = self.targets[path.stem]
        for slot, (_, source) in enumerate(sources):
            target = self._read(source, 1)[0]
            raise_first(length_problems(source, len(target), path, mixture.shape[1]))
            targets[slot] = target
            sounding = np.flatnonzero(target)
            if len(sounding):
                spans[slot] = (int(sounding[0]), int(sounding[-1]) + 1)
        labels = [label for label, _ in sources] + [SILENCE] * (self.slots - len(sources))
        return Scene(mixture, targets, tuple(labels), tuple(spans), path.stem)

    def fingerprint(self) -> str:
        """16 hex digits that change with the names and sizes of the files."""
        files = [*self.mixtures, *(path for targets in self.targets.values() for _, path in targets)]
        return fingerprint([[path.name, path.stat().st_size] for path in files])[:16]

    def _read(self, path: Path, channels: int) -> FloatArray:
        """Float32 [channels, L]."""
        samples, rate = audio.read(path)
        info = audio.AudioInfo(len(samples), samples.shape[1], rate)
        raise_first(audio.format_problems(path, info, channels, self.sample_rate))
        return np.ascontiguousarray(samples.T)
