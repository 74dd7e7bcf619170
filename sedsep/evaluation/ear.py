"""A second ear: a tagger that judges stems where there is no reference, and what its judgement is worth where there is.

Axes: B clips, M microphones, L samples, N labels, n mixtures.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sedsep.checkpoints import exported, foreign, hub, own
from sedsep.checkpoints.exported import ExportedSed
from sedsep.checkpoints.finding import find
from sedsep.checkpoints.foreign import ForeignTagger
from sedsep.checkpoints.onnx_files import SUFFIX
from sedsep.devices import computing
from sedsep.dsp import resample
from sedsep.errors import UserError
from sedsep.evaluation.scored import scored_with
from sedsep.metrics.bootstrap import FEWEST, Bootstrap, Estimate, ratios
from sedsep.metrics.registry import BASELINE, TAGGER
from sedsep.metrics.rows import MixtureRow
from sedsep.metrics.sdri import Outcome
from sedsep.models.sed import SedModel
from sedsep.types import Sources

WINDOW_S = 10.0
"""Seconds of sound that a tagger of clips of any length hears at once."""


class Ear(nn.Module):
    """A tagger that listens to mono sound.

    A tagger of FOA recordings hears it as W, with Y, Z and X silent, as it hears any mono recording.

    Args:
        file: of the tagger.
        labels: that it knows.
        tagger: names them.
    """

    def __init__(self, file: Path, labels: Sequence[str], tagger: SedModel | ExportedSed | ForeignTagger) -> None:
        super().__init__()
        self.file, self.labels, self.tagger = file, tuple(labels), tagger.eval()
        self.rate, self.shortest = tagger.input_rate, tagger.shortest
        self.window = tagger.longest or max(round(WINDOW_S * self.rate), self.shortest)
        if isinstance(tagger, ExportedSed):
            self.microphones, self.channel = tagger.description.microphones, 0
        else:
            self.channel = tagger.reference_channel
            self.microphones = max(tagger.microphones, self.channel + 1)

    def check(self, labels: Collection[str]) -> None:
        """Refuse to judge sounds of which none is known.

        Raises:
            UserError: none is.
        """
        if not set(self.labels) & set(labels):
            raise UserError(
                f"{self.file} knows none of the classes {', '.join(labels)}: give task.ear=PATH of a tagger that does."
            )

    def pieces(self, length: int) -> list[tuple[int, int]]:
        """Start and stop of what is heard at once of a sound of some samples at its rate; the last is no shorter."""
        starts = [*range(0, max(0, length - self.window), self.window), max(0, length - self.window)]
        return [(start, min(start + self.window, length)) for start in starts]

    @torch.inference_mode()
    def judge(self, pieces: Iterable[Tensor]) -> dict[str, float]:
        """Probability of each label in a sound, where it is likeliest.

        Args:
            pieces: [L] each, as `pieces` cuts them.
        """
        likeliest = torch.zeros(len(self.labels))
        for piece in pieces:
            mixture = piece.new_zeros(1, self.microphones, max(len(piece), self.shortest))
            mixture[0, self.channel, : len(piece)] = piece
            with computing(piece.device, "fp32"):
                heard = self.tagger(mixture).clip_probabilities[0].float().cpu()
            likeliest = torch.maximum(likeliest, heard)
        return dict(zip(self.labels, likeliest.tolist(), strict=True))

    def hear(self, waveform: Tensor, rate: int) -> dict[str, float]:
        """The same of a sound [L] in memory, at `rate` Hz."""
        sound = resample(waveform.float(), rate, self.rate)
        return self.judge(sound[start:stop] for start, stop in self.pieces(len(sound)))


def load(source: str, cache: Path, classes: str | None = None, rate: int | None = None) -> Ear:
    """The ear that a person names.

    Args:
        source: whatever means a checkpoint of ours (`find`), a separator's for the tagger that it was scored with; or
            an ONNX file, of ours or anybody's.
        cache: the directory that runs share.
        classes: file that says which classes of somebody's network are our labels (`foreign.load`).
        rate: Hz that such a network hears, where it does not say.

    Raises:
        UserError: no tagger can be had there, or it cannot be used.
    """
    if classes is not None:
        path = Path(source)
        tagger = foreign.load(path, Path(classes), rate)
        return Ear(path, tuple(tagger.columns), tagger)
    if rate is not None:
        raise UserError("task.ear_rate is for networks of other people: give task.ear_labels=FILE, or leave it out.")
    file = find(hub.address(source), cache)
    try:
        if (exported if file.suffix == SUFFIX else own).describe(file).kind != "sed":
            scored = scored_with(file)
            named_by = None if scored is None else scored.tagger(TAGGER) or scored.tagger(BASELINE)
            if named_by is None:
                raise UserError(f"{file} is no tagger, and was scored with none: give task.ear=PATH of a tagger.")
            file = named_by
        network, labels = exported.network(file, "sed")
    except UserError as error:
        if file.suffix != SUFFIX:
            raise
        text = str(error).removesuffix(".")
        raise UserError(f"{text}; a network of other people needs task.ear_labels=FILE, too.") from error
    return Ear(file, labels.names, network)


@dataclass(frozen=True)
class HeardStem:
    """What an ear makes of a stem.

    Attributes:
        mixture: its name.
        labels_from: the label source that asked for the stem.
        label: its class.
        outcome: of its entry in the score.
        improvement: SDRi of a hit, dB, else 0.
        stem: probability of its class in it.
        residual: the same in what is left of the mixture without all stems.
    """

    mixture: str
    labels_from: str
    label: str
    outcome: Outcome
    improvement: float
    stem: float
    residual: float

    @property
    def score(self) -> float:
        """From 0 to 1: the class is in its stem, and gone from the residual."""
        return self.stem * (1 - self.residual)


def listen(ear: Ear, row: MixtureRow, estimates: Sources, mixture: Tensor, rate: int) -> list[HeardStem]:
    """What an ear makes of the stems of a mixture, as far as it knows their classes.

    Args:
        ear: listens.
        row: the mixture's score.
        estimates: the stems that were scored, [L].
        mixture: the reference channel [L].
        rate: Hz.
    """
    entries = {(score.label, score.estimate): score for score in row.scores if score.estimate is not None}
    number, known = Counter[str](), []
    for label, waveform in estimates:
        if label in ear.labels:
            known.append((entries[label, number[label]], waveform))
        number[label] += 1
    if not known:
        return []
    left = ear.hear(mixture - sum(waveform for _, waveform in estimates), rate)
    return [
        HeardStem(
            *(row.name, row.labels_from, entry.label, entry.outcome, entry.improvement),
            stem=ear.hear(waveform, rate)[entry.label],
            residual=left[entry.label],
        )
        for entry, waveform in known
    ]


def worth(mixtures: Sequence[Sequence[HeardStem]], bootstrap: Bootstrap) -> dict[str, Estimate]:
    """What an ear heard of sounds that were there, and how far that goes with the SDR improvement.

    Args:
        mixtures: the stems of each of n mixtures under one label source.
        bootstrap: of the intervals: mixtures are drawn, for the stems of one are not independent.

    Returns:
        By the names of `registry.METRICS`; nothing where no such stem was heard.
    """
    hits = [[stem for stem in stems if stem.outcome == "hit"] for stems in mixtures]
    if not any(hits):
        return {}
    sums = [[(sum(stem.stem for stem in s), len(s)), (sum(stem.residual for stem in s), len(s))] for s in hits]
    means = ratios(np.array(sums, float), bootstrap)
    names = ("ear_stem", "ear_residual")
    return {**dict(zip(names, means, strict=True)), "ear_spearman": _agreement(hits, bootstrap)}


def _agreement(hits: Sequence[Sequence[HeardStem]], bootstrap: Bootstrap) -> Estimate:
    """Spearman's rank correlation of the ear's score with the SDR improvement of all stems together."""
    from scipy.stats import spearmanr

    sounding = [np.array([(stem.score, stem.improvement) for stem in stems]) for stems in hits if stems]

    def correlation(drawn: Iterable[int]) -> float:
        score, improvement = np.concatenate([sounding[index] for index in drawn]).T
        return float(spearmanr(score, improvement).statistic) if len(score) > 1 else float("nan")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that are all alike have no ranks: NaN
        value = correlation(range(len(sounding)))
        enough = len(sounding) >= FEWEST
        resampled = [correlation(row) for block in bootstrap.draws(len(sounding)) if enough for row in block.tolist()]
    low, high = bootstrap.interval(resampled).tolist() if enough else (float("nan"), float("nan"))
    return Estimate(value, low, high, len(sounding))
