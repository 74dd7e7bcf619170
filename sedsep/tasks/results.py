"""Test scores, the report page and what is kept of a job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import Dataset

from sedsep.evaluation.report import Breakdown, BreakdownRow, ClassRow, Confusion, Curve, Report, charts, write_report
from sedsep.evaluation.results import Evaluation
from sedsep.metrics.bootstrap import Estimate
from sedsep.metrics.registry import CONSTANT, METRICS, ORACLE
from sedsep.runs.directories import is_main_process
from sedsep.runs.tracking import Tracker, read_history
from sedsep.tasks.examples import examples
from sedsep.tasks.scoring import evaluation_of, keep_scores, score_scenes
from sedsep.tasks.session import Session
from sedsep.tasks.stages import Trained
from sedsep.types import Scene

Key = TypeVar("Key")
SHOWN = {
    "ca_sdri": "CA-SDRi (dB)",
    "label_accuracy": "label accuracy (%)",
    "source_accuracy": "source accuracy (%)",
    "segment_pauroc": "partial AUROC",
}


def conclude(
    session: Session,
    tracker: Tracker,
    scenes: Dataset[Scene],
    evaluator: nn.Module,
    trained: Sequence[Trained] = (),
    passes: int | None = None,
) -> dict[str, float]:
    """Score the test scenes; write the scores, the page, and the tracking run's last entries.

    Of several processes all score, and the first alone writes.

    Args:
        evaluator: an `Evaluator`, or another that scores batches. trained: the networks that are scored, for the page.
        passes: of refinement, that the separator was trained for; `None` without one.
    """
    config = session.config
    results = score_scenes(session, scenes, evaluator, config.model.training.eval_batch_size)
    if not is_main_process():
        return {}
    evaluation = evaluation_of(session, config.data.module.test_split, results, passes)
    about = {"facts": dict(session.facts()), "checkpoints": {one.name: str(one.checkpoint) for one in trained}}
    files = keep_scores(session.run_dir, evaluation, about)
    report = Report(
        title=f"{config.model.name if trained else config.task.estimates} on {config.audio or config.data.name}",
        subtitle=f"{len(evaluation.mixtures)} mixtures{'' if config.audio else f' of the {evaluation.split} split'}",
        facts=[*session.facts(), *((f"Training {t.name}", _seconds(t)) for t in trained)],
        metrics={name: one.value for name, one in evaluation.metrics.items()},
        intervals={name: (one.low, one.high) for name, one in evaluation.metrics.items()},
        threshold=evaluation.rule.threshold,
        trained_passes=passes,
        per_class=_class_rows(evaluation),
        breakdowns=_breakdowns(evaluation),
        confusion=_confusion(evaluation),
        curves=[curve for t in trained for curve in _curves(t)],
        examples=examples(session, scenes, evaluator, evaluation),
        config_yaml=OmegaConf.to_yaml(config),
        notes=_notes(session, evaluation),
    )
    page = session.run_dir / "report.html"
    write_report(page, report)
    pictures = session.run_dir / "figures"
    pictures.mkdir(exist_ok=True)
    for name, svg in charts(report).items():
        (pictures / f"{name}.svg").write_bytes(svg)
        tracker.artifact(pictures / f"{name}.svg", "figures")
    metrics = {name: one.value for name, one in evaluation.metrics.items()}
    tracker.metrics(metrics)
    for file in (*files, session.run_dir / "config.yaml", page):
        tracker.artifact(file)
    _show(evaluation, page)
    return metrics


def _seconds(trained: Trained) -> str:
    return f"{trained.seconds:.0f} s" if trained.seconds else f"not trained now, read from {trained.checkpoint}"


def _notes(session: Session, evaluation: Evaluation) -> list[str]:
    notes = []
    if session.config.scale.name == "mini":
        notes.append(
            "The mini scale shows that the whole system works; its numbers do not compare with published ones."
        )
    if evaluation.main_source != ORACLE:
        notes.append(f"Precision and recall by class are those of the {evaluation.main_source} labels.")
    return notes


def _class_rows(evaluation: Evaluation) -> list[ClassRow]:
    """Improvement by label source; recall and precision of one that is not the truth."""
    namer = None if evaluation.main_source == ORACLE else evaluation.main_source
    scores = evaluation.by_class if evaluation.separated else {}
    confusion = None if namer is None else evaluation.confusion(namer)
    rows = []
    for index, label in enumerate(evaluation.labels):
        found = {source: table[label] for source, table in scores.items() if label in table}
        count = sum(mixture.rows[0].true.count(label) for mixture in evaluation.mixtures)
        hits, said = (0.0, 0.0) if confusion is None else (confusion[index, index], confusion[:, index].sum())
        rows.append(
            ClassRow(
                label=label,
                count=count,
                ca_sdri={source: _value(found.get(source)) for source in scores},
                intervals={source: (one.low, one.high) for source, one in found.items()},
                recall=hits / count if confusion is not None and count else None,
                precision=hits / said if said else None,
            )
        )
    return rows


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None or math.isnan(estimate.value) else estimate.value


def _breakdowns(evaluation: Evaluation) -> list[Breakdown]:
    counts = evaluation.by_count
    metric = METRICS["ca_sdri" if evaluation.separated else "label_accuracy"]
    named = {n: "1 source" if n == 1 else f"{n} sources" for table in counts.values() for n in table}
    tables = [
        _breakdown(f"{metric.title} by number of sources", "Sources", f"{metric.title} ({metric.unit})", counts, named)
    ]
    if evaluation.separated:
        levels = evaluation.by_level
        bands = {band: _band(*band) for table in levels.values() for band in table}
        title = "Improvement by level of the source beside all else"
        tables.append(_breakdown(title, "SNR in the mixture", "Improvement (dB)", levels, bands))
    return tables


def _breakdown(
    title: str, group: str, unit: str, tables: Mapping[str, Mapping[Key, Estimate]], names: Mapping[Key, str]
) -> Breakdown:
    rows = []
    for key, name in names.items():
        found = {source: table[key] for source, table in tables.items() if key in table and table[key].count}
        if found:
            values = {source: (one.value, one.low, one.high) for source, one in found.items()}
            rows.append(BreakdownRow(name, max(one.count for one in found.values()), values))
    return Breakdown(title, group, unit, rows)


def _band(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:g} dB"
    return f"{low:g} dB or more" if math.isinf(high) else f"{low:g} to {high:g} dB"


def _confusion(evaluation: Evaluation) -> Confusion | None:
    source = evaluation.main_source
    return None if source == ORACLE else Confusion(evaluation.labels, evaluation.confusion(source), source)


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


def _show(evaluation: Evaluation, page: Path) -> None:
    """The numbers, and where to read on."""
    table = Table(title="Test scores, with 95 % intervals", title_justify="left")
    table.add_column("")
    sources = [*evaluation.sources, CONSTANT]
    for source in sources:
        table.add_column(source, justify="right")
    for metric, title in SHOWN.items():
        cells = [_cell(evaluation.score(metric, source)) for source in sources]
        if any(cells):
            table.add_row(title, *(cell or "-" for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    if len(evaluation.all_passes) > 1:
        console.print(_by_passes(evaluation))
    console.print(f"Report: {page}", soft_wrap=True)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.value):
        return ""
    interval = "" if math.isnan(estimate.low) else f"\n[dim]{estimate.low:.2f} to {estimate.high:.2f}[/dim]"
    return f"{estimate.value:.2f}{interval}"


def _by_passes(evaluation: Evaluation) -> Table:
    title = f"CA-SDRi (dB) by refinement passes; trained for {evaluation.passes}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for passes in evaluation.all_passes:
        table.add_column(str(passes), justify="right")
    for source in evaluation.sources:
        found = (evaluation.score("ca_sdri", source, passes) for passes in evaluation.all_passes)
        table.add_row(source, *("" if one is None else f"{one.value:.2f}" for one in found))
    return table
