"""Two-stage evaluation: every label source and number of passes scored from one look at each mixture.

Axes: B batch, M microphones, L samples, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sedsep.evaluation.separating import Answers, Found, separate_sources, true_classes, true_sources
from sedsep.labels import LabelSet
from sedsep.metrics import MixtureRow, SedScene, sed_scenes, separated_row
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel, choose_labels
from sedsep.types import Batch, SedOutput

ORACLE = "oracle"
FILES = "files"
"""The label source of estimates that another system made."""

Made = Callable[[str, int], Sequence[tuple[str, Tensor]]]
"""What another system made of a mixture of that name and length: labels with waveforms [L]."""
Keep = Callable[[str, str, int, Found], None]
"""Takes the estimates of a mixture by name: label source, passes, waveforms [L] by label."""


@dataclass(frozen=True)
class Heard:
    """What a tagger said of a mixture.

    Attributes:
        clip: probability of each class. scene: those of frames with the true events; `None` for a tagger of clips.
    """

    clip: list[float]
    scene: SedScene | None


@dataclass(frozen=True)
class Judged:
    """One mixture: a row for each label source and number of passes, and what each tagger said."""

    name: str
    rows: list[MixtureRow]
    heard: dict[str, Heard] = field(default_factory=dict)


class Evaluator(nn.Module):
    """Scores mixtures, always in float32.

    Args:
        labels: the classes. rate: Hz, of the mixtures. taggers: SED models that name the events, by label source.
        oracle: whether the true labels are a source, too.
        separator: `None` scores labels alone. passes: numbers of refinement passes to score.
        threshold: probability from which a class is named. at_most: of a mixture.
        keep: is handed the estimates.
    """

    def __init__(
        self,
        labels: LabelSet,
        rate: int,
        taggers: Mapping[str, SedModel],
        separator: GuidedSeparator | None = None,
        passes: Sequence[int] = (1,),
        oracle: bool = True,
        threshold: float = 0.5,
        at_most: int = 3,
        keep: Keep | None = None,
    ) -> None:
        super().__init__()
        self.labels, self.rate, self.passes, self.oracle, self.keep = labels, rate, tuple(passes), oracle, keep
        self.threshold, self.at_most = threshold, at_most
        self.taggers = nn.ModuleDict(taggers)
        self.separator = separator
        self.eval()

    @torch.inference_mode()
    def forward(self, batch: Batch) -> list[Judged]:
        """Score a batch on the device where it is."""
        with torch.autocast(batch.mixture.device.type, enabled=False):
            said = {source: tagger(batch.mixture) for source, tagger in self.taggers.items()}
            answers = self.answers(batch, said)
            found = {} if self.separator is None else self.separate(batch.mixture, answers)
        heard = {source: self._heard(output, batch) for source, output in said.items()}
        truth = true_sources(batch, self.labels)
        judged = []
        for item, name in enumerate(batch.names):
            if self.separator is None:
                true = tuple(label for label, _ in truth[item])
                rows = [MixtureRow(name, s, true, self._names(chosen[item])) for s, chosen in answers.items()]
            else:
                rows = [
                    self._row(name, source, count, made[item], truth[item], batch.mixture[item, 0])
                    for (source, count), made in found.items()
                ]
            judged.append(Judged(name, rows, {source: scenes[item] for source, scenes in heard.items()}))
        return judged

    def answers(self, batch: Batch, said: Mapping[str, SedOutput]) -> Answers:
        """What every label source names."""
        answers: dict[str, Sequence[Sequence[int]]] = {
            source: choose_labels(output.clip_probabilities, self.threshold, at_most=self.at_most)
            for source, output in said.items()
        }
        return answers | ({ORACLE: true_classes(batch)} if self.oracle else {})

    def separate(self, mixture: Tensor, answers: Answers) -> dict[tuple[str, int], list[Found]]:
        """See `separate_sources`; there must be a separator."""
        assert self.separator is not None
        return separate_sources(self.separator, mixture, answers, self.labels, self.passes)

    def _names(self, chosen: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.labels.names[index] for index in chosen)

    def _row(
        self, name: str, source: str, passes: int, made: Found, truth: list[tuple[str, Tensor]], mixture: Tensor
    ) -> MixtureRow:
        if self.keep is not None:
            self.keep(name, source, passes, made)
        return separated_row(name, source, made, truth, mixture, passes)

    def _heard(self, output: SedOutput, batch: Batch) -> list[Heard]:
        clips = output.clip_probabilities.tolist()
        frames = output.strong_probabilities
        if frames is None:
            return [Heard(clip, None) for clip in clips]
        return [Heard(clip, scene) for clip, scene in zip(clips, sed_scenes(frames, batch, self.rate), strict=True)]


class FileJudge(nn.Module):
    """Scores what another system made of the mixtures.

    Args:
        labels: the classes. made: gives it.
    """

    def __init__(self, labels: LabelSet, made: Made) -> None:
        super().__init__()
        self.labels, self.made = labels, made

    def forward(self, batch: Batch) -> list[Judged]:
        """Score a batch."""
        judged = []
        for name, mixture, truth in zip(batch.names, batch.mixture, true_sources(batch, self.labels), strict=True):
            made = [(label, wave.to(mixture.device)) for label, wave in self.made(name, mixture.shape[-1])]
            judged.append(Judged(name, [separated_row(name, FILES, made, truth, mixture[0])]))
        return judged
