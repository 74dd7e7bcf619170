"""What each part of the system is worth: the rows of the paper's table of results, under labels from three sources."""

from __future__ import annotations

from pathlib import Path

from sedsep.studies import Row, Study, dots, main

COLUMNS = {source: f"ca_sdri/{source}" for source in ("baseline", "tagger", "oracle")}
ALSO = (
    *(f"capi_sdri/{source}" for source in ("baseline", "tagger", "oracle")),
    *(f"label_accuracy/{source}" for source in ("baseline", "tagger")),
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
    quantity="CA-SDRi, dB",
    by="source of labels",
    rows=tuple(Row(experiment, title, COLUMNS, also=ALSO) for experiment, title in TITLES.items()),
    reference="separator_baseline",
    draw=dots,
)

if __name__ == "__main__":
    main(STUDY)
