"""One recording on its way through the networks, chunk by chunk.

Axes: F frames at the networks' rate, f at the recording's, M microphones, K stems, N classes, s SED frames of a chunk.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sedsep.devices import computing
from sedsep.evaluation.ensemble import AnySed
from sedsep.evaluation.separating import separate
from sedsep.events import EventRule
from sedsep.inference.chunks import FrameQueue, Span, joined, resampled, windows
from sedsep.inference.detection import Detection, SoundEvent, combine
from sedsep.inference.guide import guide_of
from sedsep.inference.recordings import Recording, channel_mix
from sedsep.labelling import Expected, PerClass
from sedsep.labels import LabelRule, choose_labels
from sedsep.types import FloatArray, Guidance

if TYPE_CHECKING:
    from sedsep.inference.separator import SceneSeparator

QUERIES_AT_ONCE = 4
"""Memory does not grow with the number of sounds asked for beyond this."""

TRAINED_LEVELS = (-45.0, -30.0)
"""Mean level of nearly all scenes that networks are trained on, dB re full scale."""

Watch = Callable[[str, int, int], None]
"""Told what is being done, and how many chunks of how many are."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a recording.

    Attributes:
        labels: the sounds to separate; `None` for those that are heard.
        threshold: probability above which a sound is heard.
        labelling: decides in each chunk what is heard there, in the threshold's place. Frames are held against its
            thresholds, if it has any, or else against that one.
        per_chunk: ask the separator in each chunk for the sounds heard there alone; otherwise for all in all.
        iters: refinement passes; `None` for as many as the separator is made for.
        level_db: (lowest, highest) mean level at which networks hear, dB re full scale. A recording beyond is brought
            there for them, and what they give back to the recording's own level; `None` leaves it as it is.
        events: how events are read from what was heard.
        guided_by_chunk: the separator is guided in each chunk by what its SED model hears there, as in a stream, not by
            what it hears in the whole recording.
    """

    labels: tuple[str, ...] | None = None
    threshold: float = 0.5
    per_chunk: bool = False
    iters: int | None = None
    level_db: tuple[float, float] | None = TRAINED_LEVELS
    events: EventRule = EventRule()  # noqa: RUF009
    guided_by_chunk: bool = False
    labelling: PerClass | Expected | None = None

    def names(self, clips_pn: Tensor) -> list[list[int]]:
        """Class indices of what is heard in each of some chunks with probabilities [P, N]."""
        return choose_labels(clips_pn, LabelRule(self.threshold, at_least=0, labelling=self.labelling))

    def frame_thresholds(self, labels: Iterable[str]) -> dict[str, float]:
        """Probability from which a frame of each class is part of an event."""
        own = self.labelling.thresholds if isinstance(self.labelling, PerClass) else {}
        return {label: own.get(label, self.threshold) for label in labels}


class SeparationJob:
    """A recording that a system has listened to.

    Attributes:
        system: the system.
        recording: the recording.
        request: what is wanted of it.
        channel_mix: what was done with its channels.
        gain_db: by how much networks hear it louder than it is.
        length: frames at the networks' rate.
        pieces: the chunks, in such frames.
        detection: what the SED model heard; `None` where there is none.
        labels: the K sounds to separate, named ones as named, heard ones with the likeliest first.
    """

    def __init__(self, system: SceneSeparator, recording: Recording, request: Request, watch: Watch) -> None:
        self.system, self.recording, self.request, self._watch = system, recording, request, watch
        self.channel_mix = channel_mix(recording.channels, system.network.microphones)
        self.gain_db = 0.0
        if request.level_db is not None and math.isfinite(recording.level):
            self.gain_db = float(np.clip(recording.level, *request.level_db)) - recording.level
        self.length = math.ceil(recording.frames * system.rate / recording.rate)
        self.pieces = list(system.spans(lambda frames: min(frames, self.length)))
        self.detection: Detection | None = None
        if system.listener is not None:
            clips, strong = zip(*self._listen(system.listener), strict=True)
            self.detection = combine(system.labels, clips, strong, self.pieces, system.rate)
        self._decide()

    def again(self, request: Request, watch: Watch = lambda *_: None) -> SeparationJob:
        """The same recording with something else wanted of it: it is not listened to again, and heard at its level."""
        job = copy.copy(self)
        job.request, job._watch = replace(request, level_db=self.request.level_db), watch
        job._decide()
        return job

    def _decide(self) -> None:
        """What is heard in each chunk, and what is to be separated."""
        pieces = None if self.detection is None else torch.from_numpy(self.detection.pieces.T)
        self._heard = [] if pieces is None else self.request.names(pieces)
        self.labels = self._chosen()

    def _chosen(self) -> tuple[str, ...]:
        """The sounds that are named, or else those that are heard."""
        if self.detection is None or self.request.labels is not None:
            return self.request.labels or ()
        anywhere = set(chain(*self._heard))
        return tuple(label for label in self.detection.probabilities if self.system.label_set.index(label) in anywhere)

    @property
    def events(self) -> list[SoundEvent]:
        """When the sounds to separate were heard."""
        if self.detection is None:
            return []
        return self.detection.events(self.request.frame_thresholds(self.labels), self.request.events)

    def asks(self, label: str, piece: int) -> bool:
        """Whether a sound is asked for in a piece."""
        if not self.request.per_chunk or self.detection is None:
            return True
        return self.system.label_set.index(label) in self._heard[piece]

    def stems(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Stems [f, K] and the residual [f], block by block, at the recording's rate, level and length."""
        recording = self.recording
        reference = FrameQueue(block @ self.channel_mix.matrix[0] for block in recording.blocks())
        if self.labels:
            estimates = joined(self._estimates(), self.system.fade)
            count = len(self.labels)
            stream = resampled(estimates, self.system.rate, recording.rate, count, lambda: recording.frames)
        else:
            stream = (np.zeros((len(block), 0), np.float32) for block in recording.blocks())
        for stems in stream:
            yield stems, reference.take(len(stems)) - stems.sum(axis=1)

    def _listen(self, listener: AnySed) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Probabilities of each chunk and of its frames, [N] and [N, s]."""
        for piece, mixture in self._mixtures(self.pieces, "listening"):
            yield listened(self.system, listener, mixture, piece)

    def _estimates(self) -> Iterator[tuple[Span, FloatArray]]:
        """Each chunk with its stems [F, K], at the recording's level."""
        alone = len(self.pieces) == 1 or self.request.guided_by_chunk  # each chunk guides itself
        guide = None if alone else guide_of(self.system.network, self.length, self._only_mixtures)
        for number, (piece, mixture) in enumerate(self._mixtures(self.pieces, "separating")):
            asked = [self.asks(label, number) for label in self.labels]
            guidance = None if guide is None else partial(guide, piece)
            yield (
                piece,
                separated(self.system, mixture, piece, self.labels, asked, self.request, self.gain_db, guidance),
            )

    def _only_mixtures(self, pieces: Sequence[Span]) -> Iterator[Tensor]:
        return (mixture for _, mixture in self._mixtures(pieces))

    def _mixtures(self, pieces: Sequence[Span], doing: str = "") -> Iterator[tuple[Span, Tensor]]:
        """Some spans with what networks hear of them.

        Args:
            pieces: the spans, in order.
            doing: what for; without it nobody is told of the progress.
        """
        system, recording = self.system, self.recording
        matrix = (self.channel_mix.matrix * factor(self.gain_db)).T
        blocks = (block @ matrix for block in recording.blocks())
        stream = resampled(blocks, recording.rate, system.rate, matrix.shape[1], lambda: self.length)
        for done, (piece, window) in enumerate(windows(FrameQueue(stream), pieces)):
            if doing:
                self._watch(doing, done, len(pieces))
            yield piece, heard(system, window)
        if doing:
            self._watch(doing, len(pieces), len(pieces))


