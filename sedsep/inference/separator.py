"""Two-stage separation of any recording: a tagger names what it hears, a separator takes it apart.

Axes: f frames at the recording's rate, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sedsep.devices import computing
from sedsep.errors import UserError
from sedsep.evaluation.ensemble import AnySed, AnySeparator
from sedsep.inference.chunks import Span, spans
from sedsep.inference.detection import SoundEvent
from sedsep.inference.job import TRAINED_LEVELS, Request, SeparationJob, Watch
from sedsep.inference.recordings import Recording, frames_first, from_array, is_number
from sedsep.inference.streaming import SceneStream
from sedsep.labelling import Expected, PerClass, check_classes
from sedsep.labels import LabelSet
from sedsep.types import FloatArray

HIGHEST_DB = 200
"""Beyond this, and below its negative, no number of 32 bits can hold what networks would be given."""
EDGE, FADE = 0.1, 0.05
"""Parts of a chunk that are discarded at each end, and cross-faded with the next."""


@dataclass(frozen=True)
class SeparationResult:
    """A recording taken apart.

    Attributes:
        waveforms: of each sound, float32 [f], in the recording's rate, length and kind of array.
        residual: what is left of the recording (its W, or the mean of its channels) without them.
        sample_rate: Hz.
        events: when each of the sounds was heard; none where no SED model listened.
        probabilities: that each class sounds anywhere, likeliest first; none where no SED model listened.
        activity: probability of each class [N, S], in the order of the system's labels; `None` where no SED model
            listened.
        frame_s: seconds of a frame of `activity`.
        heard_as: what was done with the channels.
    """

    waveforms: dict[str, FloatArray | Tensor]
    residual: FloatArray | Tensor
    sample_rate: int
    events: list[SoundEvent]
    probabilities: dict[str, float]
    activity: FloatArray | None
    frame_s: float | None
    heard_as: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The sounds."""
        return tuple(self.waveforms)


