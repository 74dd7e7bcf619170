"""What today's separator and what it hears are worth: the ResUNet and attention along time and bands, each with and
without spatial features, under the same conditions and at the same cost."""

from __future__ import annotations

from pathlib import Path

from sedsep.metrics.registry import METRICS, ORACLE, TAGGER
from sedsep.studies import Row, Study, dots, main

SCORE = METRICS["ca_sdri"]
EXPERIMENT = "separator_baseline"
SOURCES = (TAGGER, ORACLE)
COLUMNS = {source: f"{SCORE.name}/{source}" for source in SOURCES}
COMMON = (f"task.label_sources=[{','.join(SOURCES)}]",)
ATTENTION = "model=tf_attention"
ALONE, SPATIAL = "model.features=[magnitude]", "model.features=[magnitude,intensity,phase]"
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "resunet": ("ResUNet, as published", ()),
    "resunet_spatial": ("ResUNet, spatial features", (SPATIAL,)),
    "attention": ("attention", (ATTENTION, ALONE)),
    "attention_spatial": ("attention, spatial features", (ATTENTION, SPATIAL)),
}

STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="Separators: attention in the ResUNet's place, and spatial features",
    quantity=f"{SCORE.title}, {SCORE.unit}",
    by="source of labels",
    rows=tuple(
        Row(EXPERIMENT, title, COLUMNS, (*COMMON, *options), variant=name) for name, (title, options) in OPTIONS.items()
    ),
    reference=f"{EXPERIMENT}-resunet",
    draw=dots,
)

if __name__ == "__main__":
    main(STUDY)
