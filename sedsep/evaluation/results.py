"""What an evaluation amounts to: metrics with their intervals, break-downs, and which labels are taken for which.

Axes: N classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from sedsep.evaluation.ear import worth
from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.ledger import Ledger, make_ledger
from sedsep.events import EventRule
from sedsep.labelling import Expected, PerClass
from sedsep.labels import LabelRule, choose_labels
from sedsep.metrics.bootstrap import Bootstrap, Estimate
from sedsep.metrics.labels import constant_answer_accuracy
from sedsep.metrics.registry import CONSTANT, METRICS, ORACLE, RANKINGS, MetricName, main_source, ordered_metrics
from sedsep.metrics.rows import PARTS, MixtureRow, by_class, by_count, by_group, by_level, summarise
from sedsep.metrics.sed import collar_f1, psds1, segment_pauroc

LABEL_METRICS = tuple(name for name, metric in METRICS.items() if metric.setting == "threshold")
SOUND_METRICS = ("ca_sdri", "capi_sdri", "matched_sdri", "si_sdri", "sdr", "si_sdr")
SILENCE_METRICS = ("silence_precision", "silence_recall", "false_alarms")
PASSES_METRICS = tuple(name for name, metric in METRICS.items() if metric.setting == "passes")


@dataclass(frozen=True)
class Evaluation:
    """Results of a split, mixture by mixture.

    Attributes:
        split: its name, the first part of every metric's name.
        labels: the classes.
        mixtures: in the order of the split.
        passes: the number of refinement passes that metrics without one are for; `None` where nothing was separated.
        rule: by which labels were chosen.
        labelling: what chose them in its threshold's place, by label source.
        events: how events are read from the taggers' frames.
        thresholds: more of them, at which accuracies are given.
        bootstrap: of the intervals.
        ranking: the metric that systems are ranked by, one of `RANKINGS`; with that of 2026 come break-downs by what a
            mixture holds, and measures of silence, as far as the mixtures let them be taken.
    """

    split: str
    labels: tuple[str, ...]
    mixtures: Sequence[MixtureResult]
    passes: int | None = None
    rule: LabelRule = LabelRule()  # noqa: RUF009
    events: EventRule = EventRule()  # noqa: RUF009
    thresholds: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    bootstrap: Bootstrap = Bootstrap()  # noqa: RUF009
    ranking: str = RANKINGS[0]
    labelling: Mapping[str, PerClass | Expected] = field(default_factory=dict)

    @cached_property
    def rows(self) -> dict[tuple[str, int | None], list[MixtureRow]]:
        """By label source and number of passes."""
        table: dict[tuple[str, int | None], list[MixtureRow]] = {}
        for mixture in self.mixtures:
            for row in mixture.rows:
                table.setdefault((row.labels_from, row.passes), []).append(row)
        return table

    @property
    def sources(self) -> list[str]:
        """The label sources."""
        return list(dict.fromkeys(source for source, _ in self.rows))

    @property
    def main_source(self) -> str:
        """The label source that a user has."""
        return main_source(self.sources)

    @property
    def all_passes(self) -> list[int]:
        """Numbers of passes that were scored."""
        return sorted({passes for _, passes in self.rows if passes is not None})

    @property
    def separated(self) -> bool:
        """Whether there are sounds to score, not labels alone."""
        return any(row.scores for rows in self.rows.values() for row in rows)

    def of(self, source: str) -> list[MixtureRow]:
        """The rows of a label source, after `passes`."""
        return self.rows[source, self.passes]

    def of_score(self, score: MetricName) -> list[MixtureRow]:
        """The rows that a score is of; none where it is of no label source or number of passes that was scored."""
        passes = self.passes if score.setting is None else score.setting
        return next((rows for key, rows in self.rows.items() if key == (score.source, passes)), [])

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Every score under its `MetricName`, in the units of `registry.METRICS`."""
        scores: dict[str, Estimate] = {}

        def add(source: str, values: Mapping[str, Estimate], setting: float | str | None = None) -> None:
            scores.update({str(MetricName(self.split, name, source, setting)): one for name, one in values.items()})

        true = [mixture.rows[0].true for mixture in self.mixtures]
        constant = Estimate(constant_answer_accuracy(true), math.nan, math.nan, len(true))
        add(CONSTANT, {"label_accuracy": constant})
        for source in self.sources:
            sounds = [m.name for m in ordered_metrics(self.ranking) if m.name in SOUND_METRICS and self.separated]
            names = [] if source == ORACLE else LABEL_METRICS  # its labels are always right: that says nothing
            add(source, summarise(self.of(source), [*sounds, *names], self.bootstrap))
            if self.ranking == "capi_sdri":
                for name in (*sounds[:1], *names):
                    for group, score in by_group(self.of(source), name, self.bootstrap).items():
                        add(source, {name: score}, group)
                measures = summarise(self.of(source), ["leakage", *(SILENCE_METRICS if names else ())], self.bootstrap)
                add(source, {name: score for name, score in measures.items() if score.count})
            heard = [[stem for stem in m.heard if stem.labels_from == source] for m in self.mixtures]
            add(source, worth(heard, self.bootstrap))
            for passes in self.all_passes if len(self.all_passes) > 1 else ():
                add(source, summarise(self.rows[source, passes], PASSES_METRICS, self.bootstrap), passes)
        for source in self.mixtures[0].outputs:
            clips = [clip for mixture in self.mixtures if (clip := mixture.outputs[source].probabilities) is not None]
            for threshold in self.thresholds if clips else ():
                classes = choose_labels(torch.tensor(clips), replace(self.rule, threshold=threshold))
                rows = [
                    MixtureRow(mixture.name, source, labels, tuple(self.labels[index] for index in indices))
                    for mixture, labels, indices in zip(self.mixtures, true, classes, strict=True)
                ]
                add(source, summarise(rows, LABEL_METRICS, self.bootstrap), threshold)
            add(source, self._detection(source))
        if self.ledger:
            add(self.ledger.source, self.ledger.metrics)
        return scores

    def score(self, metric: str, source: str, setting: float | str | None = None) -> Estimate | None:
        """A metric under a label source, at the job's own number of passes and threshold or another one."""
        return self.metrics.get(str(MetricName(self.split, metric, source, setting)))

    def _detection(self, source: str) -> dict[str, Estimate]:
        """How well a tagger of frames found events in time; nothing where there are none."""
        scenes = [scene for mixture in self.mixtures if (scene := mixture.outputs[source].scene) is not None]
        if not any(scene.events for scene in scenes):
            return {}
        smooth = [scene.smoothed(self.labels, self.events) for scene in scenes]
        # Each resample makes the curves anew: a tenth of them will do, and of those that take seconds none.
        fewer = replace(self.bootstrap, resamples=self.bootstrap.resamples // 10)
        return {
            "segment_pauroc": segment_pauroc(scenes, self.labels, fewer).overall,
            "psds1": psds1(smooth, self.labels).overall,
            "collar_f1": collar_f1(smooth, self.labels, self.rule.threshold).overall,
        }

    @cached_property
    def ledger(self) -> Ledger | None:
        """Where the decibels up to the ceiling are lost; `None` where no chain was followed."""
        chains = [mixture.chain for mixture in self.mixtures]
        return make_ledger(chains, self.ranking, self.bootstrap) if all(chains) else None

    @cached_property
    def by_class(self) -> dict[str, dict[str, Estimate]]:
        """Improvement in dB by label source and class."""
        return {source: by_class(self.of(source), bootstrap=self.bootstrap) for source in self.sources}

    @cached_property
    def by_count(self) -> dict[str, dict[int, Estimate]]:
        """What ranks systems in dB, or label accuracy in % where nothing was separated, by label source and number of
        sources."""
        metric = self.ranking if self.separated else "label_accuracy"
        return {source: by_count(self.of(source), metric, self.bootstrap) for source in self.sources}

    @cached_property
    def by_level(self) -> dict[str, dict[tuple[float, float], Estimate]]:
        """Improvement in dB by label source and the sound's level beside all else, dB."""
        return {source: by_level(self.of(source), bootstrap=self.bootstrap) for source in self.sources}

    def confusion(self, source: str) -> NDArray[np.float64]:
        """How often a true class (row) was named as another (column) [N + 1, N + 1].

        What is missed in a mixture is paired with what is wrongly named there, each pair in equal parts; what is left
        over was named as nothing (last column), or there was nothing (last row). Rows of classes add up to how often
        they sound.
        """
        place = {label: index for index, label in enumerate(self.labels)}
        nothing = len(self.labels)
        table = np.zeros((nothing + 1, nothing + 1))
        for row in self.of(source):
            true, predicted = Counter(row.true), Counter(row.predicted)
            for label, count in (true & predicted).items():
                table[place[label], place[label]] += count
            missed, wrong = list((true - predicted).elements()), list((predicted - true).elements())
            for label in missed:
                for other in wrong:
                    table[place[label], place[other]] += 1 / max(len(missed), len(wrong))
                table[place[label], nothing] += max(0, len(missed) - len(wrong)) / len(missed)
            for other in wrong:
                table[nothing, place[other]] += max(0, len(wrong) - len(missed)) / len(wrong)
        return table

    def ranked(self, source: str) -> list[MixtureRow]:
        """Mixtures by what ranks systems, under a label source, by the share of sources named rightly where nothing was
        separated; best first."""
        quality = PARTS[self.ranking if self.separated else "source_accuracy"]
        scored = {row.name: (row, total / count) for row in self.of(source) for total, count in [quality(row)] if count}
        return [row for row, _ in sorted(scored.values(), key=lambda pair: pair[1], reverse=True)]
