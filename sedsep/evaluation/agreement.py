"""Whether the accounts of a submission of 2026 are right, and say of its estimates what these say themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from statistics import fmean
from typing import TypeVar

import yaml  # type: ignore[import-untyped]

from sedsep.evaluation.accounts import CAPI, EVAL_RESULTS, META, TO_FILL, Detail, DevResults, EvalResults
from sedsep.evaluation.estimates import Files
from sedsep.files import parsed_json
from sedsep.labels import LabelSet
from sedsep.metrics.labels import mixture_accuracy, source_accuracy
from sedsep.metrics.registry import DEV_RESULTS
from sedsep.scenes.naming import Meaning, Problem, meaning_of

LARGEST, LARGEST_META = 1 << 24, 1 << 16
"""Bytes: ten times those of an account of thousands of mixtures, and of a description."""
SHARE, DB = 1e-3, 1e-2
"""How far the mean of details may be from the one that is told, for figures are rounded."""

T = TypeVar("T")


def account_problems(
    files: Files,
    top: str,
    estimates: Collection[str],
    mixtures: Collection[str],
    labels: LabelSet,
    dev_test: Collection[str] | None,
) -> Iterator[Problem]:
    """All that is the matter with the accounts.

    Args:
        files: of the submission.
        top: the folder in which they lie, with its slash, or nothing.
        estimates: names of the files in `eval_out`.
        mixtures: names of all of the evaluation set.
        labels: the classes.
        dev_test: names of the mixtures of the development test set; `None` where they are not known.
    """
    results = _account(files, f"{top}{EVAL_RESULTS}", EvalResults)
    yield from [results] if isinstance(results, Problem) else _eval_problems(results, estimates, mixtures, labels)
    dev = _account(files, f"{top}{DEV_RESULTS}", DevResults)
    yield from [dev] if isinstance(dev, Problem) else _dev_problems(dev, labels, dev_test)
    yield from _meta_problems(files, f"{top}{META}")


def _account(files: Files, file: str, kind: type[T]) -> T | Problem:
    if file not in files.names:
        return Problem("account", file, "is not there")
    try:
        return parsed_json(files.read(file, LARGEST, "an account"), kind)
    except ValueError as error:
        return Problem("account", file, f"is damaged or holds something else ({error})")


def _eval_problems(
    results: EvalResults, estimates: Collection[str], mixtures: Collection[str], labels: LabelSet
) -> Iterator[Problem]:
    yield from _size_problems(EVAL_RESULTS, results.nparams)
    told = Counter(answer.soundscape for answer in results.probabilities)
    yield from _mixture_problems(EVAL_RESULTS, told, mixtures)
    yield from (Problem("missing", mixture, f"is not in {EVAL_RESULTS}") for mixture in mixtures if not told[mixture])
    counts = Counter(one.filename for answer in results.probabilities for one in answer.estimate)
    for file, count in counts.items():
        if count > 1:
            yield Problem("repeated", file, f"is in {EVAL_RESULTS} {count} times")
    yield from (Problem("absent", file) for file in counts if file not in estimates)
    yield from (Problem("unlisted", file) for file in estimates if file not in counts)
    for answer in results.probabilities:
        for one in answer.estimate:
            meaning = meaning_of(one.filename, mixtures, labels, "2026")
            if isinstance(meaning, Meaning) and (meaning.mixture, meaning.label) != (answer.soundscape, one.label):
                yield Problem("disagrees", one.filename, f"is {one.label} of {answer.soundscape} in {EVAL_RESULTS}")
            yield from _probability_problems(one.filename, [one.probability])


def _dev_problems(results: DevResults, labels: LabelSet, mixtures: Collection[str] | None) -> Iterator[Problem]:
    yield from _size_problems(DEV_RESULTS, results.nparams)
    told = Counter(detail.soundscape for detail in results.details)
    yield from _mixture_problems(DEV_RESULTS, told, told if mixtures is None else mixtures)
    lacking = [] if mixtures is None else [mixture for mixture in mixtures if not told[mixture]]
    yield from (Problem("mixture", mixture, f"is not in {DEV_RESULTS}") for mixture in lacking)
    for detail in results.details:
        item = f"{detail.soundscape} in {DEV_RESULTS}"
        foreign = [label for label in dict.fromkeys([*detail.ref_labels, *detail.est_labels]) if label not in labels]
        yield from (Problem("label", item, f"has {label}") for label in foreign)
        if len(detail.probabilities) != len(detail.est_labels):
            named, sure = len(detail.est_labels), len(detail.probabilities)
            yield Problem("disagrees", item, f"has {named} labels and {sure} probabilities")
        yield from _probability_problems(item, detail.probabilities)
    if not results.details:
        yield Problem("account", DEV_RESULTS, "has no details")
        return
    predicted = [detail.est_labels for detail in results.details]
    true = [detail.ref_labels for detail in results.details]
    for name, accuracy in (("accuracy_mix", mixture_accuracy), ("accuracy_src", source_accuracy)):
        value, share = getattr(results.label_metrics, name), accuracy(predicted, true) / 100
        if min(abs(value - share), abs(value / 100 - share)) > SHARE:  # some tell percent
            yield Problem("disagrees", DEV_RESULTS, f"has an {name} of {value:g}, its details {share:.4f}")
    improvement = _improvement(results.details)
    if improvement is not None and abs(results.capi_sdri.mean - improvement) > DB:
        text = f"has a mean {CAPI} of {results.capi_sdri.mean:g} dB, its details {improvement:.3f} dB"
        yield Problem("disagrees", DEV_RESULTS, text)


def _improvement(details: Iterable[Detail]) -> float | None:
    """The mean that details make, dB; of a mixture there may be a value or one for each of its entries."""
    means = []
    for detail in details:
        values = [score.value for score in detail.metrics if score.metric == CAPI and score.value is not None]
        if values and (detail.ref_labels or detail.est_labels):
            means.append(fmean(values))
    return fmean(means) if means else None


def _mixture_problems(account: str, told: Mapping[str, int], mixtures: Collection[str]) -> Iterator[Problem]:
    """Mixtures that are none, or that an account names more than once."""
    for mixture, count in told.items():
        if mixture not in mixtures:
            yield Problem("mixture", mixture, f"in {account}")
        if count > 1:
            yield Problem("mixture", mixture, f"is in {account} {count} times")


def _probability_problems(item: str, probabilities: Iterable[float]) -> Iterator[Problem]:
    for probability in probabilities:
        if not 0 <= probability <= 1:
            yield Problem("number", item, f"has a probability of {probability:g}")


def _size_problems(account: str, nparams: int) -> Iterator[Problem]:
    if nparams < 0:
        yield Problem("number", account, f"has {nparams} parameters")


def _meta_problems(files: Files, file: str) -> Iterator[Problem]:
    if file not in files.names:
        yield Problem("meta", file, "is not there")
        return
    try:
        text = files.read(file, LARGEST_META, "a description").decode()
        if not isinstance(yaml.load(text, yaml.BaseLoader), dict):  # the plainest loader: it makes no objects
            raise ValueError("it has no fields")
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        why = error if isinstance(error, ValueError) else "no YAML"
        yield Problem("account", file, f"is damaged or holds something else ({why})")
        return
    if count := text.count(f": {TO_FILL}"):
        yield Problem("meta", file, f"says {TO_FILL} {count} times")
