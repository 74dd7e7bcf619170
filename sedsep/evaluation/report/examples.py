"""Recordings taken apart: each event's target beside what was made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sedsep.evaluation.report.clips import Clip, Clips, finite
from sedsep.evaluation.report.data import ORACLE, Example, Stem
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.html import number
from sedsep.evaluation.report.scores import ordered
from sedsep.evaluation.report.timelines import timeline_figure


def origins_of(examples: Sequence[Example]) -> list[str]:
    """Who named events anywhere, in the order they are shown."""
    return ordered({stem.origin for example in examples for stem in example.stems if _is_estimate(stem)})


@dataclass
class Row:
    """One event: its target, when there is one, beside what each origin made of it."""

    label: str
    clips: list[Clip]
    badges: list[str] = field(default_factory=list)


def example_view(example: Example, origins: Sequence[str]) -> dict:
    """What the page shows of an example."""
    clips = Clips([example.mixture, *(stem.waveform for stem in example.stems)], example.sample_rate)
    mixture = clips.card(example.mixture, "Mixture", "mixture", f"mixture {example.name}")
    rows = []
    for label, target, estimates in _paired(example.stems):
        row = Row(label, [])
        if target is not None:
            row.clips.append(clips.card(target.waveform, "Target, dry", "target", f"dry target of {label}"))
        for shared in _alike(estimates, origins, clips.gain):
            stem, named = estimates[shared[0]], " and ".join(shared)
            kind = "estimate" if target is not None else "false-alarm"
            alt = f"estimate of {label}, {named} labels"
            row.clips.append(clips.card(stem.waveform, f"Estimate: {named}", kind, alt, stem.sdr_improvement))
            if target is None:
                row.badges.append(f"false alarm with {named} labels")
        for origin in origins:
            if target is not None and origin not in estimates and origin != ORACLE:
                row.clips.append(Clip(f"Estimate: {origin}", "miss"))
                row.badges.append(f"missed with {origin} labels")
        rows.append(row)
    return {
        "example": example,
        "gain_db": number(clips.gain_db, 1, "dB"),
        "mixture": mixture,
        "rows": rows,
        "timeline": _timeline(example, clips.seconds),
        "spans": [(label, number(on, 2), number(off, 2)) for label, on, off in example.true_spans],
    }


def _timeline(example: Example, seconds: float) -> str | None:
    if example.sed_probabilities is None:
        return None
    predicted = [stem.label for stem in example.stems if _is_estimate(stem) and stem.origin != ORACLE]
    figure = timeline_figure(
        example.sed_probabilities,
        example.sed_labels,
        example.sed_frame_s,
        example.true_spans,
        predicted=predicted,
        seconds=seconds,
    )
    return svg_uri(figure)


def _paired(stems: Sequence[Stem]) -> list[tuple[str, Stem | None, dict[str, Stem]]]:
    """(label, target, estimate by origin) of each event: targets first, then what was never there."""
    events: dict[tuple[str, int], tuple[Stem | None, dict[str, Stem]]] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    for stem in sorted(stems, key=_is_estimate):
        who = (stem.label, stem.source, stem.origin if _is_estimate(stem) else "")
        key = (stem.label, seen[who])
        seen[who] += 1
        if _is_estimate(stem):
            events.setdefault(key, (None, {}))[1][stem.origin] = stem
        else:
            events[key] = (stem, {})
    return [(label, target, estimates) for (label, _), (target, estimates) in events.items()]


def _alike(estimates: Mapping[str, Stem], origins: Sequence[str], gain: float) -> list[list[str]]:
    """Origins that gave an estimate, together where it is the same sound: asked for the same event, a separator that
    treats each query alone answers the same whoever named it, and nobody need hear it twice."""
    groups: list[list[str]] = []
    for origin in origins:
        if origin not in estimates:
            continue
        sound = estimates[origin].waveform
        for group in groups:
            other = estimates[group[0]].waveform
            if len(other) == len(sound) and bool(np.all(np.abs(finite(other) - finite(sound)) * gain < 2**-15)):
                group.append(origin)
                break
        else:
            groups.append([origin])
    return groups


def _is_estimate(stem: Stem) -> bool:
    return stem.source == "estimate"
