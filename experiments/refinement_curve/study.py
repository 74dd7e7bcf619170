"""What refinement gains: 1 to 10 passes at test time by models trained with 2, 3 and 4, beside one that does not."""

from __future__ import annotations

from pathlib import Path

from sedsep.metrics.registry import METRICS, ORACLE, TAGGER
from sedsep.studies import Row, Study, curves, main

PASSES = range(1, 11)
SCORE = METRICS["ca_sdri"]


def refined(trained: int) -> Row:
    """The model trained with so many passes."""
    return Row(
        f"separator_iter_{trained}",
        f"trained with {trained} passes",
        columns={str(passes): f"{SCORE.name}@{passes}/{TAGGER}" for passes in PASSES},
        also=tuple(f"{SCORE.name}@{passes}/{ORACLE}" for passes in PASSES),
        overrides=(f"refinement.eval_iters=[{','.join(map(str, PASSES))}]",),
    )


STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="Refinement: score against passes at test time",
    quantity=f"{SCORE.title} under the tagger's labels, {SCORE.unit}",
    by="passes",
    rows=(
        Row("separator_dprnn", "not refined", {"1": f"{SCORE.name}/{TAGGER}"}, also=(f"{SCORE.name}/{ORACLE}",)),
        *(refined(trained) for trained in (2, 3, 4)),
    ),
    reference="separator_dprnn",
    draw=curves,
)

if __name__ == "__main__":
    main(STUDY)
