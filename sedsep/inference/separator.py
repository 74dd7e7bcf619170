"""Two-stage separation of any recording: a tagger names what it hears, a separator takes it apart.

Axes: F frames at the networks' rate, f at the recording's, M microphones, K stems, N classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from sedsep.errors import UserError
from sedsep.evaluation.separating import one_hot_rows
from sedsep.inference.channels import Hearing, hearing
from sedsep.inference.chunks import Shelf, Span, joined, resampled, spans, windows
from sedsep.inference.detection import Detection, SoundEvent, put_together
from sedsep.inference.guide import Guide
from sedsep.inference.recordings import Recording, from_array
from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.types import FloatArray, SedOutput

EDGE, FADE = 0.1, 0.05
"""Parts of a chunk that are discarded at each end, and cross-faded with the next."""

QUERIES_AT_ONCE = 4
"""Memory does not grow with the number of sounds asked for beyond this."""

TRAINED_LEVELS = (-45.0, -30.0)
"""Mean level of nearly all scenes that networks are trained on, dB re full scale."""

MOST_CHANNELS = 64

Watch = Callable[[str, int, int], None]
"""Told what is being done, and how many chunks of how many are."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a recording.

    Attributes:
        labels: the sounds to separate; `None` for those that are heard.
        threshold: probability above which a sound is heard.
        per_chunk: ask the separator in each chunk for the sounds heard there alone; otherwise for all in all.
        iters: refinement passes; `None` for as many as the separator is made for.
        level_db: (lowest, highest) mean level at which networks hear, dB re full scale. A recording beyond is brought
            there for them, and what they give back to the recording's own level; `None` leaves it as it is.
    """

    labels: tuple[str, ...] | None = None
    threshold: float = 0.5
    per_chunk: bool = False
    iters: int | None = None
    level_db: tuple[float, float] | None = TRAINED_LEVELS


@dataclass(frozen=True)
class Separated:
    """A recording taken apart.

    Attributes:
        waveforms: of each sound, float32 [f], in the recording's rate, length and kind of array.
        residual: what is left of the recording (its W, or the mean of its channels) without them.
        sample_rate: Hz.
        events: when each of the sounds was heard. probabilities: that each class sounds anywhere, likeliest first.
        activity: probability of each class [N, S], in the order of the system's labels, at frames of `frame_s`
            seconds. These three are empty, and the activity `None`, where no SED model listened.
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
        network: the separator with its Stage 2 SED model. labels: the classes of all networks.
        tagger: names the sounds; without one the separator's Stage 2 SED model does, if it has one.
        chunk_s: seconds that are processed at once, best the length of the clips in training.
        device: where networks run.

    Raises:
        UserError: networks of different rates, or chunks too short for them.
    """

    def __init__(
        self,
        network: GuidedSeparator,
        labels: LabelSet,
        tagger: SedModel | None = None,
        chunk_s: float = 10.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.tagger = None if tagger is None else tagger.to(self.device).eval()
        self.listener = self.tagger or self.network.sed
        self.label_set = labels
        separator = network.separator
        self.rate = separator.input_rate
        if tagger is not None and tagger.input_rate != self.rate:
            raise UserError(
                f"The tagger listens at {tagger.input_rate} Hz, the separator at {self.rate} Hz: give two that were "
                "trained on the same data."
            )
        # Chunks begin where the U-Net's strides do: shifted against them, estimates agree to 27 dB instead of 90.
        stride = Fraction(separator.stft.hop * separator.unet.time_stride * self.rate, separator.sample_rate)
        self.step = stride.numerator
        self.chunk = round(chunk_s * self.rate)
        self.edge, self.fade = int(EDGE * self.chunk), int(FADE * self.chunk)
        if (least := self.step / (1 - 2 * EDGE - FADE) / self.rate) > chunk_s:
            raise UserError(f"Chunks of {chunk_s} s are too short for this separator: give at least {least:.2f} s.")
        transforms = [(separator.stft.n_fft, separator.sample_rate)]
        for sed in (self.tagger, self.network.sed):
            if sed is not None:
                transforms.append((sed.backbone.frontend.stft.n_fft, sed.backbone.frontend.sample_rate))
        self._shortest = max(math.ceil((n_fft // 2 + 1) * self.rate / rate) for n_fft, rate in transforms)

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
        if not 0 <= request.threshold <= 1:
            raise UserError(f"threshold={request.threshold} is no probability: give a number from 0 to 1.")
        if request.level_db is not None and not request.level_db[0] <= request.level_db[1]:
            raise UserError(f"level_db={request.level_db} is no range: give the lower level first.")
        # A silent query costs nothing and is checked as any other.
        separator = self.network.separator
        silence = torch.zeros(1, max(1, separator.outputs), len(self.labels), device=self.device)
        mixture = torch.zeros(1, separator.microphones, 1, device=self.device)
        separator(mixture, silence, SedOutput(silence[:, 0]), request.iters)

    def begin(self, recording: Recording, request: Request, watch: Watch = lambda *_: None) -> Job:
        """Listen to a recording and decide on its sounds; `Job.stems` then separates them."""
        return Job(self, recording, request, watch)

    def separate(
        self,
        waveform: FloatArray | Tensor,
        sample_rate: int,
        labels: tuple[str, ...] | list[str] | str | None = None,
        threshold: float = 0.5,
        iters: int | None = None,
        per_chunk: bool = False,
        level_db: tuple[float, float] | None = TRAINED_LEVELS,
    ) -> Separated:
        """Take a recording in memory apart.

        Args:
            waveform: floating-point samples [f], or [channels, f]; a numpy array or a tensor. FOA (W, Y, Z, X), stereo
                or mono; `Separated.heard_as` says what was done with the channels.
            sample_rate: Hz, any.
            labels, threshold, iters, per_chunk, level_db: see `Request`.

        Raises:
            UserError: as `check`, or a waveform that cannot be used.
        """
        chosen = (labels,) if isinstance(labels, str) else labels if labels is None else tuple(dict.fromkeys(labels))
        request = Request(chosen, threshold, per_chunk, iters, level_db)
        self.check(request)
        job = self.begin(from_array(_frames_first(waveform), sample_rate), request)
        parts = list(job.stems())
        stems, residual = (np.concatenate(column) for column in zip(*parts, strict=True))

        def like_input(samples: FloatArray) -> FloatArray | Tensor:
            samples = np.ascontiguousarray(samples)
            return torch.from_numpy(samples).to(waveform.device) if isinstance(waveform, Tensor) else samples

        return Separated(
            waveforms={label: like_input(stems[:, index]) for index, label in enumerate(job.labels)},
            residual=like_input(residual),
            sample_rate=sample_rate,
            events=job.events,
            probabilities={} if job.detection is None else job.detection.probabilities,
            activity=None if job.detection is None else job.detection.activity,
            frame_s=None if job.detection is None else job.detection.frame_s,
            heard_as=job.hearing.how,
        )

    @torch.inference_mode()
    def listen(self, listener: SedModel, window: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Probabilities of a chunk [F, M] and of its frames, [N] and [N, s]."""
        output = listener(self.mixture(window))
        clip = output.clip_probabilities[0]
        strong = clip[:, None] if output.strong_probabilities is None else output.strong_probabilities[0]
        # Of a chunk that was lengthened, the frames that are sound.
        sound = math.ceil(strong.shape[1] * len(window) / max(len(window), self._shortest))
        return clip.cpu().numpy(), strong[:, :sound].cpu().numpy()

    @torch.inference_mode()
    def estimate(
        self, window: FloatArray, indices: list[int], iters: int | None, guidance: SedOutput | None = None
    ) -> FloatArray:
        """Stems [F, K] of some classes in a chunk [F, M], which guides itself where no guidance is given."""
        mixture = self.mixture(window)
        sed = self.network.listen(mixture) if guidance is None else guidance
        outputs = self.network.outputs
        at_once = outputs if outputs > 1 else QUERIES_AT_ONCE
        estimates = []
        for start in range(0, len(indices), at_once):
            asked = indices[start : start + at_once]
            slots = outputs if outputs > 1 else len(asked)
            query = one_hot_rows([asked], slots, len(self.labels), self.device)
            estimates.append(self.network.separator(mixture, query, sed, iters).estimates[0, : len(asked)])
        return torch.cat(estimates)[:, : len(window)].T.cpu().numpy()

    def mixture(self, window: FloatArray) -> Tensor:
        """A chunk [F, M] as the networks take it, with zeros at its end where it is too short for them."""
        mixture = torch.from_numpy(np.ascontiguousarray(window.T)).to(self.device)[None]
        return torch.nn.functional.pad(mixture, (0, max(0, self._shortest - len(window))))