def heard(system: SceneSeparator, window: FloatArray) -> Tensor:
    """What networks hear [1, M, F] of a chunk's samples [F, M], with zeros at the end of one too short for them."""
    mixture = torch.from_numpy(np.ascontiguousarray(window.T)).to(system.device)[None]
    return torch.nn.functional.pad(mixture, (0, max(0, system.shortest - len(window))))


@torch.inference_mode()
def listened(system: SceneSeparator, listener: AnySed, mixture: Tensor, piece: Span) -> tuple[FloatArray, FloatArray]:
    """Probabilities of a chunk and of its frames, [N] and [N, s]."""
    with computing(system.device, system.precision):
        output = listener(mixture)
    clip = output.clip_probabilities[0]
    strong = clip[:, None] if output.strong_probabilities is None else output.strong_probabilities[0]
    # Of a chunk that was lengthened, the frames that are sound.
    frames = math.ceil(strong.shape[1] * (piece.stop - piece.start) / mixture.shape[2])
    return clip.cpu().numpy(), strong[:, :frames].cpu().numpy()


def separated(
    system: SceneSeparator,
    mixture: Tensor,
    piece: Span,
    labels: Sequence[str],
    asked: Sequence[bool],
    request: Request,
    gain_db: float,
    guidance: Callable[[], Guidance] | None = None,
) -> FloatArray:
    """Stems [F, K] of a chunk, at the recording's level.

    Args:
        system: the system.
        mixture: what it hears [1, M, F].
        piece: the chunk.
        labels: of the K sounds.
        asked: which of them are asked for; the others are silent.
        request: for the passes.
        gain_db: by how much the mixture is louder than the recording.
        guidance: what guides the separator; `None` where the chunk itself does.
    """
    stems = np.zeros((piece.stop - piece.start, len(labels)), np.float32)
    if places := [place for place, is_asked in enumerate(asked) if is_asked]:
        passes = system.network.trained_passes if request.iters is None else request.iters
        sounds = {"": [[system.label_set.index(labels[place]) for place in places]]}
        with computing(system.device, system.precision):
            output = guidance and guidance()
            estimates = separate(system.network, mixture, sounds, system.label_set, (passes,), output, QUERIES_AT_ONCE)
        waveforms = torch.stack([waveform for _, waveform in estimates["", passes][0]])
        stems[:, places] = waveforms[:, : len(stems)].T.cpu().numpy() * factor(-gain_db)
    return stems


def factor(gain_db: float) -> np.float32:
    """What samples are multiplied by to be so much louder."""
    return np.float32(10 ** (gain_db / 20))
