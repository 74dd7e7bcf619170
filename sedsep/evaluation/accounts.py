"""What a submission of 2026 says beside its estimates: two accounts in JSON and a description for people in YAML.

    <Author>_<Affiliation>_task4_<n>/
        eval_out/<mixture>_<i>_<Label>.wav
        eval_results.json             which estimates there are, and how sure the tagger was of each
        dev_set_test_results.json     how the system did on the development test set
        meta.yaml                     what it is

Shares are of 1, not percentages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import yaml  # type: ignore[import-untyped]
from pydantic import Field

from sedsep.checkpoints import Checkpoint
from sedsep.checkpoints.finding import one_or_all
from sedsep.evaluation.results import Evaluation
from sedsep.fingerprint import fingerprint
from sedsep.metrics.registry import BASELINE, DEV_RESULTS

EVAL_RESULTS, META = "eval_results.json", "meta.yaml"
ACCOUNTS = (EVAL_RESULTS, DEV_RESULTS, META)
CAPI = "CAPI-SDRi"
TO_FILL = "TO BE FILLED IN"
NAMED_BY = BASELINE
"""The label source of a submission of 2026: the tagger that may name a class twice, or nothing."""


@dataclass(frozen=True)
class Estimate:
    """A file of `eval_out`, its label, and the probability that the tagger gave it."""

    filename: str
    label: str
    probability: float


@dataclass(frozen=True)
class Soundscape:
    """The estimates of a mixture, none where nothing was named."""

    soundscape: str
    estimate: list[Estimate]


@dataclass(frozen=True)
class EvalResults:
    """`eval_results.json`: of every mixture of the evaluation set.

    Attributes:
        nparams: parameters of all networks.
        probabilities: in the order of the mixtures.
        config: what the system is made of.
    """

    nparams: int
    probabilities: list[Soundscape]
    config: Any


@dataclass(frozen=True)
class Mean:
    """Over the mixtures in which something sounds or is named, dB."""

    mean: float


@dataclass(frozen=True)
class LabelMetrics:
    """Accuracies of mixtures and of sources."""

    accuracy_mix: float
    accuracy_src: float


@dataclass(frozen=True)
class Score:
    """Of a mixture."""

    metric: str
    value: float | None


@dataclass(frozen=True)
class Detail:
    """A mixture of the development test set; `probabilities` are those of `est_labels`."""

    soundscape: str
    ref_labels: list[str]
    est_labels: list[str]
    probabilities: list[float]
    metrics: list[Score]


@dataclass(frozen=True)
class DevResults:
    """`dev_set_test_results.json`: of every mixture of the development test set.

    Attributes:
        capi_sdri: the ranking metric.
        label_metrics: of the tagger.
        nparams: parameters of all networks.
        details: mixture by mixture.
        config: what the system is made of.
    """

    capi_sdri: Annotated[Mean, Field(alias=CAPI)]
    label_metrics: LabelMetrics
    nparams: int
    details: list[Detail]
    config: Any


def parameters(parts: Sequence[Checkpoint]) -> int:
    """How many the networks have."""
    return sum(parameter.numel() for part in parts for parameter in part.network.parameters())


def system_config(
    separators: Sequence[Checkpoint], taggers: Sequence[Checkpoint], threshold: float, precision: str
) -> dict[str, Any]:
    """What a system is made of: equal for the same networks, weights and way of naming events, wherever they lie. Of
    an ensemble there is a list."""
    networks = {
        name: one_or_all([{**part.description.entry(), "digest": fingerprint(part.path)} for part in parts])
        for name, parts in {"separator": separators, "tagger": taggers}.items()
    }
    return {**networks, "threshold": threshold, "precision": precision}


def dev_results(
    evaluation: Evaluation, separators: Sequence[Checkpoint], taggers: Sequence[Checkpoint], precision: str
) -> dict[str, Any]:
    """The content of `dev_set_test_results.json`.

    Args:
        evaluation: of the separator under the tagger's labels.
        separators: that was scored, or the members of an ensemble.
        taggers: that named the events, likewise.
        precision: of all.
    """

    def value(metric: str, scale: float = 1.0) -> float | None:
        score = evaluation.score(metric, NAMED_BY)
        return scale * score.value if score is not None and math.isfinite(score.value) else None

    details = []
    for mixture, row in zip(evaluation.mixtures, evaluation.of(NAMED_BY), strict=True):
        improvement = row.record()["capi_sdri"]
        details.append(
            {
                "soundscape": row.name,
                "ref_labels": list(row.true),
                "est_labels": list(row.predicted),
                "probabilities": mixture.outputs[NAMED_BY].named,
                "metrics": [] if improvement is None else [{"metric": CAPI, "value": improvement}],
            }
        )
    return {
        CAPI: {"mean": value("capi_sdri")},
        "label_metrics": {
            "accuracy_mix": value("label_accuracy", 0.01), "accuracy_src": value("source_accuracy", 0.01)
        },
        "nparams": parameters([*separators, *taggers]),
        "details": details,
        "config": system_config(separators, taggers, evaluation.rule.threshold, precision),
    }  # fmt: skip


def eval_results(answers: Mapping[str, Sequence[Estimate]], nparams: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `eval_results.json`.

    Args:
        answers: of each mixture.
        nparams: parameters of all networks.
        config: what the system is made of.
    """
    return asdict(EvalResults(nparams, [Soundscape(name, list(those)) for name, those in answers.items()], config))


def meta(author: str, affiliation: str, number: int, rate: int, nparams: int, results: DevResults) -> str:
    """The content of `meta.yaml`: what is known here, and what is to be filled in by people.

    Args:
        author: as in the submission's name.
        affiliation: likewise.
        number: of the system.
        rate: Hz.
        nparams: parameters of all networks.
        results: on the development test set.
    """
    content = {
        "submission": {
            "label": f"{author}_{affiliation}_task4_{number}",
            "name": TO_FILL,
            "abbreviation": TO_FILL,
            "authors": [
                {
                    "lastname": author,
                    "firstname": TO_FILL,
                    "email": TO_FILL,
                    "corresponding": True,
                    "affiliation": {
                        "abbreviation": affiliation, "institute": TO_FILL, "department": TO_FILL, "location": TO_FILL
                    },
                }
            ],
        },
        "system": {
            "description": {
                "input_channels": TO_FILL,
                "input_sampling_rate": f"{rate} Hz",
                "data_augmentation": TO_FILL,
                "machine_learning_method": TO_FILL,
                "ensemble": TO_FILL,
            },
            "complexity": {"total_parameters": nparams},
            "external_datasets": TO_FILL,
            "source_code": TO_FILL,
        },
        "results": {
            "development_test_set": {
                CAPI: round(results.capi_sdri.mean, 3),
                "accuracy_mix": round(results.label_metrics.accuracy_mix, 5),
                "accuracy_src": round(results.label_metrics.accuracy_src, 5),
            }
        },
    }  # fmt: skip
    return (
        f"# Fill in what says {TO_FILL}, and add what the organisers' template of this year asks for beside it.\n"
        + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    )