class Job:
    """A recording that has been listened to.

    Attributes:
        recording: the recording. request: what is wanted of it.
        hearing: what was done with its channels. gain_db: by how much networks hear it louder than it is.
        pieces: the chunks, in frames at the networks' rate.
        detection: what the SED model heard; `None` where there is none.
        labels: the K sounds to separate, named ones as named, heard ones with the likeliest first.
    """

    def __init__(self, system: SceneSeparator, recording: Recording, request: Request, watch: Watch) -> None:
        self.system, self.recording, self.request, self._watch = system, recording, request, watch
        self.hearing: Hearing = hearing(recording.channels, system.network.microphones)
        self.gain_db = _gain_db(recording.level, request.level_db)
        length = math.ceil(recording.frames * system.rate / recording.rate)
        self.pieces: list[Span] = spans(length, system.chunk, system.edge, system.fade, system.step)
        self.detection = None if system.listener is None else self._listen(system.listener)
        self.labels: tuple[str, ...] = request.labels or self._heard()

    @property
    def events(self) -> list[SoundEvent]:
        """When the sounds to separate were heard."""
        return [] if self.detection is None else self.detection.events(self.labels, self.request.threshold)

    def stems(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Stems [f, K] and the residual [f], block by block, at the recording's rate, level and length."""
        reference = Shelf(block @ self.hearing.matrix[0] for block in self.recording.blocks())
        for stems in self._stems():
            yield stems, reference.take(len(stems)) - stems.sum(axis=1)

    def _stems(self) -> Iterator[FloatArray]:
        recording, count = self.recording, len(self.labels)
        if not count:
            yield from (np.zeros((len(block), 0), np.float32) for block in recording.blocks())
            return
        estimates = joined(self._estimates(), self.pieces)
        yield from resampled(estimates, self.system.rate, recording.rate, count, recording.frames)

    def _estimates(self) -> Iterator[FloatArray]:
        system, guide = self.system, self._guide()
        indices = [system.label_set.index(label) for label in self.labels]
        for number, (piece, window) in enumerate(zip(self.pieces, self._watched("separating"), strict=True)):
            stems = np.zeros((len(window), len(indices)), np.float32)
            if asked := [place for place, label in enumerate(self.labels) if self.asks(label, number)]:
                guidance = None if guide is None else guide.of(piece)
                estimates = system.estimate(window, [indices[place] for place in asked], self.request.iters, guidance)
                stems[:, asked] = estimates * _factor(-self.gain_db)
            yield stems

    def _guide(self) -> Guide | None:
        """What guides all chunks; `None` where each guides itself: there is but one, or the guide has a memory that
        cannot be cut into pieces."""
        sed = self.system.network.sed
        if sed is None or sed.sequence is not None or len(self.pieces) == 1:
            return None

        def mixtures(pieces: Sequence[Span]) -> Iterator[Tensor]:
            return (self.system.mixture(window) for window in self._windows(pieces))

        return Guide(sed, self.system.network.separator, self.pieces[-1].stop, mixtures)

    def asks(self, label: str, piece: int) -> bool:
        """Whether a sound is asked for in a piece."""
        if not self.request.per_chunk or self.detection is None:
            return True
        return bool(self.detection.pieces[self.system.label_set.index(label), piece] >= self.request.threshold)

    def _listen(self, listener: SedModel) -> Detection:
        heard = [self.system.listen(listener, window) for window in self._watched("listening")]
        clips, strong = zip(*heard, strict=True)
        return put_together(self.system.labels, clips, strong, self.pieces, self.system.rate)

    def _heard(self) -> tuple[str, ...]:
        assert self.detection is not None
        found = self.detection.probabilities
        return tuple(label for label, probability in found.items() if probability >= self.request.threshold)

    def _watched(self, doing: str) -> Iterator[FloatArray]:
        """What networks hear, chunk by chunk [F, M], with word of the progress."""
        for done, window in enumerate(self._windows(self.pieces)):
            self._watch(doing, done, len(self.pieces))
            yield window
        self._watch(doing, len(self.pieces), len(self.pieces))

    def _windows(self, pieces: Sequence[Span]) -> Iterator[FloatArray]:
        """What networks hear [F, M] of some spans."""
        matrix = (self.hearing.matrix * _factor(self.gain_db)).T
        heard = (block @ matrix for block in self.recording.blocks())
        stream = resampled(heard, self.recording.rate, self.system.rate, matrix.shape[1], self.pieces[-1].stop)
        return windows(stream, pieces)


def _gain_db(level: float, wanted: tuple[float, float] | None) -> float:
    """By how much to raise a recording of a level to one of those wanted."""
    if wanted is None or math.isinf(level):
        return 0.0
    return min(max(level, wanted[0]), wanted[1]) - level


def _factor(gain_db: float) -> np.float32:
    return np.float32(10 ** (gain_db / 20))


def _frames_first(waveform: FloatArray | Tensor) -> FloatArray:
    """A waveform [f] or [channels, f] as float32 [f, channels]."""
    samples = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else np.asarray(waveform)
    if not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"The waveform is of type {samples.dtype}: give floating-point samples, full scale at 1.")
    if samples.ndim not in {1, 2}:
        raise UserError(f"The waveform has shape {list(samples.shape)}: give [samples] or [channels, samples].")
    if samples.ndim == 2 and len(samples) > MOST_CHANNELS:
        raise UserError(f"The waveform has {len(samples)} channels: give [channels, samples], as in waveform.T.")
    return np.atleast_2d(samples).T.astype(np.float32, order="C")
