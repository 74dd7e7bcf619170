"""A whole data set out of nothing: synthetic events in simulated rooms, laid out as the challenge lays out its own.

It lets every command run before anything is downloaded, and stays small enough for a laptop. Each file is a function of
the seed and its own name, so that neither the order of writing nor the number of workers shows in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from sedsep.console import in_threads
from sedsep.datasets import synthesis
from sedsep.errors import UserError, reason
from sedsep.files import read_json, sole_writer, write_json
from sedsep.fingerprint import fingerprint
from sedsep.labels import LabelSet
from sedsep.scenes import acoustics, audio, metadata, rooms
from sedsep.scenes.layout import Layout
from sedsep.scenes.sampling import EDITIONS, SceneSampler
from sedsep.types import FloatArray

GENERATOR_VERSION = 2
"""Raise it whenever the same parameters would give other files: sets in a cache are then made anew."""

SPLITS = ("train", "valid", "test")
MANIFEST = "dataset.json"
WORKERS = 2
"""Threads. Most of the time goes into numpy, scipy and pyroomacoustics, which let one another run."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """What the manifest of a set says.

    Attributes:
        parameters: of its recipe.
        files: by their paths in the set.
        content: the fingerprint of them all.
    """

    parameters: dict[str, Any]
    files: list[str]
    content: str


@dataclass
class Recipe:
    """What determines a synthetic data set.

    Attributes:
        labels: the target classes, among `synthesis.EVENTS`, in the order of their one-hot entries.
        seed: another seed, other sounds, rooms and scenes.
        sample_rate: of everything, Hz.
        scenes_per_split: fixed scenes for splits other than train, whose scenes are drawn on the fly.
        files_per_class: sounds of each target and interference class, for each split.
        rooms: rooms of each split.
        positions: source positions in each room.
        noises_per_room: background files of each room.
        scene_seconds: duration of a scene.
        noise_seconds: of a background file.
        event_seconds: shortest and longest sound.
        response_seconds: length of a room impulse response.
        slots: most target events in a scene.
        edition: the year of the challenge that fixed scenes are drawn like.

    Raises:
        UserError: a class that cannot be synthesised, or a number that makes no data set.
    """

    labels: tuple[str, ...]
    seed: int = 0
    sample_rate: int = 32000
    scenes_per_split: Mapping[str, int] = field(default_factory=lambda: {"valid": 24, "test": 24})
    files_per_class: Mapping[str, int] = field(default_factory=lambda: {"train": 10, "valid": 3, "test": 4})
    rooms: Mapping[str, int] = field(default_factory=lambda: {"train": 5, "valid": 2, "test": 2})
    positions: int = 12
    noises_per_room: int = 2
    scene_seconds: float = 10.0
    noise_seconds: float = 12.0
    event_seconds: tuple[float, float] = (1.0, 3.2)
    response_seconds: float = 0.25
    slots: int = 3
    edition: int = 2025

    def __post_init__(self) -> None:
        # Plain containers, whatever a configuration library handed over: they end up in JSON.
        self.labels = tuple(self.labels)
        low, high = self.event_seconds = (float(self.event_seconds[0]), float(self.event_seconds[1]))
        for name in ("scenes_per_split", "files_per_class", "rooms"):
            setattr(self, name, {split: int(count) for split, count in getattr(self, name).items()})
        LabelSet(self.labels)
        if unknown := [label for label in self.labels if label not in synthesis.EVENTS]:
            raise UserError(
                f"The class {unknown[0]} cannot be synthesised: choose among {', '.join(synthesis.EVENTS)}, "
                "or use a data set of recordings."
            )
        for name in ("files_per_class", "rooms"):
            counts = getattr(self, name)
            if sorted(counts) != sorted(SPLITS) or min(counts.values()) < 1:
                raise UserError(f"{name}={counts} must give at least 1 for each of the splits {', '.join(SPLITS)}.")
        if set(self.scenes_per_split) - set(SPLITS[1:]) or min(self.scenes_per_split.values(), default=1) < 1:
            raise UserError(f"scenes_per_split={self.scenes_per_split} must give at least 1 for valid, test or both.")
        for name in ("positions", "noises_per_room", "slots"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.seed < 0:
            raise UserError(f"seed={self.seed} must not be negative.")
        if self.sample_rate < 8000:
            raise UserError(
                f"sample_rate={self.sample_rate} is too low to tell the classes apart: use 8000 Hz or more."
            )
        if not 0.5 <= low <= high <= self.scene_seconds <= self.noise_seconds:
            raise UserError(
                f"event_seconds=[{low:g}, {high:g}], scene_seconds={self.scene_seconds:g} and "
                f"noise_seconds={self.noise_seconds:g} must rise in this order, from 0.5 s at least."
            )
        if not 0.05 <= self.response_seconds <= 1.0:
            raise UserError(f"response_seconds={self.response_seconds:g} must lie between 0.05 and 1.")

    @property
    def parameters(self) -> dict[str, Any]:
        """As JSON holds them, with the generator's version."""
        return {"generator_version": GENERATOR_VERSION, **json.loads(json.dumps(asdict(self)))}

    @property
    def digest(self) -> str:
        """8 hex digits that change with any parameter and with the generator's version; sets in caches are named so."""
        return hashlib.sha256(json.dumps(self.parameters, sort_keys=True).encode()).hexdigest()[:8]

    def rng(self, name: str) -> np.random.Generator:
        """The generator that belongs to the file or purpose `name`, and to nothing else."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=tuple(name.encode())))


def ensure_synthetic(cache_dir: Path | str, labels: Iterable[str], **options: Any) -> Path:
    """The synthetic data set with these parameters, in the challenge's layout with the splits train, valid and test;
    made in `cache_dir` unless it is there already, and whole.

    The folder appears under its name only when complete. Several processes may ask for it at once: one writes, the
    others wait.

    Args:
        cache_dir: holds one folder for each set of parameters; is created.
        labels: the target classes in the order of their one-hot entries.
        options: the other attributes of `Recipe`.

    Returns:
        The data set's root.

    Raises:
        UserError: unusable parameters, or a folder that cannot be written.
    """
    recipe = Recipe(tuple(labels), **options)
    root = Path(cache_dir).absolute() / f"synthetic-v{GENERATOR_VERSION}-{recipe.digest}"
    try:
        if not _is_whole(root, recipe):
            root.parent.mkdir(parents=True, exist_ok=True)
            with sole_writer(root):
                if not _is_whole(root, recipe):
                    _write(root, recipe)
    except OSError as error:
        raise UserError(
            f"The synthetic data set cannot be written to {root} ({reason(error)}): free some space or choose another "
            "folder."
        ) from error
    return root


def _is_whole(root: Path, recipe: Recipe) -> bool:
    """Whether `root` was made with these parameters and every file still holds what was written."""
    try:
        made = read_json(root / MANIFEST, Made, "make the set anew")
        return made.parameters == recipe.parameters and made.content == fingerprint(*(root / n for n in made.files))
    except (OSError, UserError):
        return False


def _write(root: Path, recipe: Recipe) -> None:
    # Under the lock nobody else is writing: what lies there was left by a process that died.
    for leftover in root.parent.glob(f".{root.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A new name each time: rooms opened under an old one may still be cached by this process.
    folder = root.with_name(f".{root.name}.partial-{uuid4().hex[:8]}")
    folder.mkdir()
    try:
        for _ in in_threads(lambda job: job(), list(_jobs(folder, recipe)), "Synthesising the data set", WORKERS):
            pass
        _write_scenes(folder, recipe)
        write_json(folder / "labels.json", recipe.labels)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        write_json(folder / MANIFEST, asdict(Made(recipe.parameters, names, fingerprint(*files))))
        if root.exists():
            log.warning("%s was damaged or changed: it is made anew.", root)
            shutil.rmtree(root)
        folder.rename(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _jobs(folder: Path, recipe: Recipe) -> Iterator[Callable[[], None]]:
    """One job for each room and each sound."""
    targets = {label: synthesis.EVENTS[label] for label in recipe.labels}
    for split in SPLITS:
        # The rooms take longest and go first.
        for index in range(recipe.rooms[split]):
            yield partial(_write_room, folder, recipe, split, f"room_{index:02d}")
    for split in SPLITS:
        for group, generators in (("sound_event", targets), ("interference", synthesis.INTERFERENCE)):
            for label, generator in generators.items():
                for index in range(recipe.files_per_class[split]):
                    name = f"{group}/{split}/{label}/{label}_{index:03d}.wav"
                    yield partial(_write_sound, folder, recipe, name, generator)


def _write_sound(folder: Path, recipe: Recipe, name: str, generator: synthesis.SoundGenerator) -> None:
    rng = recipe.rng(name)
    low, high = np.log(recipe.event_seconds)
    wave = generator(rng, recipe.sample_rate, float(np.exp(rng.uniform(low, high))))
    _write_wav(folder / name, wave, recipe.sample_rate)


def _write_room(folder: Path, recipe: Recipe, split: str, room: str) -> None:
    name, rate = f"room_ir/{split}/{room}.sofa", recipe.sample_rate
    responses, positions, _ = acoustics.simulate_room(
        recipe.rng(name), positions=recipe.positions, sample_rate=rate, seconds=recipe.response_seconds
    )
    rooms.write_sofa(folder / name, responses, positions, rate, title=f"{split} {room}")
    for index in range(recipe.noises_per_room):
        name = f"noise/{split}/{room}_{index:02d}.wav"
        noise = acoustics.room_noise(recipe.rng(name), responses, sample_rate=rate, seconds=recipe.noise_seconds)
        _write_wav(folder / name, noise, rate)


def _write_wav(path: Path, samples: FloatArray, sample_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, samples.T, sample_rate)


def _write_scenes(folder: Path, recipe: Recipe) -> None:
    layout = Layout(folder, recipe.sample_rate, acoustics.CHANNELS)
    for split, count in recipe.scenes_per_split.items():
        drawing = {"events": (1, 3)} | EDITIONS[recipe.edition]
        fewest = drawing.pop("events")[0]
        most = min(recipe.slots, len(recipe.labels))
        sampler = SceneSampler(
            layout.split(split), recipe.scene_seconds, events=(fewest, most), slots=recipe.slots, **drawing
        )
        # A seed of the split's own: valid, test and a training run with the same seed shall not draw alike.
        seed = int(recipe.rng(f"metadata/{split}").integers(2**31))
        scenes = [replace(sampler.sample(seed, 0, index), name=f"{split}_{index:03d}") for index in range(count)]
        metadata.write_index(scenes, folder / "metadata" / f"{split}.json")
