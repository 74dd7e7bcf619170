"""What each part of the system is worth: the rows of the paper's table of results, under labels from three sources."""

from __future__ import annotations

from pathlib import Path

from sedsep.metrics.registry import BASELINE, METRICS, SELECTABLE, TAGGER
from sedsep.studies import Row, Study, dots, main

SCORE = METRICS["ca_sdri"]
COLUMNS = {source: f"{SCORE.name}/{source}" for source in SELECTABLE}
SOURCES = f"task.label_sources=[{','.join(SELECTABLE)}]"
ALSO = (
    *(f"capi_sdri/{source}" for source in SELECTABLE),
    *(f"label_accuracy/{source}" for source in (BASELINE, TAGGER)),
)
TITLES = {
    "baseline_resunet": "DCASE baseline (ResUNet)",
    "separator_baseline": "AudioSep-SED",
    "separator_no_timefilm": "without Time-FiLM",
    "separator_no_soundbeam": "without embedding injection",
    "separator_soundbeam_frozen": "frozen Stage 2 SED model",
    "separator_dprnn": "with DPRNN",
}

STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="Table 1: what each part is worth",
    quantity=f"{SCORE.title}, {SCORE.unit}",
    by="source of labels",
    rows=tuple(Row(experiment, title, COLUMNS, (SOURCES,), ALSO) for experiment, title in TITLES.items()),
    reference="separator_baseline",
    draw=dots,
)

if __name__ == "__main__":
    main(STUDY)
