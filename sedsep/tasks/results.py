"""Scores, the report page and what is kept of a job."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn

from sedsep.data.datamodule import SceneDataModule
from sedsep.evaluation import (
    Evaluation,
    MixtureResult,
    cached_probabilities,
    evaluate,
    labels_of,
    oracle_labels,
    separate_sources,
    true_sources,
)
from sedsep.evaluation.label_sources import LabelTable
from sedsep.files import write_json
from sedsep.labels import LabelSet
from sedsep.metrics import score_mixture
from sedsep.models.sed import SedModel
from sedsep.models.separator import GuidedSeparator
from sedsep.report import ClassRow, Curve, Example, Report, Stem, charts, write_report
from sedsep.tasks.session import Session
from sedsep.tasks.stages import Trained
from sedsep.tracking import Tracker, read_history
from sedsep.types import Batch


def label_tables(
    session: Session, data: SceneDataModule, split: str, taggers: Mapping[str, Trained]
) -> dict[str, LabelTable]:
    """What each label source says of a split: the truth, and each tagger's answers from the cache or computed now."""
    loader = data.test_dataloader() if split == data.test_split else data.val_dataloader()
    tables: dict[str, LabelTable] = {"oracle": oracle_labels(loader)}
    for source, tagger in taggers.items():
        assert isinstance(tagger.network, SedModel)
        key = f"{split}-{data.fingerprint(split)}"
        probabilities = cached_probabilities(
            tagger.network, loader, session.device, session.cache / "labels" / source, key
        )
        tables[source] = labels_of(probabilities, session.config.task.threshold, at_most=session.config.slots)
    return tables


def conclude(
    session: Session,
    tracker: Tracker,
    data: SceneDataModule,
    separator: GuidedSeparator | None,
    taggers: Mapping[str, Trained],
    trained: Sequence[Trained],
) -> dict[str, float]:
    """Score the test scenes and write metrics.json, report.html and the tracking run's last entries."""
    split = data.test_split
    tables = label_tables(session, data, split, taggers)
    wanted = {name: tables[name] for name in session.config.task.label_sources if name in tables}
    tables = {"oracle": tables["oracle"], **wanted}
    evaluation = evaluate(split, data.test_dataloader(), session.labels, tables, separator, session.device)
    metrics = evaluation.metrics()
    _write_json(session.run_dir / "metrics.json", metrics)
    examples = _examples(session, data, separator, taggers, tables)
    report = Report(
        title=f"{session.config.model.name} on {session.config.data.name}",
        subtitle=f"{len(evaluation.mixtures)} mixtures of the {split} split",
        facts=[*session.facts(), *((f"Training {t.name}", _seconds(t)) for t in trained)],
        metrics=metrics,
        per_class=_class_rows(evaluation, session.labels),
        curves=[curve for t in trained for curve in _curves(t)],
        examples=examples,
        config_yaml=OmegaConf.to_yaml(session.config),
        notes=_notes(session),
    )
    page = session.run_dir / "report.html"
    write_report(page, report)
    pictures = session.run_dir / "figures"
    pictures.mkdir(exist_ok=True)
    for name, svg in charts(report).items():
        (pictures / f"{name}.svg").write_bytes(svg)
        tracker.artifact(pictures / f"{name}.svg", "figures")
    tracker.metrics(metrics)
    for name in ("metrics.json", "config.yaml", "report.html"):
        tracker.artifact(session.run_dir / name)
    _show(metrics, page)
    return metrics


def _write_json(path: Path, values: Mapping[str, float]) -> None:
    """JSON has no NaN: an undefined number is null."""
    plain = {name: value if math.isfinite(value) else None for name, value in values.items()}
    write_json(path, plain)


def _seconds(trained: Trained) -> str:
    return f"{trained.seconds:.0f} s" if trained.seconds else f"not trained now, read from {trained.checkpoint}"


def _notes(session: Session) -> list[str]:
    if session.config.scale.name != "mini":
        return []
    return ["The mini scale shows that the whole system works; its numbers do not compare with published ones."]


def _class_rows(evaluation: Evaluation, labels: LabelSet) -> list[ClassRow]:
    """Improvement by label source; recall and precision of the first source that is not the truth."""
    named = [source for source in evaluation.sources if source != "oracle"]
    judge = "tagger" if "tagger" in named else (named[0] if named else None)
    scores = {source: evaluation.by_class(source) for source in evaluation.sources}
    rows = []
    for index, label in enumerate(labels):
        truth = [index in m.true for m in evaluation.mixtures]
        answer = [judge is not None and index in m.predicted[judge] for m in evaluation.mixtures]
        hits = sum(t and a for t, a in zip(truth, answer, strict=True))
        improvement = {s: _mean(score.improvement for score in table.get(label, [])) for s, table in scores.items()}
        rows.append(
            ClassRow(
                label=label,
                count=sum(truth),
                ca_sdri={s: value for s, value in improvement.items() if scores[s]},
                recall=hits / sum(truth) if judge and any(truth) else None,
                precision=hits / sum(answer) if any(answer) else None,
            )
        )
    return rows


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return sum(listed) / len(listed) if listed else None


