"""The scores of a report: the ones to read first, the table, and how they move with a setting.

A key is `<split>/<metric>/<label source>`; `<metric>@<number>` is the metric at another setting than the job's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sedsep.evaluation.report.data import ORACLE, Measured, Report
from sedsep.evaluation.report.html import Cell, cell

CONSTANT = "constant"
"""The label source that listens to nothing: it gives every recording the same answer."""

SOURCES = {
    "tagger": "events named by the trained tagger",
    "baseline": "events named by the challenge's baseline tagger",
    ORACLE: "true events given: the upper bound",
    "files": "events as the given files name them",
    CONSTANT: "always the commonest set of events: what to beat",
}
"""What a label source is."""


@dataclass(frozen=True)
class MetricText:
    """How a metric is introduced to a reader: its name, unit, decimals and one plain sentence."""

    name: str
    unit: str
    digits: int
    meaning: str

    @property
    def axis(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


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
    "si_sdri": MetricText(
        "CAPI-SI-SDRi",
        "dB",
        2,
        "Like CAPI-SDRi, with the scale-invariant SDR, which ignores the loudness of the estimate.",
    ),
    "sdr": MetricText(
        "SDR",
        "dB",
        2,
        "Power of the dry original over the power of the error, whole clip; only of events named rightly.",
    ),
    "si_sdr": MetricText("SI-SDR", "dB", 2, "SDR that ignores the loudness of the estimate."),
    "label_accuracy": MetricText(
        "Label accuracy", "%", 1, "Recordings in which exactly the true events are named, none missing, none too many."
    ),
    "source_accuracy": MetricText(
        "Source accuracy", "%", 1, "Correctly named events among all that are true or named."
    ),
    "segment_pauroc": MetricText(
        "Partial AUROC",
        "",
        3,
        "Sound event detection in segments of 1 s: area under the ROC curve up to a false positive rate of 0.1, "
        "divided by 0.1, mean over classes; without McClish's correction, so chance is 0.05; 1 is perfect.",
    ),
    "psds1": MetricText(
        "PSDS1", "", 3, "Polyphonic sound detection score, strict about on- and offsets; 1 is perfect."
    ),
    "collar_f1": MetricText(
        "Collar-based F1", "%", 1, "Events found with the right on- and offset, at the threshold in use."
    ),
}

_MAIN_METRICS = ("ca_sdri", "capi_sdri")


def ordered(sources: Iterable[str]) -> list[str]:
    """Label sources as they are shown: the tagger, the baseline, others by name, then the two that bound them."""
    rank = {"tagger": 0, "baseline": 1, ORACLE: 3, CONSTANT: 4}
    return sorted(sources, key=lambda source: (rank.get(source, 2), source))


Scores = Mapping[str, Mapping[str, Measured]]
"""Metric, as it stands in its key, to label source to number."""


def by_split(report: Report) -> dict[str, Scores]:
    """Scores of each split, in the order given, the test split first."""
    splits: dict[str, dict[str, dict[str, Measured]]] = defaultdict(lambda: defaultdict(dict))
    for key, value in report.metrics.items():
        split, metric, source = _parts(key)
        splits[split][metric][source] = Measured(value, *report.intervals.get(key, ()))
    return dict(sorted(splits.items(), key=lambda item: item[0] != "test"))


def _parts(key: str) -> list[str]:
    """Split, metric and label source of a key; a part it lacks is empty."""
    parts = key.split("/", 2)
    return ["", key, ""] if len(parts) == 1 else [*parts, ""][:3]


def setting_of(metric: str) -> tuple[str, float | None]:
    """A metric's plain name, and the setting it was taken at; `None` for the job's own."""
    name, _, setting = metric.partition("@")
    try:
        return name, float(setting)
    except ValueError:
        return metric, None


def metric_text(metric: str) -> MetricText:
    """How a metric is introduced; one that is not known has just its name."""
    return METRICS.get(metric) or MetricText(metric.replace("_", " "), "", 3, "")


def in_order(metrics: Iterable[str]) -> list[str]:
    """Metrics as they are shown."""
    order = {name: index for index, name in enumerate(METRICS)}
    return sorted(metrics, key=lambda metric: order.get(metric, len(order)))


def headline(report: Report) -> dict[str, Any] | None:
    """The numbers to read first: the challenge's score and the label accuracy by label source, in words."""
    for split, scores in by_split(report).items():
        main = next((name for name in _MAIN_METRICS if name in scores), None)
        accuracy = scores.get("label_accuracy", {})
        if main is None and not accuracy:
            continue
        text = METRICS[main or _MAIN_METRICS[0]]
        values = scores[main] if main else {}
        return {
            "split": split,
            "metric": text,
            "scores": [(source, cell(values[source], 1, text.unit)) for source in ordered(values)],
            # The oracle is always right: its accuracy says nothing.
            "accuracies": [
                (source, cell(accuracy[source], 1, "%")) for source in ordered(accuracy) if source != ORACLE
            ],
        }
    return None


@dataclass(frozen=True)
class Table:
    """Numbers by label source.

    Attributes:
        columns: label sources. rows: what each row shows, with a cell a column.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[Any, Sequence[Cell]]]

    @property
    def measured(self) -> bool:
        """Whether any number has an interval."""
        return any(cell_.interval for _, row in self.rows for cell_ in row)


def metric_tables(report: Report) -> list[tuple[str, Table]]:
    """A table a split: a row a metric at the job's own setting, a column a label source."""
    tables = []
    for split, scores in by_split(report).items():
        metrics = in_order(metric for metric in scores if setting_of(metric)[1] is None)
        columns = ordered({source for metric in metrics for source in scores[metric]})
        rows = [(text := metric_text(metric), cells(scores[metric], columns, text.digits)) for metric in metrics]
        if rows:
            tables.append((split, Table(columns, rows)))
    return tables


def cells(values: Mapping[str, Measured], columns: Sequence[str], digits: int) -> list[Cell]:
    """A row's cells; a dash where a label source has no value."""
    return [cell(values.get(column, Measured(None)), digits) for column in columns]
