"""How well events were found in time, over all thresholds, by sed_scores_eval.

A class without an event in the scenes has no curve and is left out of the mean. Events of one class that overlap or
touch are one, for frame-wise probabilities cannot tell them apart. Nothing smooths the probabilities but
`SedScene.smoothed`, for measures of events.

Axes: B batch, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from sedsep.errors import UserError
from sedsep.events import EventRule
from sedsep.metrics.bootstrap import FEWEST, Bootstrap, Estimate
from sedsep.types import Batch, FloatArray

SEGMENT_S = 1.0
MAX_FPR = 0.1
OVERLAP = 0.7
COLLARS = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
NO_INTERVAL = Bootstrap(resamples=0)


class SedEvent(NamedTuple):
    """Onset and offset in seconds, and which class it is."""

    onset: float
    offset: float
    class_index: int


@dataclass(frozen=True)
class SedScene:
    """A detector's output for a scene, and what the scene holds.

    Attributes:
        probabilities: float32 [S, N]; the frames fill the scene.
        events: the truth.
        duration: seconds.
    """

    probabilities: FloatArray
    events: tuple[SedEvent, ...]
    duration: float

    def smoothed(self, labels: Sequence[str], rule: EventRule) -> SedScene:
        """The scene with what a rule leaves of the probabilities of the N classes `labels`."""
        frame_s = self.duration / len(self.probabilities)
        return replace(self, probabilities=rule.smooth(self.probabilities.T, labels, frame_s).T)


@dataclass(frozen=True)
class SedScore:
    """A measure over scenes.

    Attributes:
        overall: over the classes that have a curve.
        per_class: their own values.
    """

    overall: Estimate
    per_class: dict[str, float] = field(default_factory=dict)


def sed_scenes(probabilities_bns: Tensor, batch: Batch, rate: int) -> list[SedScene]:
    """The scenes of a batch at `rate` Hz with their frame-wise probabilities."""
    duration = batch.mixture.shape[-1] / rate
    scenes = []
    for probabilities, query, spans in zip(probabilities_bns, batch.query.cpu(), batch.spans.tolist(), strict=True):
        events = tuple(
            SedEvent(onset / rate, offset / rate, int(row.argmax()))
            for row, (onset, offset) in zip(query, spans, strict=True)
            if row.any() and offset > onset
        )
        scenes.append(SedScene(probabilities.float().T.cpu().numpy(), events, duration))
    return scenes


def segment_pauroc(scenes: Sequence[SedScene], labels: Sequence[str], bootstrap: Bootstrap = NO_INTERVAL) -> SedScore:
    """Partial area under the ROC curve of segments of 1.0 s up to a false positive rate of 0.1, 0 to 1.

    The area is divided by 0.1, without McClish's correction: chance is 0.05, not 0.5. Mean over classes; one that
    sounds in every segment has no curve either.
    """
    from sed_scores_eval.segment_based import auroc, intermediate_statistics

    def deltas(scores: Any, truth: Any, durations: Any) -> Any:
        return intermediate_statistics.intermediate_statistics_deltas(
            scores, truth, durations, segment_length=SEGMENT_S
        )

    def value(deltas: Any, truth: Any, durations: Any) -> tuple[float, dict[str, float]]:
        areas, _ = auroc(None, truth, durations, deltas=deltas, segment_length=SEGMENT_S, max_fpr=MAX_FPR)
        del areas["mean"]
        areas = {label: area for label, area in areas.items() if np.isfinite(area)}
        return (float(np.mean(list(areas.values()))) if areas else float("nan")), areas

    return _measure(scenes, labels, deltas, value, bootstrap)


def psds1(scenes: Sequence[SedScene], labels: Sequence[str], bootstrap: Bootstrap = NO_INTERVAL) -> SedScore:
    """Polyphonic sound detection score, 0 to 1: detection and ground truth tolerance 0.7, no cross-triggers, up to 100
    false positives an hour; mean less one standard deviation over classes."""
    from sed_scores_eval import intersection_based

    tolerances = {"dtc_threshold": OVERLAP, "gtc_threshold": OVERLAP}

    def deltas(scores: Any, truth: Any, durations: Any) -> Any:
        return intersection_based.intermediate_statistics_deltas(scores, truth, **tolerances)

    def value(deltas: Any, truth: Any, durations: Any) -> tuple[float, dict[str, float]]:
        overall, per_class, *_ = intersection_based.psds(
            None, truth, durations, deltas=deltas, alpha_ct=0.0, alpha_st=1.0, **tolerances
        )
        return float(overall), per_class

    return _measure(scenes, labels, deltas, value, bootstrap)


def collar_f1(
    scenes: Sequence[SedScene],
    labels: Sequence[str],
    threshold: float | None = 0.5,
    bootstrap: Bootstrap = NO_INTERVAL,
) -> SedScore:
    """F1 of events, in %, mean over classes: an event is found where the onset is within 0.2 s, and the offset within
    0.2 s or 20 % of the event's length, whichever is more.

    Args:
        threshold: above which a class is active; `None` for each class's best, chosen on these very scenes: a
            bound to what thresholds can do.
    """
    from sed_scores_eval import collar_based

    def deltas(scores: Any, truth: Any, durations: Any) -> Any:
        return collar_based.intermediate_statistics.intermediate_statistics_deltas(scores, truth, **COLLARS)

    def value(deltas: Any, truth: Any, durations: Any) -> tuple[float, dict[str, float]]:
        if threshold is None:
            by_label, *_ = collar_based.best_fscore(None, truth, deltas=deltas, **COLLARS)
        else:
            by_label, *_ = collar_based.fscore(None, truth, threshold, deltas=deltas, **COLLARS)
        per_class = {label: 100.0 * f1 for label, f1 in by_label.items() if not label.endswith("_average")}
        return 100.0 * float(by_label["macro_average"]), per_class

    return _measure(scenes, labels, deltas, value, bootstrap)


def _measure(
    scenes: Sequence[SedScene],
    labels: Sequence[str],
    deltas_of: Callable[[Any, Any, Any], Any],
    value_of: Callable[[Any, Any, Any], tuple[float, dict[str, float]]],
    bootstrap: Bootstrap,
) -> SedScore:
    """A measure from what each scene adds to the curves, computed once for all resamples.

    Args:
        deltas_of: additions by scene, from tables of probabilities, events and durations by scene.
        value_of: overall and by class, from additions, events and durations by scene.
    """
    kept = {index: labels[index] for index in sorted({event.class_index for s in scenes for event in s.events})}
    names = [str(number) for number in range(len(scenes))]
    truth = {
        name: [(e.onset, e.offset, labels[e.class_index]) for e in _merged(scene.events)]
        for name, scene in zip(names, scenes, strict=True)
    }
    durations = {name: scene.duration for name, scene in zip(names, scenes, strict=True)}
    deltas = (
        deltas_of({n: _table(s, kept) for n, s in zip(names, scenes, strict=True)}, truth, durations) if kept else {}
    )

    def value(drawn: Iterable[int]) -> tuple[float, dict[str, float]]:
        ids = [str(number) for number in drawn]
        sounding = {label for number in ids for _, _, label in truth[number]}
        if not sounding:
            return float("nan"), {}
        chosen = ({label: delta for label, delta in deltas[number].items() if label in sounding} for number in ids)
        parts = (chosen, (truth[number] for number in ids), (durations[number] for number in ids))
        with np.errstate(divide="ignore", invalid="ignore"):
            return value_of(*({str(place): item for place, item in enumerate(part)} for part in parts))

    overall, per_class = value(range(len(scenes)))
    drawn = bootstrap.draws(len(scenes)) if kept and len(scenes) >= FEWEST else ()
    low, high = bootstrap.interval([value(numbers)[0] for block in drawn for numbers in block.tolist()]).tolist()
    return SedScore(Estimate(overall, low, high, len(scenes)), {label: float(v) for label, v in per_class.items()})


def _table(scene: SedScene, kept: Mapping[int, str]) -> Any:
    """The probabilities of the classes that are kept, in the form of sed_scores_eval."""
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    if not np.isfinite(scene.probabilities).all():
        raise UserError("The SED model gave probabilities that are not finite and have no curve: look at its weights.")
    edges = np.linspace(0.0, scene.duration, len(scene.probabilities) + 1)
    return create_score_dataframe(scene.probabilities[:, list(kept)], edges, list(kept.values()))


def _merged(events: Iterable[SedEvent]) -> list[SedEvent]:
    """Events of which none touches another of its class."""
    merged: list[SedEvent] = []
    for event in sorted(events, key=lambda e: (e.class_index, e.onset)):
        last = merged[-1] if merged else None
        if last and last.class_index == event.class_index and event.onset <= last.offset:
            merged[-1] = last._replace(offset=max(last.offset, event.offset))
        else:
            merged.append(event)
    return merged