def _curves(trained: Trained) -> list[Curve]:
    """Loss, and what else validation measured, over steps."""
    if trained.history is None or not trained.history.is_file():
        return []
    rows = read_history(trained.history)
    columns = {name for row in rows for name in row}
    loss = {"training": "train/loss_epoch", "validation": "valid/loss"}
    unit = "negative SNR in dB" if "separator" in trained.name or "resunet" in trained.name else "cross-entropy"
    curves = [Curve.from_rows(f"{trained.name}: loss", rows, "step", loss, xlabel="step", ylabel=unit)]
    if "valid/ca_sdri/baseline" in columns:
        score = {"under the baseline tagger's labels": "valid/ca_sdri/baseline"}
        curves.append(
            Curve.from_rows(f"{trained.name}: validation CA-SDRi", rows, "step", score, xlabel="step", ylabel="dB")
        )
    prefix = "valid/label_accuracy@"
    accuracy = {f"≥ {column.removeprefix(prefix)}": column for column in sorted(columns) if column.startswith(prefix)}
    if accuracy:
        title = f"{trained.name}: validation label accuracy by threshold"
        curves.append(Curve.from_rows(title, rows, "step", accuracy, xlabel="step", ylabel="%"))
    return [curve for curve in curves if curve.series]


@torch.inference_mode()
def _examples(
    session: Session,
    data: SceneDataModule,
    separator: GuidedSeparator | None,
    taggers: Mapping[str, Trained],
    tables: Mapping[str, LabelTable],
) -> list[Example]:
    """The first test mixtures, taken apart."""
    count = session.config.task.examples
    examples: list[Example] = []
    for batch in data.test_dataloader():
        for item in range(len(batch.names)):
            if len(examples) == count:
                return examples
            examples.append(_example(session, _one(batch, item), separator, taggers, tables))
    return examples


def _one(batch: Batch, item: int) -> Batch:
    rows = slice(item, item + 1)
    return Batch(batch.mixture[rows], batch.targets[rows], batch.query[rows], batch.spans[rows], [batch.names[item]])


def _example(
    session: Session,
    batch: Batch,
    separator: GuidedSeparator | None,
    taggers: Mapping[str, Trained],
    tables: Mapping[str, LabelTable],
) -> Example:
    rate, names = session.config.sample_rate, session.labels.names
    name, mixture = batch.names[0], batch.mixture[0, 0]
    (targets,) = true_sources(batch, session.labels)
    stems = [Stem(label, "target", "dry source", target.numpy()) for label, target in targets.items()]
    if separator is not None:
        # The reader listens to what a user gets (the tagger's labels) beside what could be had (the true ones).
        shown = {s: tables[s] for s in ("oracle", "tagger") if s in tables}
        stems += _estimates(session, batch, separator, name, shown, targets)
    spans = [
        (names[int(row.argmax())], int(on) / rate, int(off) / rate)
        for row, (on, off) in zip(batch.query[0], batch.spans[0], strict=True)
        if row.any()
    ]
    tagger = taggers.get("tagger")
    activity = None if tagger is None else _activity(tagger.network, batch, session.device)
    return Example(
        name=name,
        sample_rate=rate,
        mixture=mixture.numpy(),
        stems=stems,
        sed_probabilities=None if activity is None else activity.numpy(),
        sed_labels=() if activity is None else names,
        sed_frame_s=0.0 if activity is None else batch.mixture.shape[-1] / rate / activity.shape[-1],
        true_spans=spans,
    )


def _estimates(
    session: Session,
    batch: Batch,
    separator: GuidedSeparator,
    name: str,
    tables: Mapping[str, LabelTable],
    targets: Mapping[str, torch.Tensor],
) -> list[Stem]:
    row = MixtureResult(name, [], {source: list(table[name]) for source, table in tables.items()})
    stems = []
    for source, (found,) in separate_sources(separator, batch.mixture, [row], session.labels, session.device).items():
        gains = {
            s.label: s.improvement for s in score_mixture(found, targets, batch.mixture[0, 0]) if s.outcome == "hit"
        }
        stems += [Stem(label, "estimate", source, wave.numpy(), gains.get(label)) for label, wave in found.items()]
    return stems


def _activity(network: nn.Module, batch: Batch, device: torch.device) -> torch.Tensor | None:
    """Frame-wise probabilities [N, S] of one scene, where the tagger names frames."""
    probabilities = network.to(device).eval()(batch.mixture.to(device)).strong_probabilities
    return None if probabilities is None else probabilities[0].cpu()


def _show(metrics: Mapping[str, float], page: Path) -> None:
    """The numbers, and where to read on."""
    table = Table(title="Test scores", title_justify="left")
    sources = list(dict.fromkeys(name.split("/")[2] for name in metrics))
    table.add_column("")
    for source in sources:
        table.add_column(source, justify="right")
    units = {
        "ca_sdri": "CA-SDRi (dB)",
        "label_accuracy": "label accuracy (%)",
        "source_accuracy": "source accuracy (%)",
    }
    split = next(iter(metrics)).split("/")[0]
    for metric, title in units.items():
        values = [metrics.get(f"{split}/{metric}/{source}") for source in sources]
        if any(value is not None for value in values):
            table.add_row(title, *("-" if v is None or math.isnan(v) else f"{v:.2f}" for v in values))
    console = Console()
    console.print(table)
    console.print(f"Report: {page}", soft_wrap=True)
