"""Test mixtures to look at and listen to: the best and the worst ones."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sedsep.evaluation.evaluator import Evaluator, FileEvaluator
from sedsep.evaluation.report import Example, Stem
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.separating import true_sources
from sedsep.metrics.registry import FILES, METRICS, ORACLE
from sedsep.metrics.rows import PARTS, MixtureRow
from sedsep.metrics.sdri import score_mixture
from sedsep.scenes.dataset import collate
from sedsep.tasks.session import Session
from sedsep.types import Batch, Scene, SedOutput


def examples(session: Session, scenes: Dataset[Scene], evaluator: nn.Module, evaluation: Evaluation) -> list[Example]:
    """`task.examples` mixtures taken apart: the best half of them first, then the worst."""
    source = evaluation.main_source
    ranked = evaluation.ranked(source)
    place = {mixture.name: index for index, mixture in enumerate(evaluation.mixtures)}
    count = min(session.config.task.examples, len(ranked))
    best = (count + 1) // 2
    chosen = [*range(best), *range(len(ranked) - (count - best), len(ranked))]
    found = []
    for rank in chosen:
        row = ranked[rank]
        batch = collate([scenes[place[row.name]]], session.labels).to(session.device)
        found.append(_example(session, batch, evaluator, evaluation, _caption(row, rank, len(ranked), source)))
    return found


def _caption(row: MixtureRow, rank: int, count: int, source: str) -> str:
    metric = METRICS["source_accuracy" if row.ca_sdri is None else "ca_sdri"]
    total, parts = PARTS[metric.name](row)
    which = "Best" if rank == 0 else "Worst" if rank == count - 1 else f"Number {rank + 1}"
    value = f"{total / parts:.1f} {metric.unit}" if parts else "nothing to name"
    return f"{which} of {count} with {source} labels: {metric.title} {value}"


@torch.inference_mode()
def _example(session: Session, batch: Batch, evaluator: nn.Module, evaluation: Evaluation, caption: str) -> Example:
    rate, names = session.config.sample_rate, session.labels.names
    name, mixture = batch.names[0], batch.mixture[0, 0]
    (truth,) = true_sources(batch, session.labels)
    stems = [Stem(label, "target", "dry source", target.cpu().numpy()) for label, target in truth]
    said: dict[str, SedOutput] = {}
    made: dict[str, list[tuple[str, Tensor]]] = {}
    if isinstance(evaluator, Evaluator):
        said = {source: tagger(batch.mixture) for source, tagger in evaluator.taggers.items()}
        if evaluator.separator is not None:
            shown = {ORACLE, evaluation.main_source}  # what could be had beside what a user gets
            answers = {s: chosen for s, chosen in evaluator.classes(batch, said).items() if s in shown}
            found = evaluator.separate(batch.mixture, answers)
            made = {source: item for (source, count), (item,) in found.items() if count == evaluation.passes}
    elif isinstance(evaluator, FileEvaluator):
        made = {FILES: list(evaluator.estimates(name, mixture.shape[-1]))}
    for source, pairs in made.items():
        waveforms = [(label, wave.to(mixture.device)) for label, wave in pairs]
        hits = [score for score in score_mixture(waveforms, truth, mixture) if score.outcome == "hit"]
        once = Counter(label for label, _ in waveforms)  # of several of a class, nobody knows which has which gain
        gains = {score.label: score.improvement for score in hits if once[score.label] == 1}
        stems += [Stem(label, "estimate", source, wave.cpu().numpy(), gains.get(label)) for label, wave in waveforms]
    activity = said["tagger"].strong_probabilities if "tagger" in said else None
    return Example(
        name=name,
        sample_rate=rate,
        mixture=mixture.cpu().numpy(),
        stems=stems,
        sed_probabilities=None if activity is None else activity[0].cpu().numpy(),
        sed_labels=() if activity is None else names,
        sed_frame_s=0.0 if activity is None else batch.mixture.shape[-1] / rate / activity.shape[-1],
        true_spans=[
            (names[int(row.argmax())], int(on) / rate, int(off) / rate)
            for row, (on, off) in zip(batch.query[0], batch.spans[0], strict=True)
            if row.any()
        ],
        caption=caption,
    )
