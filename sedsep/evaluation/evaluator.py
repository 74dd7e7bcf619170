"""Two-stage evaluation: every label source scored from one separation of each queried class.

Axes: B batch, K queries, M microphones, L samples, N classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sedsep.evaluation.label_sources import LabelTable
from sedsep.labels import LabelSet
from sedsep.metrics import (
    ClassScore,
    ca_sdri,
    constant_answer_accuracy,
    mixture_accuracy,
    score_mixture,
    source_accuracy,
)
from sedsep.models.sed import one_hot_rows
from sedsep.models.separator import GuidedSeparator
from sedsep.types import Batch


@dataclass
class MixtureResult:
    """One mixture: its true classes, and each label source's classes and scores."""

    name: str
    true: list[int]
    predicted: dict[str, list[int]] = field(default_factory=dict)
    scores: dict[str, list[ClassScore]] = field(default_factory=dict)


@dataclass
class Evaluation:
    """Results of a split, mixture by mixture."""

    split: str
    sources: tuple[str, ...]
    mixtures: list[MixtureResult]

    def metrics(self) -> dict[str, float]:
        """Flat `<split>/<metric>/<label source>` to number: dB for `ca_sdri`, % for accuracies."""
        true = [m.true for m in self.mixtures]
        out = {f"{self.split}/label_accuracy/constant": constant_answer_accuracy(true)}
        for source in self.sources:
            predicted = [m.predicted[source] for m in self.mixtures]
            out[f"{self.split}/label_accuracy/{source}"] = mixture_accuracy(predicted, true)
            out[f"{self.split}/source_accuracy/{source}"] = source_accuracy(predicted, true)
            if any(source in m.scores for m in self.mixtures):
                out[f"{self.split}/ca_sdri/{source}"] = ca_sdri(m.scores[source] for m in self.mixtures)
        return out

    def by_class(self, source: str) -> dict[str, list[ClassScore]]:
        """Every score of a class under a label source."""
        table: dict[str, list[ClassScore]] = defaultdict(list)
        for mixture in self.mixtures:
            for score in mixture.scores.get(source, []):
                table[score.label].append(score)
        return dict(table)


def evaluate(
    split: str,
    batches: Iterable[Batch],
    labels: LabelSet,
    sources: Mapping[str, LabelTable],
    separator: GuidedSeparator | None,
    device: torch.device,
) -> Evaluation:
    """Score a split under every label source.

    Args:
        split: its name, the first part of every metric's name.
        batches: the scenes.
        sources: the labels each source gives each scene; must hold `oracle`.
        separator: `None` scores the labels alone.
        device: where the separator runs.
    """
    if separator is not None:
        separator = separator.to(device).eval()
    results = []
    for batch in batches:
        rows = [MixtureResult(name, list(sources["oracle"][name])) for name in batch.names]
        for source, table in sources.items():
            for row in rows:
                row.predicted[source] = list(table[row.name])
        if separator is not None:
            _score(rows, batch, labels, separator, device)
        results += rows
    return Evaluation(split, tuple(sources), results)


def _score(
    rows: list[MixtureResult], batch: Batch, labels: LabelSet, separator: GuidedSeparator, device: torch.device
) -> None:
    references = true_sources(batch, labels)
    for source, estimates in separate_sources(separator, batch.mixture, rows, labels, device).items():
        for row, mixture, truth, waveforms in zip(rows, batch.mixture, references, estimates, strict=True):
            row.scores[source] = score_mixture(waveforms, truth, mixture[0])


def true_sources(batch: Batch, labels: LabelSet) -> list[dict[str, Tensor]]:
    """The dry sources [L] of every mixture by label, on the CPU."""
    return [
        {
            labels.names[int(one_hot.argmax())]: target
            for one_hot, target in zip(query, targets, strict=True)
            if one_hot.any()
        }
        for query, targets in zip(batch.query, batch.targets.cpu(), strict=True)
    ]


@torch.inference_mode()
def separate_sources(
    separator: GuidedSeparator, mixture: Tensor, rows: list[MixtureResult], labels: LabelSet, device: torch.device
) -> dict[str, list[dict[str, Tensor]]]:
    """Estimates [L] by label of every mixture, for each label source.

    A class asked for by several sources is separated once; a separator that answers all queries together (its answer to
    one depends on the others) is asked once a source.
    """
    mixture = mixture.to(device)
    sources = list(rows[0].predicted)
    if separator.separator.outputs == 1:
        wanted = [sorted({index for chosen in row.predicted.values() for index in chosen}) for row in rows]
        asked = {tuple(sources): wanted}
        slots = max(1, *(len(chosen) for chosen in wanted))
    else:
        asked = {(source,): [row.predicted[source] for row in rows] for source in sources}
        slots = separator.separator.outputs
    out = {}
    for names, wanted in asked.items():
        query = one_hot_rows(wanted, slots, len(labels), device)
        estimates = separator(mixture, query).estimates.cpu()
        found = [
            {index: item[slot] for slot, index in enumerate(chosen[:slots])}
            for chosen, item in zip(wanted, estimates, strict=True)
        ]
        for source in names:
            out[source] = [
                {labels.names[index]: item[index] for index in row.predicted[source] if index in item}
                for row, item in zip(rows, found, strict=True)
            ]
    return out
