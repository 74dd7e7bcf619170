"""How scores move with a setting: the threshold that labels are chosen with, and the passes of refinement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sedsep.evaluation.report.data import Curve, Measured, Report
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.figures import curve_figure
from sedsep.evaluation.report.scores import (
    MetricText,
    Scores,
    Table,
    by_split,
    cells,
    in_order,
    metric_text,
    ordered,
    setting_of,
)

_ACCURACIES = ("label_accuracy", "source_accuracy")


@dataclass(frozen=True)
class Setting:
    """What scores were taken at several values of.

    Attributes:
        name: of the setting. title: of its section. own: of the job's own value. meaning: a sentence for readers.
    """

    name: str
    title: str
    own: str
    meaning: str


THRESHOLD = Setting(
    "threshold",
    "Thresholds",
    "in use",
    "A class is named where the tagger's probability reaches the threshold: a low one invents events, a high one "
    "misses them.",
)
PASSES = Setting(
    "passes",
    "Refinement",
    "as trained",
    "Each pass of refinement hands the separator its last estimate to improve on.",
)


@dataclass(frozen=True)
class Swept:
    """A metric at several values of a setting; `table` has a row a value."""

    text: MetricText
    curve: Curve
    table: Table

    @property
    def image(self) -> str:
        """The curve, as the address of an image."""
        return svg_uri(curve_figure(self.curve))


def swept(report: Report, setting: Setting) -> list[Swept]:
    """The metrics that were taken at several values of `setting`, of all splits."""
    own = report.threshold if setting is THRESHOLD else report.trained_passes
    splits = by_split(report)
    found = []
    for split, scores in splits.items():
        suffix = f", {split} split" if len(splits) > 1 and split else ""
        values = _by_value(scores, setting, own)
        found += [_swept(metric, values[metric], setting, own, suffix) for metric in in_order(values)]
    return found


def _by_value(scores: Scores, setting: Setting, own: float | None) -> dict[str, dict[float, Mapping[str, Measured]]]:
    """Metric to value of the setting to label source to number, in ascending order of values."""
    found: dict[str, dict[float, Mapping[str, Measured]]] = defaultdict(dict)
    for metric, numbers in scores.items():
        name, value = setting_of(metric)
        if value is not None and (name in _ACCURACIES) == (setting is THRESHOLD):
            found[name][value] = numbers
    for name, values in found.items():
        if own is not None and own not in values and name in scores:
            # The job's own setting bears the plain name; what no setting moves, such as the truth, is left out.
            moved = {source for numbers in values.values() for source in numbers}
            values[own] = {source: number for source, number in scores[name].items() if source in moved}
    return {name: dict(sorted(values.items())) for name, values in found.items()}


def _swept(
    metric: str, values: Mapping[float, Mapping[str, Measured]], setting: Setting, own: float | None, suffix: str
) -> Swept:
    text = metric_text(metric)
    sources = ordered({source for numbers in values.values() for source in numbers})
    lines = {s: [(at, *numbers[s]) for at, numbers in values.items() if s in numbers] for s in sources}
    columns = {source: list(zip(*line, strict=True)) for source, line in lines.items()}
    curve = Curve(
        f"{text.name} by {setting.name}{suffix}",
        setting.name.capitalize(),
        text.axis,
        {source: (x, y) for source, (x, y, _, _) in columns.items()},
        {source: (low, high) for source, (_, _, low, high) in columns.items()},
        None if own is None else (own, f"{own:g} {setting.own}"),
    )
    rows = [((f"{at:g}", at == own), cells(numbers, sources, text.digits)) for at, numbers in values.items()]
    return Swept(text, curve, Table(sources, rows))
