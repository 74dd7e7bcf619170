"""What refinement gains: 1 to 10 passes at test time by models trained with 2, 3 and 4, beside one that does not."""

from __future__ import annotations

from pathlib import Path

from sedsep.studies import Row, Study, curves, main

PASSES = range(1, 11)


def refined(trained: int) -> Row:
    """The model trained with so many passes."""
    return Row(
        f"separator_iter_{trained}",
        f"trained with {trained} passes",
        columns={str(passes): f"ca_sdri@{passes}/tagger" for passes in PASSES},
        also=tuple(f"ca_sdri@{passes}/oracle" for passes in PASSES),
        overrides=(f"refinement.eval_iters=[{','.join(map(str, PASSES))}]",),
    )


STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="Refinement: score against passes at test time",
    quantity="CA-SDRi under the tagger's labels, dB",
    by="passes",
    rows=(
        Row("separator_dprnn", "not refined", {"1": "ca_sdri/tagger"}, also=("ca_sdri/oracle",)),
        *(refined(trained) for trained in (2, 3, 4)),
    ),
    reference="separator_dprnn",
    draw=curves,
)

if __name__ == "__main__":
    main(STUDY)
