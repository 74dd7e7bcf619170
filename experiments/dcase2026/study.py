"""What the paper's guidance is worth in the 2026 task, where classes repeat and there may be no target."""

from __future__ import annotations

from pathlib import Path

from sedsep.metrics.registry import BASELINE, GROUPS, METRICS, ORACLE, SELECTABLE
from sedsep.studies import Row, Study, dots, main

SCORE = METRICS["capi_sdri"]
COLUMNS = {source: f"{SCORE.name}/{source}" for source in SELECTABLE}
SETTINGS = ("edition=dcase2026", f"task.label_sources=[{','.join(SELECTABLE)}]")
ALSO = (
    *(f"{SCORE.name}@{group}/{ORACLE}" for group in list(GROUPS)[1:]),
    *(f"{name}/{BASELINE}" for name in ("label_accuracy", "source_accuracy", "silence_recall", "false_alarms")),
    f"leakage/{BASELINE}",
)
TITLES = {
    "dcase2026_resunetk": "ResUNetK",
    "dcase2026_guided": "guided ResUNetK",
    "separator_baseline": "one answer a class",
}

STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="The 2026 task: what guidance is worth",
    quantity=f"{SCORE.title}, {SCORE.unit}",
    by="source of labels",
    rows=tuple(Row(experiment, title, COLUMNS, SETTINGS, ALSO) for experiment, title in TITLES.items()),
    reference="dcase2026_resunetk",
    draw=dots,
    data="dcase2026",
)

if __name__ == "__main__":
    main(STUDY)
