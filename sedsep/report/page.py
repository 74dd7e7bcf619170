"""From a `Report` to one HTML file that holds everything it shows."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sedsep.report import figures
from sedsep.report.clips import PEAK, ROUNDING_DB, Clip, Clips, finite, svg_uri
from sedsep.report.data import ORACLE, ClassRow, Curve, Example, Report, Stem
from sedsep.report.html import MISSING, fill, number, write_page

CONSTANT = "constant"
"""The label source that listens to nothing: it gives every recording the same answer."""


@dataclass(frozen=True)
class MetricText:
    """How a metric is introduced to a reader: its name, unit, decimals and one plain sentence."""

    name: str
    unit: str
    digits: int
    meaning: str


METRICS = {
    "ca_sdri": MetricText(
        "CA-SDRi",
        "dB",
        2,
        "Class-aware SDR improvement: how much closer to the dry original each event is than in the mixture; "
        "a missed or invented event counts 0 dB.",
    ),
    "capi_sdri": MetricText(
        "CAPI-SDRi",
        "dB",
        2,
        "Like CA-SDRi, for recordings where one class may sound twice: estimates of a class are matched to its events "
        "in the best order.",
    ),
    "ca_si_sdri": MetricText(
        "CA-SI-SDRi", "dB", 2, "Class-aware improvement of the scale-invariant SDR, blind to the loudness of estimates."
    ),
    "sdri": MetricText("SDRi", "dB", 2, "SDR improvement over the mixture, over correctly named events only."),
    "si_sdri": MetricText("SI-SDRi", "dB", 2, "SDRi that ignores the loudness of the estimate."),
    "sdr": MetricText("SDR", "dB", 2, "Power of the dry original over the power of the error, whole clip."),
    "si_sdr": MetricText("SI-SDR", "dB", 2, "SDR that ignores the loudness of the estimate."),
    "label_accuracy": MetricText(
        "Label accuracy", "%", 1, "Recordings in which exactly the true events are named, none missing, none too many."
    ),
    "source_accuracy": MetricText(
        "Source accuracy", "%", 1, "Correctly named events among all that are true or named."
    ),
    "partial_auroc": MetricText(
        "Partial AUROC",
        "",
        3,
        "Sound event detection in 1 s segments: area under the ROC curve up to a false-alarm rate of 0.1, "
        "divided by 0.1, mean over classes; 1 is perfect.",
    ),
    "psds1": MetricText(
        "PSDS1", "", 3, "Polyphonic sound detection score, strict about on- and offsets; 1 is perfect."
    ),
    "collar_f1": MetricText("Collar-based F1", "", 3, "Events found with the right on- and offset; 1 is perfect."),
    "loss": MetricText("Loss", "", 3, "The training objective; lower is better."),
}

SOURCES = {
    "tagger": "events named by the trained tagger",
    "baseline": "events named by the challenge's baseline tagger",
    ORACLE: "true events given: the upper bound",
    CONSTANT: "always the commonest set of events: what to beat",
}
"""What a label source is."""

_MAIN_METRICS = ("ca_sdri", "capi_sdri")


def write_report(path: Path, report: Report) -> None:
    """Write `report` as one self-contained HTML page; nothing is fetched when it is opened.

    The file appears whole or not at all, and an older one stays until then. Missing folders are made.

    Args:
        path: the HTML file.
        report: what to show.

    Raises:
        UserError: the file cannot be written there.
    """
    write_page(path, render(report))


def render(report: Report) -> str:
    """The page of `report` as HTML text."""
    origins = _ordered({stem.origin for example in report.examples for stem in example.stems if _is_estimate(stem)})
    return fill(
        "template.html",
        page=report,
        headline=_headline(report.metrics),
        tables=_metric_tables(report.metrics),
        classes=_class_table(report.per_class),
        curves=[_curve_view(curve) for curve in report.curves if curve.series],
        examples=[_example_view(example, origins) for example in report.examples],
        sources=SOURCES,
        constant=CONSTANT,
        peak=PEAK,
        rounding_db=ROUNDING_DB,
    )


# --- metrics --------------------------------------------------------------------------------------------------------


def _split_key(key: str) -> tuple[str, str, str]:
    """(split, metric, label source) of a key; a part it lacks is empty."""
    parts = key.split("/")
    if len(parts) == 1:
        return "", key, ""
    if len(parts) == 2:
        return parts[0], parts[1], ""
    return parts[0], "_".join(parts[1:-1]), parts[-1]


def _metric_text(metric: str) -> MetricText:
    """The text of `metric`, of the metric it refines (`ca_sdri_2_sources`), or just its name."""
    known = max((name for name in METRICS if metric == name or metric.startswith(f"{name}_")), key=len, default=None)
    if known is None:
        return MetricText(metric.replace("_", " "), "", 3, "")
    if metric == known:
        return METRICS[known]
    base = METRICS[known]
    return MetricText(
        f"{base.name}, {metric[len(known) + 1 :].replace('_', ' ')}", base.unit, base.digits, base.meaning
    )


def _ordered(sources: Iterable[str]) -> list[str]:
    """Label sources as they are shown: the tagger, the baseline, others by name, then the two that bound them."""
    rank = {"tagger": 0, "baseline": 1, ORACLE: 3, CONSTANT: 4}
    return sorted(sources, key=lambda source: (rank.get(source, 2), source))


def _by_split(metrics: Mapping[str, float | None]) -> dict[str, dict[str, dict[str, float | None]]]:
    """split -> metric -> label source -> value, in the order given, the test split first."""
    splits: dict[str, dict[str, dict[str, float | None]]] = defaultdict(lambda: defaultdict(dict))
    for key, value in metrics.items():
        split, metric, source = _split_key(key)
        splits[split][metric][source] = value
    return dict(sorted(splits.items(), key=lambda item: item[0] != "test"))


def _headline(metrics: Mapping[str, float | None]) -> dict | None:
    """The numbers to read first: the challenge's score and the label accuracy by label source, in words."""
    for split, table in _by_split(metrics).items():
        main = next((name for name in _MAIN_METRICS if name in table), None)
        accuracy = table.get("label_accuracy", {})
        if main is None and not accuracy:
            continue
        text = METRICS[main or _MAIN_METRICS[0]]
        values = table[main] if main else {}
        return {
            "split": split,
            "metric": text,
            "scores": [(source, number(values[source], 1, text.unit)) for source in _ordered(values)],
            # The oracle is always right: its accuracy says nothing.
            "accuracies": [
                (source, number(accuracy[source], 1, "%")) for source in _ordered(accuracy) if source != ORACLE
            ],
        }
    return None


