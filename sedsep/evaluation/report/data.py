"""What the pages are made from: plain values and arrays, no network and no file.

Axes: L samples, S SED frames, N classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sedsep.errors import UserError

FloatArray = NDArray[np.float32]

ORACLE = "oracle"
"""The origin and label source that knows the true labels; it can neither miss an event nor invent one."""

Bounds = tuple[float, float]
"""Lower and upper bound of a 95 % confidence interval; NaN where there is none."""


class Measured(NamedTuple):
    """A number with its 95 % confidence interval; what is not known is `None` or NaN."""

    value: float | None
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class ClassRow:
    """How one class fared.

    Attributes:
        label: class name.
        count: true events of this class in the split.
        ca_sdri: mean SDR improvement in dB by label source; `None` where the class never came up.
        recall, precision: of the predicted labels, fractions from 0 to 1; `None` where undefined.
        intervals: of `ca_sdri`, as far as they are known.
    """

    label: str
    count: int
    ca_sdri: Mapping[str, float | None]
    recall: float | None = None
    precision: float | None = None
    intervals: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class BreakdownRow:
    """One group of a `Breakdown`.

    Attributes:
        name: of the group, such as "2 sources" or "−5 to 0 dB". count: of what the group holds.
        values: label source to (value, low, high).
    """

    name: str
    count: int
    values: Mapping[str, tuple[float | None, float, float]]


@dataclass(frozen=True)
class Breakdown:
    """A score by groups of mixtures or sources.

    Attributes:
        title: heading. group: what tells the groups apart, as a column heading.
        unit: the score with its unit, such as `CA-SDRi (dB)`. rows: in the order they are shown.
    """

    title: str
    group: str
    unit: str
    rows: Sequence[BreakdownRow]


@dataclass(frozen=True)
class Confusion:
    """What was named where something else, or nothing, sounded.

    Attributes:
        labels: names of the N classes.
        counts: events [N + 1, N + 1], by true class (rows) and named class (columns). The last row holds what was
            named although nothing more sounded, the last column what was missed. Fractions are shares of an event.
        source: whose answers they are.

    Raises:
        UserError: counts of another shape, negative or not finite ones.
    """

    labels: Sequence[str]
    counts: NDArray[np.floating]
    source: str

    def __post_init__(self) -> None:
        side = len(self.labels) + 1
        if np.shape(self.counts) != (side, side):
            raise UserError(
                f"The confusion of {len(self.labels)} labels has counts of shape {np.shape(self.counts)}: "
                f"expected [{side}, {side}]."
            )
        if not (np.isfinite(self.counts).all() and np.min(self.counts) >= 0):
            raise UserError("The confusion of labels has counts that are negative or not finite: count events.")


@dataclass(frozen=True)
class Curve:
    """Lines that share two axes.

    Attributes:
        title: heading. xlabel, ylabel: axis names with their units.
        series: name of a line to its (x, y) values, equally many of each; NaN leaves a gap.
        bounds: name of a line to the (lower, upper) bounds of its y values, as far as they are known.
        mark: an x value to point out, and why.

    Raises:
        UserError: a series with more x than y values or the other way round.
    """

    title: str
    xlabel: str
    ylabel: str
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    bounds: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    mark: tuple[float, str] | None = None

    def __post_init__(self) -> None:
        for name, (x, y) in self.series.items():
            if len(x) != len(y):
                raise UserError(
                    f"The series '{name}' of '{self.title}' has {len(x)} x and {len(y)} y values: match them."
                )

    @classmethod
    def from_rows(
        cls,
        title: str,
        rows: Sequence[Mapping[str, Any]],
        x: str,
        columns: Mapping[str, str],
        *,
        xlabel: str,
        ylabel: str,
    ) -> Curve:
        """Lines from a training log: one mapping a row, as `csv.DictReader` gives them.

        Args:
            rows: the log; cells may be numbers, numerals, empty or absent.
            x: column of the horizontal axis.
            columns: name of a line to its column. Rows without a value there are left out, for loggers
                write training and validation numbers in separate rows; a line without any is dropped.
        """
        series = {}
        for name, column in columns.items():
            points = [(float(row[x]), float(row[column])) for row in rows if _filled(row, x) and _filled(row, column)]
            if points:
                series[name] = ([point[0] for point in points], [point[1] for point in points])
        return cls(title, xlabel, ylabel, series)


def _filled(row: Mapping[str, Any], column: str) -> bool:
    return row.get(column) not in (None, "")


@dataclass(frozen=True)
class Stem:
    """One separated or true sound.

    Attributes:
        label: class name.
        source: whether a system estimated it or it is the dry target.
        origin: for an estimate, who named the event (a label source such as `oracle`); free text for a target.
        waveform: float32 [L].
        sdr_improvement: dB over the mixture; `None` for targets and false alarms.

    Raises:
        UserError: the waveform is not one-dimensional or holds no sample.
    """

    label: str
    source: Literal["estimate", "target"]
    origin: str
    waveform: FloatArray
    sdr_improvement: float | None = None

    def __post_init__(self) -> None:
        check_waveform(self.waveform, f"The {self.source} of '{self.label}'")


@dataclass(frozen=True)
class Example:
    """One recording, taken apart.

    Every origin that occurs anywhere in a report is taken to have run on each of its examples, so a target
    without an estimate of that origin is shown as missed, and an estimate without a target as a false alarm.
    Where a label repeats, the first estimate stands beside the first target, and so on.

    Attributes:
        name: of the recording. caption: why it is shown, beside the name, such as "best of 1500: 14.2 dB".
        sample_rate: Hz, of all clips.
        mixture: reference channel, float32 [L].
        stems: targets and estimates in display order.
        sed_probabilities: frame-wise class probabilities [N, S] from 0 to 1; `None` without a detector.
        sed_labels: the N class names of its rows.
        sed_frame_s: seconds a frame stands for.
        true_spans: (label, onset, offset) of each true event, seconds.

    Raises:
        UserError: a shape, rate or number of labels that does not fit.
    """

    name: str
    sample_rate: int
    mixture: FloatArray
    stems: Sequence[Stem] = ()
    sed_probabilities: FloatArray | None = None
    sed_labels: Sequence[str] = ()
    sed_frame_s: float = 0.0
    true_spans: Sequence[tuple[str, float, float]] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        check_waveform(self.mixture, f"The mixture of '{self.name}'")
        if self.sample_rate <= 0:
            raise UserError(f"The sample rate of '{self.name}' is {self.sample_rate} Hz: give a positive rate.")
        if self.sed_probabilities is None:
            return
        shape = np.shape(self.sed_probabilities)
        if len(shape) != 2 or shape[0] != len(self.sed_labels) or 0 in shape:
            raise UserError(
                f"The SED probabilities of '{self.name}' have shape {shape}: "
                f"expected [{len(self.sed_labels)} classes, frames]."
            )
        if self.sed_frame_s <= 0:
            raise UserError(f"The SED frames of '{self.name}' last {self.sed_frame_s} s: give a positive duration.")

    @property
    def duration(self) -> float:
        """Length of the mixture, seconds."""
        return len(self.mixture) / self.sample_rate


@dataclass(frozen=True)
class Report:
    """Everything one page shows.

    Attributes:
        title, subtitle: heading and the line below it.
        facts: (name, value) pairs: model, data, machine, seconds, command line, commit.
        metrics: `<split>/<metric>/<label source>` to a value: dB for SDR figures, percent (0 to 100) for
            label accuracies, 0 to 1 for the areas and scores of sound event detection. `<metric>@<number>` is an
            accuracy at that threshold, or another score after so many passes of refinement.
        intervals: bounds of the values by the same key, as far as they are known.
        threshold: that labels were chosen with. trained_passes: of refinement, in training.
        per_class: one row a class. breakdowns: scores by other groups. confusion: of labels.
        examples: recordings taken apart. curves: of training and studies.
        config_yaml: the resolved configuration.
        notes: what a reader should know before quoting a number.
    """

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, Bounds] = field(default_factory=dict)
    threshold: float | None = None
    trained_passes: int | None = None
    per_class: Sequence[ClassRow] = ()
    breakdowns: Sequence[Breakdown] = ()
    confusion: Confusion | None = None
    examples: Sequence[Example] = ()
    curves: Sequence[Curve] = ()
    config_yaml: str = ""
    notes: Sequence[str] = ()


def check_waveform(waveform: FloatArray, what: str) -> None:
    """Refuse what is not one channel with at least one sample."""
    shape = np.shape(waveform)
    if len(shape) != 1 or shape[0] == 0:
        raise UserError(f"{what} has shape {shape}: expected one channel, [samples], and at least one sample.")
