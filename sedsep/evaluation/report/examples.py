"""Recordings taken apart, to look at and listen to: each event's target beside what was made of it.

Axes: L samples, N classes, S SED frames.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from sedsep.evaluation.evaluator import AnyEvaluator, FileEvaluator
from sedsep.evaluation.report.clips import Clip, Clips, finite
from sedsep.evaluation.report.html import number
from sedsep.evaluation.report.timelines import timeline_figure
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.separating import separate, true_sources
from sedsep.metrics.registry import FILES, METRICS, ORACLE, ordered_sources
from sedsep.metrics.rows import PARTS
from sedsep.metrics.sdri import score_mixture
from sedsep.scenes.dataset import collate
from sedsep.types import Batch, FloatArray, Scene, SedOutput, Sources


class Stem(NamedTuple):
    """A separated sound.

    Attributes:
        label: class name.
        waveform: float32 [L].
        sdr_improvement: dB over the mixture; `None` for false alarms.
        event: which of the class's events it was matched to, in their order; false alarms come after them.
    """

    label: str
    waveform: FloatArray
    sdr_improvement: float | None = None
    event: int = 0


@dataclass(frozen=True)
class Example:
    """A recording, taken apart.

    A target without an estimate of a label source is shown as missed, an estimate without a target as a false alarm.

    Attributes:
        name: of the recording.
        sample_rate: Hz, of all sounds.
        mixture: reference channel, float32 [L].
        caption: why it is shown, beside the name, such as "Best of 1500: 14.2 dB".
        targets: dry sounds, label and float32 [L].
        estimates: separated sounds by label source.
        spans: (label, onset, offset) of each true event, seconds.
        sed_probabilities: frame-wise class probabilities [N, S]; `None` without a detector.
        sed_labels: the N class names of its rows.
    """

    name: str
    sample_rate: int
    mixture: FloatArray
    caption: str = ""
    targets: Sequence[tuple[str, FloatArray]] = ()
    estimates: Mapping[str, Sequence[Stem]] = field(default_factory=dict)
    spans: Sequence[tuple[str, float, float]] = ()
    sed_probabilities: FloatArray | None = None
    sed_labels: Sequence[str] = ()

    @property
    def duration(self) -> float:
        """Length of the mixture, seconds."""
        return len(self.mixture) / self.sample_rate


def take_apart(
    evaluation: Evaluation,
    scenes: Dataset[Scene],
    evaluator: AnyEvaluator,
    count: int,
    sample_rate: int,
    device: torch.device,
) -> list[Example]:
    """Separate some mixtures once more: those with the best scores under a user's labels, and as many of the worst.

    Args:
        evaluation: the scores.
        scenes: what was scored, in the order of the evaluation.
        evaluator: what scored it.
        count: of mixtures; of an odd number the best are one more.
        sample_rate: Hz.
        device: to separate on.
    """
    evaluator = evaluator.to(device)
    ranked = evaluation.ranked(evaluation.main_source)
    place = {mixture.name: index for index, mixture in enumerate(evaluation.mixtures)}
    count = min(count, len(ranked))
    best = (count + 1) // 2
    examples = []
    for rank in (*range(best), *range(len(ranked) - (count - best), len(ranked))):
        row = ranked[rank]
        metric = METRICS["source_accuracy" if row.ca_sdri is None else evaluation.ranking]
        total, parts = PARTS[metric.name](row)
        score = f"{total / parts:.1f} {metric.unit}" if parts else "nothing to name"
        which = "Best" if rank == 0 else "Worst" if rank == len(ranked) - 1 else f"Number {rank + 1}"
        caption = f"{which} of {len(ranked)} with {evaluation.main_source} labels: {metric.title} {score}"
        batch = collate([scenes[place[row.name]]], evaluator.labels).to(device)
        examples.append(taken_apart(batch, evaluator, evaluation, sample_rate, caption))
    return examples


@torch.inference_mode()
def taken_apart(batch: Batch, evaluator: AnyEvaluator, evaluation: Evaluation, rate: int, caption: str) -> Example:
    """The one mixture of a batch, with estimates of a user's labels beside those of the true ones."""
    mixture = batch.mixture[0, 0]
    (truth,) = true_sources(batch, evaluator.labels)
    outputs: dict[str, SedOutput] = {}
    sounds: dict[str, Sources] = {}
    if isinstance(evaluator, FileEvaluator):
        sounds = {FILES: evaluator.estimates(batch.names[0], mixture.shape[-1])}
    else:
        outputs = {source: tagger(batch.mixture) for source, tagger in evaluator.taggers.items()}
        if evaluator.separator is not None:
            shown = {ORACLE, evaluation.main_source}
            answers = {s: chosen for s, chosen in evaluator.classes(batch, outputs).items() if s in shown}
            found = separate(evaluator.separator, batch.mixture, answers, evaluator.labels, evaluator.passes)
            if evaluator.self_guided is not None:
                found |= evaluator.self_guided(batch.mixture, evaluator.passes)
            sounds = {source: item for (source, passes), (item,) in found.items() if passes == evaluation.passes}
    estimates: dict[str, list[Stem]] = {}
    for source, pairs in sounds.items():
        waveforms = [(label, waveform.to(mixture.device)) for label, waveform in pairs]
        of_class = defaultdict(list)
        for label, waveform in waveforms:
            of_class[label].append(waveform.cpu().numpy())
        estimates[source], event = [], Counter[str]()
        for score in score_mixture(waveforms, truth, mixture):
            if score.estimate is not None:
                gain = score.improvement if score.outcome == "hit" else None
                stem = Stem(score.label, of_class[score.label][score.estimate], gain, event[score.label])
                estimates[source].append(stem)
            event[score.label] += 1  # entries of a class are in the order of its events
    spans = batch.spans[0][batch.query[0].any(1)]
    activity = outputs["tagger"].strong_probabilities if "tagger" in outputs else None
    return Example(
        name=batch.names[0],
        sample_rate=rate,
        mixture=mixture.cpu().numpy(),
        caption=caption,
        targets=[(label, target.cpu().numpy()) for label, target in truth],
        estimates=estimates,
        spans=[(label, on / rate, off / rate) for (label, _), (on, off) in zip(truth, spans.tolist(), strict=True)],
        sed_probabilities=None if activity is None else activity[0].cpu().numpy(),
        sed_labels=() if activity is None else evaluator.labels.names,
    )


