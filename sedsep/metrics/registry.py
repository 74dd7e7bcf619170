"""Every metric of an evaluation and every label source, and the one scheme that names their scores.

Nothing is imported here that takes time: whoever shows or sorts scores reads them from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TAGGER, BASELINE, FILES, ORACLE, CONSTANT = "tagger", "baseline", "files", "oracle", "constant"
STEMS, SELF_GUIDED = "stems", "self_guided"

SOURCES = {
    TAGGER: "events named by the trained tagger",
    BASELINE: "events named by the challenge's baseline tagger",
    STEMS: "stems that were separated without labels, as the tagger names each",
    SELF_GUIDED: "these stems extracted again, guided by their names and by themselves",
    FILES: "events as the given files name them",
    ORACLE: "true events given: the upper bound",
    CONSTANT: "always the commonest set of events: what to beat",
}
"""Label sources with what they are, in the order they are shown in."""

RANKINGS = ("ca_sdri", "capi_sdri")
"""Metrics by which systems are ranked, in DCASE 2025 and 2026."""

GROUPS = {
    "none": "no event",
    "one": "one event",
    "different": "different classes",
    "repeated": "repeated classes",
}
"""Kinds of recordings that the scores of 2026 are broken down by, with what they hold."""

SCORE_FILES = ("metrics.json", "evaluation.json", "mixtures.csv", "sources.csv", "ear.csv")
REPORT = "report.html"

DEV_RESULTS = "dev_set_test_results.json"
"""Where a submission of 2026 says how its system did on the development test set; a run that scored one has it."""

SELECTABLE = (BASELINE, TAGGER, ORACLE)
"""Label sources that every separator has; `task.label_sources` may list them, and `self_guided`."""


@dataclass(frozen=True)
class Metric:
    """How a metric is written and introduced.

    Attributes:
        name: in files and in tracking.
        title: for readers.
        unit: dB or %; empty for a number from 0 to 1.
        digits: decimals that tables show.
        meaning: one plain sentence.
        setting: what a number after `@` in a score's name stands for.
        higher_is_better: which way it gets better.
    """

    name: str
    title: str
    unit: str
    digits: int
    meaning: str
    setting: Literal["passes", "threshold"] | None = None
    higher_is_better: bool = True

    @property
    def axis(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


# fmt: off
METRICS = {metric.name: metric for metric in (
    Metric("ca_sdri", "CA-SDRi", "dB", 2,
           "Class-aware SDR improvement: how much closer to the dry original each event is than in the mixture, one "
           "event a class; a missed or invented event counts 0 dB.", "passes"),
    Metric("capi_sdri", "CAPI-SDRi", "dB", 2,
           "Like CA-SDRi, for recordings where one class may sound twice: estimates of a class are matched to its "
           "events in the best order. Where nothing sounds and nothing is named, nothing is counted.", "passes"),
    Metric("matched_sdri", "Source-matched SDRi", "dB", 2,
           "Like CAPI-SDRi, but estimates are matched to events by their sound and not by their name: an event under a "
           "wrong name counts 0 dB once, also where two names changed places."),
    Metric("si_sdri", "CAPI-SI-SDRi", "dB", 2,
           "Like CAPI-SDRi, with the scale-invariant SDR, which ignores the loudness of the estimate.", "passes"),
    Metric("sdr", "SDR", "dB", 2,
           "Power of the dry original over the power of the error, whole clip; only of events named rightly."),
    Metric("si_sdr", "SI-SDR", "dB", 2, "SDR that ignores the loudness of the estimate."),
    Metric("label_accuracy", "Label accuracy", "%", 1,
           "Recordings in which exactly the true events are named, none missing, none too many.", "threshold"),
    Metric("source_accuracy", "Source accuracy", "%", 1,
           "Correctly named events among all that are true or named.", "threshold"),
    Metric("silence_precision", "Silence precision", "%", 1,
           "Of the recordings in which nothing is named, those in which nothing sounds."),
    Metric("silence_recall", "Silence recall", "%", 1,
           "Of the recordings in which nothing sounds, those in which nothing is named; the others have false alarms."),
    Metric("false_alarms", "False alarms in silence", "", 2,
           "Events named in a recording in which nothing sounds, on average.", higher_is_better=False),
    Metric("leakage", "Leakage", "dB", 1,
           "Level of what was separated for events that are not there, relative to the mixture; mean over such events.",
           higher_is_better=False),
    Metric("ear_stem", "Ear: class in its stem", "", 2,
           "Probability that another tagger, the ear, hears an event's class in what was separated for it; mean over "
           "events named rightly."),
    Metric("ear_residual", "Ear: class in the residual", "", 2,
           "The same in what is left of the recording without what was separated.", higher_is_better=False),
    Metric("ear_spearman", "Ear: rank correlation with SDRi", "", 2,
           "How far the ear's judgement of a stem (class in it, and not in the residual) goes with its SDR "
           "improvement: Spearman's coefficient over events named rightly; 0 says that it tells nothing."),
    Metric("segment_pauroc", "Partial AUROC", "", 3,
           "Sound event detection in segments of 1 s: area under the ROC curve up to a false positive rate of 0.1, "
           "divided by 0.1, mean over classes; without McClish's correction, so chance is 0.05; 1 is perfect."),
    Metric("psds1", "PSDS1", "", 3,
           "Polyphonic sound detection score, strict about on- and offsets; 1 is perfect."),
    Metric("collar_f1", "Collar-based F1", "%", 1,
           "Events found with the right on- and offset, at the threshold in use."),
)}
# fmt: on
"""By name, in the order they are shown in."""


def _lost(part: str, title: str, meaning: str) -> Metric:
    return Metric(f"ledger_{part}", title, "dB", 2, meaning, higher_is_better=False)


# fmt: off
LEDGER = {
    "missed": _lost("missed", "Sounds missed", "Sounds that are there and not named, nor taken for another."),
    "invented": _lost("invented", "Sounds invented", "Sounds that are named and not there, nor taken for another."),
    "swapped": _lost("swapped", "Sounds swapped", "Sounds that are there, under the name of another class."),
    "guidance": _lost("guidance", "Guided at the wrong time",
                      "What the separator makes of the true activity of each class, beyond that of its own guide."),
    "passes": _lost("passes", "Too few passes", "What more passes of refinement add to those it was trained for."),
    "separation": _lost("separation", "Separation itself",
                        "From the separator, told all that is true, to the best mask that keeps the mixture's phase."),
    "phase": _lost("phase", "The mixture's phase",
                   "What no such mask can do: from there to the ceiling, the best mask that turns the phase, too."),
}
"""Where the decibels between a system and its ceiling are lost, in the order in which they are won back."""

CEILING = Metric("ledger_ceiling", "Ceiling", "dB", 2,
                 "The best complex mask on the first channel at the separator's STFT, nowhere above 1.")
REFERENCES = {
    "ratio_mask": Metric("ledger_ratio_mask", "Ideal ratio mask", "dB", 2,
                         "The share of the true source in the level of each bin, with the mixture's phase."),
    "wiener": Metric("ledger_wiener", "Multichannel Wiener filter", "dB", 2,
                     "All channels, filtered with the true covariances of the source and of all else."),
}
# fmt: on
"""What else knows the truth, to hold the ledger against."""


def metric(name: str) -> Metric:
    """The metric of a name; one that is not known has just its name."""
    ledger = {one.name: one for one in (*LEDGER.values(), CEILING, *REFERENCES.values())}
    return METRICS.get(name) or ledger.get(name) or Metric(name, name.replace("_", " "), "", 3, "")


@dataclass(frozen=True)
class MetricName:
    """What the name of a score says: `<split>/<metric>/<label source>`, or `<split>/<metric>@<setting>/<label source>`.

    Attributes:
        split: where it was measured.
        metric: a name in `METRICS`.
        source: the label source; empty where a score has none.
        setting: the number of passes, or the threshold, if it is not the job's own; or one of `GROUPS`, if it is not of
            all recordings.
    """

    split: str
    metric: str
    source: str = ""
    setting: float | str | None = None

    @classmethod
    def parse(cls, name: str) -> MetricName:
        """The parts of a score's name; a name without a slash is that of a metric."""
        split, slash, rest = name.partition("/")
        if not slash:
            split, rest = "", name
        metric, _, source = rest.partition("/")
        plain, _, setting = metric.partition("@")
        try:
            return cls(split, plain, source, setting if setting in GROUPS else float(setting))
        except ValueError:
            return cls(split, metric, source)

    def __str__(self) -> str:
        setting = f"{self.setting:g}" if isinstance(self.setting, float | int) else self.setting
        metric = self.metric if setting is None else f"{self.metric}@{setting}"
        return "/".join(part for part in (self.split, metric, self.source) if part)


def ordered_metrics(ranking: str) -> list[Metric]:
    """The metrics as they are shown: first the one that systems are ranked by."""
    return sorted(METRICS.values(), key=lambda metric: metric.name != ranking)


def main_source(sources: Iterable[str]) -> str:
    """The label source that a user has: the tagger, or else the first that is not the truth, if there is one."""
    sources = list(sources)
    return TAGGER if TAGGER in sources else next((source for source in sources if source != ORACLE), ORACLE)


def ordered_sources(sources: Iterable[str]) -> list[str]:
    """Label sources as they are shown: the two that bound the others last, before them, by name, those not known."""
    order = {source: index for index, source in enumerate(SOURCES)}
    return sorted(sources, key=lambda source: (order.get(source, order[FILES]), source))