class SceneSeparator:
    """The whole system, ready for recordings.

    Args:
        network: the separator with its Stage 2 SED model.
        labels: the classes of all networks.
        tagger: names the sounds; without one the separator's Stage 2 SED model does, if it has one.
        chunk_s: seconds that are processed at once, best the length of the clips in training.
        device: where networks run.
        threshold: probability from which a sound is heard, where a request names none.
        tagger_files: the checkpoints of the tagger, or of the members of an ensemble, if it comes from files.
        lack: why a tagger that should name the sounds cannot be had, a sentence; `None` where nothing is lacking.
        precision: in which networks compute (`computing`).
        labelling: decides what is heard, in the threshold's place, where a request names no threshold.

    Raises:
        UserError: networks of different rates, chunks too short for them, or an unknown precision.
    """

    def __init__(
        self,
        network: AnySeparator,
        labels: LabelSet,
        tagger: AnySed | None = None,
        chunk_s: float = 10.0,
        device: torch.device | str = "cpu",
        threshold: float = 0.5,
        tagger_files: Sequence[Path] = (),
        lack: str | None = None,
        precision: str = "fp32",
        labelling: PerClass | Expected | None = None,
    ) -> None:
        if labelling is not None:
            check_classes(labelling, labels)
        self.threshold, self.labelling = threshold, labelling
        self.tagger_files, self.lack = tuple(tagger_files), lack
        self.device = torch.device(device)
        computing(self.device, precision)
        self.precision = precision
        self.network = network.to(self.device).eval()
        self.tagger = None if tagger is None else tagger.to(self.device).eval()
        self.listener = self.tagger or self.network.sed
        self.label_set = labels
        self.rate, self.step = network.input_rate, network.stride
        if tagger is not None and tagger.input_rate != self.rate:
            raise UserError(
                f"The tagger listens at {tagger.input_rate} Hz, the separator at {self.rate} Hz: give two that were "
                "trained on the same data."
            )
        if not is_number(chunk_s, 0):
            raise UserError(f"chunk_s={chunk_s} is no time: give the seconds that are processed at once.")
        networks = [part for part in (self.network, self.tagger, self.network.sed) if part is not None]
        self.shortest = max(part.shortest for part in networks)
        self.chunk = round(chunk_s * self.rate)
        if lengths := [part.longest for part in networks if part.longest is not None]:
            self.chunk = min(self.chunk, min(lengths) - self.step)  # the last chunk of a recording is a step longer
        self.edge, self.fade = int(EDGE * self.chunk), int(FADE * self.chunk)
        if (least := self.step / (1 - 2 * EDGE - FADE) / self.rate) > self.chunk / self.rate:
            raise UserError(
                f"Chunks of {self.chunk / self.rate:g} s are too short for this separator: give at least {least:.2f} s."
            )

    def spans(self, reached: Callable[[int], int]) -> Iterator[Span]:
        """The chunks of a recording, see `sedsep.inference.chunks.spans`."""
        return spans(reached, self.chunk, self.edge, self.fade, self.step)

    @property
    def labels(self) -> tuple[str, ...]:
        """The sounds that can be asked for."""
        return self.label_set.names

    @property
    def named_by(self) -> str | None:
        """What names the sounds, in words; `None` where nothing does."""
        if self.tagger is not None:
            return "the tagger"
        return None if self.listener is None else "the separator's own Stage 2 SED model"

    def check(self, request: Request) -> None:
        """Refuse what no recording could be asked.

        Raises:
            UserError: an unknown label, a threshold that is no probability, passes that the separator cannot do, levels
                in the wrong order, or nothing that could name sounds.
        """
        if request.labels is not None and not _are_different_names(request.labels):
            raise UserError(f"labels={request.labels!r} is no list of different sounds: name each once, as in ['Dog'].")
        if request.labels is None and self.lack is not None:
            raise UserError(self.lack)
        for label in request.labels or ():
            self.label_set.index(label)
        if request.labels is not None and not request.labels:
            raise UserError(f"No sounds are named: name some of {', '.join(self.labels)}, or null for those heard.")
        if request.labels is None and self.listener is None:
            raise UserError(
                "Nothing names the sounds, since neither a tagger is given nor does a SED model guide this separator: "
                f"give a tagger, or name some of {', '.join(self.labels)} as labels."
            )
        if request.per_chunk and self.listener is None:
            raise UserError(
                "Nothing hears which sounds are in which chunk: give a tagger, or ask for them in all chunks."
            )
        if not is_number(request.threshold, 0, 1):
            raise UserError(f"threshold={request.threshold} is no probability: give a number from 0 to 1.")
        if request.level_db is not None and not _is_range(request.level_db):
            raise UserError(
                f"level_db={request.level_db} is no range of levels: give two from -{HIGHEST_DB} to {HIGHEST_DB} dB, "
                "the lower one first."
            )
        if request.iters is not None and not is_number(request.iters, 0, whole=True):
            raise UserError(f"iters={request.iters} is no number of passes: give a whole one.")
        self.network.check_passes(request.iters)

    def deciding(self, request: Request, threshold: float | None) -> Request:
        """A request in which sounds are heard from a threshold on, or else as the separator's run was scored."""
        if threshold is not None:
            return replace(request, threshold=threshold)
        return replace(request, threshold=self.threshold, labelling=self.labelling)

    def begin(self, recording: Recording, request: Request, watch: Watch = lambda *_: None) -> SeparationJob:
        """Listen to a recording and decide on its sounds; `SeparationJob.stems` then separates them."""
        return SeparationJob(self, recording, request, watch)

    def separate(
        self,
        waveform: FloatArray | Tensor,
        sample_rate: int,
        labels: tuple[str, ...] | list[str] | str | None = None,
        threshold: float | None = None,
        iters: int | None = None,
        per_chunk: bool = False,
        level_db: tuple[float, float] | None = TRAINED_LEVELS,
    ) -> SeparationResult:
        """Take a recording in memory apart.

        Args:
            waveform: floating-point samples [f], or [channels, f]; a numpy array or a tensor. FOA (W, Y, Z, X), stereo
                or mono; `SeparationResult.heard_as` says what was done with the channels.
            sample_rate: Hz, any.
            labels: see `Request`, as the arguments that follow.
            threshold: probability from which a sound is heard; by default as the separator's run was scored.
            iters: refinement passes.
            per_chunk: whether each chunk is asked for the sounds heard there alone.
            level_db: (lowest, highest) mean level at which networks hear.

        Raises:
            UserError: as `check`, or a waveform that cannot be used.
        """
        request = self.deciding(
            Request(_distinct(labels), per_chunk=per_chunk, iters=iters, level_db=level_db), threshold
        )
        self.check(request)
        job = self.begin(from_array(frames_first(waveform), sample_rate), request)
        stems, residual = (np.concatenate(blocks) for blocks in zip(*job.stems(), strict=True))

        def like_input(samples: FloatArray) -> FloatArray | Tensor:
            samples = np.ascontiguousarray(samples)
            return torch.from_numpy(samples).to(waveform.device) if isinstance(waveform, Tensor) else samples

        return SeparationResult(
            waveforms={label: like_input(stems[:, index]) for index, label in enumerate(job.labels)},
            residual=like_input(residual),
            sample_rate=job.recording.rate,
            events=job.events,
            probabilities={} if job.detection is None else job.detection.probabilities,
            activity=None if job.detection is None else job.detection.activity,
            frame_s=None if job.detection is None else job.detection.frame_s,
            heard_as=job.channel_mix.description,
        )

    def stream(
        self,
        blocks: Iterable[FloatArray | Tensor],
        sample_rate: int,
        labels: tuple[str, ...] | list[str] | str | None = None,
        threshold: float | None = None,
        iters: int | None = None,
        per_chunk: bool = False,
        gain_db: float = 0.0,
    ) -> SceneStream:
        """Take sound apart while it arrives, from a microphone or a long file.

        Args:
            blocks: see `SceneStream`.
            sample_rate: Hz.
            labels: as in `separate`, as the arguments that follow; without them each chunk is asked for what is heard
                in it.
            threshold: probability from which a sound is heard.
            iters: refinement passes.
            per_chunk: whether each chunk is asked for the sounds heard there alone.
            gain_db: by how much louder than it comes networks hear it: bring it to -45 to -30 dB, as in training.

        Raises:
            UserError: as `check`; while it is iterated, samples that cannot be used.
        """
        request = Request(_distinct(labels), per_chunk=per_chunk, iters=iters, level_db=None)
        request = self.deciding(request, threshold)
        return SceneStream(self, blocks, sample_rate, request, gain_db)


def _distinct(labels: Any) -> tuple[Any, ...] | None:
    """Labels as a request has them, each once."""
    if labels is None:
        return None
    asked = [labels] if isinstance(labels, str) or not isinstance(labels, Iterable) else list(labels)
    return tuple(label for place, label in enumerate(asked) if label not in asked[:place])


def _are_different_names(labels: object) -> bool:
    if not isinstance(labels, Sequence) or isinstance(labels, str):
        return False
    return all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels)


def _is_range(levels: object) -> bool:
    return (
        isinstance(levels, Sequence)
        and len(levels) == 2
        and all(is_number(level, -HIGHEST_DB, HIGHEST_DB) for level in levels)
        and levels[0] <= levels[1]
    )