def example_view(example: Example, by: str = "with {} labels") -> dict[str, Any]:
    """What the page shows of an example: a row an event, its target beside what each label source led to.

    Args:
        example: to show.
        by: says whose an estimate is, of what stands for a label source.
    """
    estimates = example.estimates
    stems = [stem for source in estimates.values() for stem in source]
    sounds = [example.mixture, *(target for _, target in example.targets), *(stem.waveform for stem in stems)]
    clips = Clips(sounds, example.sample_rate)
    rows = []
    for label, target, answers in _events(example):
        cards, badges = [], []
        if target is not None:
            cards.append(clips.card(target, "Target, dry", "target", f"dry target of {label}"))
        for shared in _alike(answers, clips.gain):
            stem, named = answers[shared[0]], " and ".join(shared)
            kind = "estimate" if target is not None else "false-alarm"
            alt = f"estimate of {label} {by.format(named)}"
            cards.append(clips.card(stem.waveform, f"Estimate: {named}", kind, alt, stem.sdr_improvement))
            if target is None:
                badges.append(f"false alarm {by.format(named)}")
        for source in ordered_sources(estimates):
            if target is not None and source not in answers and source != ORACLE:
                cards.append(Clip(f"Estimate: {source}", "miss"))
                badges.append(f"missed {by.format(source)}")
        rows.append({"label": label, "clips": cards, "badges": badges})
    timeline = None
    if example.sed_probabilities is not None:
        predicted = [stem.label for source in estimates if source != ORACLE for stem in estimates[source]]
        timeline = timeline_figure(
            example.sed_probabilities,
            example.sed_labels,
            example.duration,
            example.spans,
            [*(label for label, *_ in example.spans), *predicted],
            seconds=clips.seconds,
        )
    return {
        "example": example,
        "gain_db": number(clips.gain_db, 1, "dB"),
        "mixture": clips.card(example.mixture, "Mixture", "mixture", f"mixture {example.name}"),
        "rows": rows,
        "timeline": timeline,
        "spans": [(label, number(on, 2), number(off, 2)) for label, on, off in example.spans],
    }


def _events(example: Example) -> list[tuple[str, FloatArray | None, dict[str, Stem]]]:
    """(name, target, estimate by label source) of each event: targets first, then what was never there. Events of one
    class are numbered."""
    events: dict[tuple[str, int], tuple[FloatArray | None, dict[str, Stem]]] = {}
    count = Counter[str]()
    for label, target in example.targets:
        events[label, count[label]] = (target, {})
        count[label] += 1
    for source, stems in example.estimates.items():
        for stem in stems:
            events.setdefault((stem.label, stem.event), (None, {}))[1][source] = stem
    several = Counter(label for label, _ in events)
    return [
        (label if several[label] == 1 else f"{label} {event + 1}", target, answers)
        for (label, event), (target, answers) in events.items()
    ]


def _alike(answers: Mapping[str, Stem], gain: float) -> list[list[str]]:
    """The label sources of an event, together where they led to the same sound: asked for the same event, a separator
    that treats each query alone answers the same whoever named it, and nobody need hear it twice."""
    groups: list[list[str]] = []
    for source in ordered_sources(answers):
        sound = answers[source].waveform
        for group in groups:
            other = answers[group[0]].waveform
            if len(other) == len(sound) and bool(np.all(np.abs(finite(other) - finite(sound)) * gain < 2**-15)):
                group.append(source)
                break
        else:
            groups.append([source])
    return groups
