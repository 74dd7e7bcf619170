"""What the parts hand to one another: shapes, units and dtypes.

Axes: B batch, K slots (sources), M microphones, L samples, N classes, S SED frames, P patches, D embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float32]
Sources = list[tuple[str, Tensor]]
"""Labels with their waveforms [L]: a label may repeat, and there may be none."""


@dataclass(frozen=True)
class Following:
    """A sound after another one, of the same source.

    Attributes:
        source_file: as in `Event`; all of it sounds.
        pause: before it, seconds.
        duration: of the file, seconds.
    """

    source_file: str
    pause: float
    duration: float


@dataclass(frozen=True)
class Event:
    """One sound placed in a scene.

    Attributes:
        label: class name; `None` for the background.
        source_file: path relative to its group's folder in `SceneDirs`.
        source_time: seconds into the file; `None` takes the whole file (background only).
        event_time: onset in the scene, seconds.
        event_duration: length taken from the file, seconds.
        snr: level above the scene's `ref_db`, dB.
        position: source position as in the room's SOFA file (metres); `None` for the background.
        position_index: the measurement it was drawn from; `None` when only the coordinates are known.
        following: more sounds of it, as augmented training scenes have them. No fixed scene has: they are left out of
            what scenes are known by.
    """

    label: str | None
    source_file: str
    source_time: float | None
    event_time: float
    event_duration: float
    snr: float
    position: tuple[float, float, float] | None = None
    position_index: int | None = None
    following: tuple[Following, ...] = field(default=(), repr=False)

    @property
    def source_files(self) -> tuple[str, ...]:
        """Of all its sounds."""
        return self.source_file, *(sound.source_file for sound in self.following)

    @property
    def length(self) -> float:
        """Of all its sounds with the pauses between them, seconds."""
        return self.event_duration + sum(sound.pause + sound.duration for sound in self.following)


@dataclass(frozen=True)
class SceneDirs:
    """The folders a scene draws from, relative to the data set's root (or absolute)."""

    foreground: str
    background: str
    rooms: str
    interference: str | None


@dataclass(frozen=True)
class SceneSpec:
    """Everything that determines a scene, down to the last sample.

    Attributes:
        name: unique within its split, used for file names.
        dirs: where the files lie.
        room: SOFA file name.
        foreground: the sounds to separate.
        background: the noise that lies below.
        interference: the sounds to leave out.
        duration: seconds.
        sample_rate: Hz.
        ref_db: mean power of a background event with `snr` 0, dB re full scale.
        ref_channel: the microphone whose direct path defines the dry target.
        direct_path_ms: kept before and after the peak of the response for the dry target, milliseconds.
        slots: label of each target slot, padded with `silence`; the order targets come in.
        edition: the year of the challenge whose synthesis it is for.
    """

    name: str
    dirs: SceneDirs
    room: str
    foreground: tuple[Event, ...]
    background: tuple[Event, ...]
    interference: tuple[Event, ...]
    duration: float
    sample_rate: int
    ref_db: float
    ref_channel: int
    direct_path_ms: tuple[float, float]
    slots: tuple[str, ...]
    edition: int = 2025

    @property
    def target_slots(self) -> list[int]:
        """The slot of each event of the foreground; of equal labels the first event has the first slot."""
        free: list[str | None] = list(self.slots)
        slots = []
        for event in self.foreground:
            slots.append(free.index(event.label))
            free[slots[-1]] = None
        return slots


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        mixture: float32 [M, L].
        targets: dry sources at the reference channel, float32 [K, L], in slot order; zeros for silence.
        labels: K names, `silence` for empty slots.
        spans: (onset, offset) of each slot in samples, reverberant tail included; (0, 0) for silence.
        name: the scene's name.
    """

    mixture: FloatArray
    targets: FloatArray
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    name: str


FILLER = ""
"""The name of a scene that is there for its shape alone."""


@dataclass
class Batch:
    """Scenes stacked for a network.

    Attributes:
        mixture: float32 [B, M, L].
        targets: float32 [B, K, L].
        query: one-hot rows of the true labels, float32 [B, K, N]; zeros for silence.
        spans: onset and offset in samples, int64 [B, K, 2].
        names: B scene names; `FILLER` where a scene only fills up the share of a rank.
    """

    mixture: Tensor
    targets: Tensor
    query: Tensor
    spans: Tensor
    names: list[str]

    def counted(self) -> Batch:
        """The batch without filler."""
        rows = [index for index, name in enumerate(self.names) if name != FILLER]
        if len(rows) == len(self.names):
            return self
        names = [self.names[index] for index in rows]
        return Batch(self.mixture[rows], self.targets[rows], self.query[rows], self.spans[rows], names)

    def pin_memory(self) -> Batch:
        """The batch in pinned memory, from where it is copied to a GPU without blocking; torch's loaders look for this
        method."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        mixture, targets, query, spans = map(change, (self.mixture, self.targets, self.query, self.spans))
        return Batch(mixture, targets, query, spans, self.names)


@dataclass
class SedOutput:
    """What a sound event detection model says of a batch of clips.

    Attributes:
        clip_probabilities: [B, N].
        strong_logits: frame-wise logits [B, N, S]; `None` for a head that names clips only.
        weak_logits: attention logits [B, S, N]; `None` for heads without attention.
        layers: patch embeddings and the output of each transformer block, each [B, P, D];
            P = grid[0] * grid[1], frequency-major. Empty when not asked for.
        grid: (frequency, time) patches.
        tracks: logits [B, K, N + 1] of sources named one by one, silence last; `None` for other heads.
    """

    clip_probabilities: Tensor
    strong_logits: Tensor | None = None
    weak_logits: Tensor | None = None
    layers: list[Tensor] = field(default_factory=list)
    grid: tuple[int, int] = (0, 0)
    tracks: Tensor | None = None

    def of_rows(self, item: Tensor, parts: Collection[str]) -> SedOutput:
        """What rows need that ask of clips.

        Args:
            item: the clip of each row [R].
            parts: `frames` for the strong logits, `layers` for the layer features; the rest is left out.
        """
        strong = self.strong_logits if "frames" in parts else None
        layers = [layer[item] for layer in self.layers] if "layers" in parts else []
        return SedOutput(
            self.clip_probabilities[item], None if strong is None else strong[item], layers=layers, grid=self.grid
        )

    @property
    def strong_probabilities(self) -> Tensor | None:
        """Frame-wise probabilities [B, N, S]."""
        return None if self.strong_logits is None else self.strong_logits.sigmoid()


Guidance = SedOutput | list[SedOutput | None] | None
"""What guides a separator: the output of its Stage 2 SED model, in an ensemble that of each member's; `None` where
there is none, or it has not listened yet."""


@dataclass
class Separation:
    """What a separator hands back.

    Attributes:
        estimates: waveforms [B, K, L], zeros for silent queries.
        passes: the estimate after each refinement pass, oldest first; the last one is `estimates`.
    """

    estimates: Tensor
    passes: list[Tensor]