def _metric_tables(metrics: Mapping[str, float | None]) -> list[dict]:
    """One table a split: a row a metric, a column a label source."""
    order = {name: index for index, name in enumerate(METRICS)}
    tables = []
    for split, table in _by_split(metrics).items():
        columns = _ordered({source for values in table.values() for source in values})
        rows = []
        for metric, values in sorted(table.items(), key=lambda item: order.get(item[0], len(order))):
            text = _metric_text(metric)
            cells = [number(values.get(column), text.digits) for column in columns]
            rows.append({"text": text, "cells": cells})
        tables.append({"split": split, "columns": columns, "rows": rows})
    return tables


def _class_table(rows: Sequence[ClassRow]) -> dict | None:
    if not rows:
        return None
    columns = _ordered({source for row in rows for source in row.ca_sdri})
    chart = _class_chart(rows)
    return {"rows": rows, "columns": columns, "chart": chart and svg_uri(chart)}


def _class_chart(rows: Sequence[ClassRow]) -> bytes | None:
    """Improvement by class and label source as SVG; `None` where there is none to show."""
    columns = _ordered({source for row in rows for source in row.ca_sdri})
    values = {column: [row.ca_sdri.get(column) for row in rows] for column in columns}
    if not any(_finite(value) for column in values.values() for value in column):
        return None
    return figures.bar_figure([row.label for row in rows], values, "CA-SDRi (dB)")


def charts(report: Report) -> dict[str, bytes]:
    """The curves and the class chart as SVG files by name, for those who keep pictures apart from the page."""
    drawn = {re.sub(r"[^\w]+", "_", curve.title): figures.curve_figure(curve) for curve in report.curves}
    by_class = _class_chart(report.per_class)
    return {**drawn, **({} if by_class is None else {"ca_sdri_by_class": by_class})}


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


# --- curves and examples --------------------------------------------------------------------------------------------


def _curve_view(curve: Curve) -> dict:
    """A curve's figure and, in words, where each line ends: for those who do not see it, and to quote."""
    ends = []
    for name, (x, y) in curve.series.items():
        known = [(a, b) for a, b in zip(x, y, strict=True) if _finite(b)]
        ends.append((name, number(known[-1][1]), f"{known[-1][0]:g}") if known else (name, MISSING, MISSING))
    return {"curve": curve, "image": svg_uri(figures.curve_figure(curve)), "ends": ends}


@dataclass
class Row:
    """One event: its target, when there is one, beside what each origin made of it."""

    label: str
    clips: list[Clip]
    badges: list[str] = field(default_factory=list)


def _example_view(example: Example, origins: Sequence[str]) -> dict:
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
    figure = figures.timeline_figure(
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
