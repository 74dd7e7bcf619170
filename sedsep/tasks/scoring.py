"""Scoring scenes on the configured devices, and keeping what comes of it."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig
from torch import nn
from torch.utils.data import Dataset

from sedsep.errors import UserError
from sedsep.evaluation.estimates import write_estimates
from sedsep.evaluation.evaluator import Evaluator, MixtureResult
from sedsep.evaluation.label_sources import LabelTable, cached_probabilities, labels_of
from sedsep.evaluation.results import Evaluation
from sedsep.files import write_json, write_whole
from sedsep.labels import LabelRule
from sedsep.metrics.bootstrap import Bootstrap, Estimate
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.runs.directories import is_main_process
from sedsep.scenes.datamodule import FixedScenes, SceneDataModule
from sedsep.tasks.session import Session
from sedsep.tasks.stages import Trained, label_givers
from sedsep.training.progress import ScoringProgress
from sedsep.training.scoring import ScoringSystem
from sedsep.types import Scene, Sources

SCORES_FILE = "metrics.json"
ACCOUNT_FILE = "evaluation.json"
MIXTURES_FILE = "mixtures.csv"
SOURCES_FILE = "sources.csv"
ESTIMATES_FOLDER = "estimates"


def validation_labels(session: Session, data: SceneDataModule, tagger: Trained) -> LabelTable:
    """What the baseline tagger names in the validation scenes, from the cache or computed now."""
    assert isinstance(tagger.network, SedModel)
    key = f"{data.valid_split}-{data.fingerprint(data.valid_split)}"
    probabilities = cached_probabilities(
        tagger.network, data.val_dataloader(), session.device, session.cache / "labels" / "baseline", key
    )
    return labels_of(probabilities, label_rule(session.config))


def label_rule(config: DictConfig) -> LabelRule:
    """How labels are chosen."""
    return LabelRule(config.task.threshold, at_most=config.slots)


def check_scoring(config: DictConfig) -> None:
    """Make sure of how test scenes are scored, before anything is trained.

    Raises:
        UserError: no or unknown label sources, or no number of resamples.
    """
    label_givers(config)
    if config.task.resamples < 0:
        raise UserError(f"task.resamples={config.task.resamples} is no count: give 0 for no intervals, or more.")


def make_evaluator(
    session: Session, taggers: Mapping[str, Trained], separator: GuidedSeparator | None = None
) -> Evaluator:
    """The evaluator as the task is configured.

    Args:
        taggers: by label source. separator: `None` to score the taggers themselves.

    Raises:
        UserError: refinement passes that the separator has not.
    """
    config = session.config
    networks = {source: tagger.network for source, tagger in taggers.items()}
    folder, rate = session.run_dir / ESTIMATES_FOLDER, config.sample_rate
    kept = None if separator is None else separator.trained_passes
    if config.task.write_estimates and is_main_process():
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier job in this directory, with other labels

    def keep(name: str, source: str, passes: int, sources: Sources) -> None:
        if passes == kept:
            write_estimates(folder / source, name, sources, rate)

    return Evaluator(
        session.labels,
        rate,
        cast(Mapping[str, SedModel], networks),
        separator,
        (1,) if separator is None else passes_to_score(config, separator),
        oracle=separator is not None and "oracle" in config.task.label_sources,
        rule=label_rule(config),
        keep=keep if config.task.write_estimates else None,
    )


def passes_to_score(config: DictConfig, separator: GuidedSeparator) -> tuple[int, ...]:
    """`refinement.eval_iters`, and in any case those that the separator was trained for.

    Raises:
        UserError: no numbers of passes, or a separator without feedback.
    """
    asked, trained = config.refinement.eval_iters, separator.trained_passes
    if asked is None:
        return (trained,)
    listed = [asked] if isinstance(asked, int) else list(asked)
    if not listed or not all(isinstance(passes, int) and passes > 0 for passes in listed):
        raise UserError(f"refinement.eval_iters={asked} is no list of passes: give some, such as [1,2,3].")
    if max(listed) > 1 and not separator.iters:
        raise UserError(
            "refinement.eval_iters asks for several passes of a separator without feedback: leave it out, or train one "
            "with refinement.iters of at least 1."
        )
    return tuple(sorted({*listed, trained}))


def score_scenes(
    session: Session, scenes: Dataset[Scene], evaluator: nn.Module, batch_size: int
) -> list[MixtureResult]:
    """Every scene scored, in order, by all devices that are configured; on each rank."""
    system = ScoringSystem(evaluator)
    trainer = session.trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[ScoringProgress()],
        default_root_dir=str(session.run_dir),
    )
    data = FixedScenes(scenes, session.labels, batch_size, session.config.data.workers)
    trainer.test(system, datamodule=data, verbose=False)
    evaluator.to(session.device)
    return system.results


def evaluation_of(session: Session, split: str, results: Sequence[MixtureResult], passes: int | None) -> Evaluation:
    """What was found of a split, with the intervals that the task asks for."""
    task = session.config.task
    return Evaluation(
        split,
        session.labels.names,
        results,
        passes,
        rule=label_rule(session.config),
        bootstrap=Bootstrap(task.resamples),
    )


def keep_scores(run_dir: Path, evaluation: Evaluation, about: Mapping[str, Any]) -> list[Path]:
    """Write the scores: metrics alone, everything with intervals, a line a mixture, a line an entry of the score."""
    write_json(run_dir / SCORES_FILE, {name: _number(one.value) for name, one in evaluation.metrics.items()})
    write_json(run_dir / ACCOUNT_FILE, {**about, **_content(evaluation)})
    rows = [row for mixture in evaluation.mixtures for row in mixture.rows]
    _write_csv(run_dir / MIXTURES_FILE, (row.record() for row in rows))
    _write_csv(run_dir / SOURCES_FILE, (entry for row in rows for entry in row.entries()))
    return [
        file for name in (SCORES_FILE, ACCOUNT_FILE, MIXTURES_FILE, SOURCES_FILE) if (file := run_dir / name).is_file()
    ]


def _content(evaluation: Evaluation) -> dict[str, Any]:
    by_source = {}
    for source in evaluation.sources:
        tables: dict[str, Any] = {"confusion": evaluation.confusion(source).round(3).tolist()}
        tables["by_count"] = {str(count): _plain(one) for count, one in evaluation.by_count[source].items()}
        if evaluation.separated:
            tables["by_class"] = {label: _plain(one) for label, one in evaluation.by_class[source].items()}
            levels = evaluation.by_level[source]
            tables["by_snr"] = {f"{low:g} to {high:g} dB": _plain(one) for (low, high), one in levels.items()}
        by_source[source] = tables
    return {
        "split": evaluation.split,
        "mixtures": len(evaluation.mixtures),
        "passes": evaluation.passes,
        "threshold": evaluation.rule.threshold,
        "labels": list(evaluation.labels),
        "metrics": {name: _plain(one) for name, one in evaluation.metrics.items()},
        "label_sources": by_source,
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(value) for name, value in asdict(estimate).items()}


def _number(value: float) -> float | None:
    """JSON has no NaN: an undefined number is null."""
    return value if math.isfinite(value) else None


def _write_csv(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    table = list(lines)
    if not table:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_whole(path, text.getvalue())
