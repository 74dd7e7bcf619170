"""What refinement gains by another feedback: options of `refinement`, alone and together, after 1 to 10 passes.

Rows train at the same cost: those whose step costs more (`cost.py`) have fewer of them in an epoch. Those that say so
have as many as the reference instead, and its scenes.
"""

from __future__ import annotations

from pathlib import Path

from sedsep.metrics.registry import METRICS, ORACLE
from sedsep.studies import Row, Study, curves, main

PASSES = range(1, 11)
SCORE = METRICS["ca_sdri"]
EXPERIMENT = "separator_baseline"
COLUMNS = {str(passes): f"{SCORE.name}@{passes}/{ORACLE}" for passes in PASSES}
COMMON = (
    "refinement.iters=2",
    f"refinement.eval_iters=[{','.join(map(str, PASSES))}]",
    f"task.label_sources=[{ORACLE}]",
)
FEEDBACK = "refinement.feedback"
PASS, MIXTURE = f"{FEEDBACK}.statistics=pass", f"{FEEDBACK}.statistics=mixture"
PHASE, NUMBERED = f"{FEEDBACK}.phase=true", f"{FEEDBACK}.numbered=true"
THROUGH, EVERY = "refinement.through=true", "refinement.pass_decay=0.5"
DEARER = "model.training.epoch_size={}"
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "published": ("as published", ()),
    "pass": ("statistics of each pass", (PASS,)),
    "mixture": ("the mixture's statistics", (MIXTURE,)),
    "phase": ("mixture's, with phase", (MIXTURE, PHASE)),
    "numbered": ("mixture's, numbered", (MIXTURE, NUMBERED)),
    "through": ("mixture's, gradient through", (MIXTURE, THROUGH, DEARER.format(80))),
    "every": ("mixture's, loss on every pass", (MIXTURE, EVERY, DEARER.format(60))),
    "through_steps": ("gradient through, as many steps", (MIXTURE, THROUGH)),
    "every_steps": ("loss on every pass, as many steps", (MIXTURE, EVERY)),
}

STUDY = Study(
    folder=Path(__file__).parent.absolute(),
    title="Feedback: what the options of refinement are worth",
    quantity=f"{SCORE.title} under the true labels, {SCORE.unit}",
    by="passes",
    rows=tuple(
        Row(EXPERIMENT, title, COLUMNS, (*COMMON, *options), variant=name) for name, (title, options) in OPTIONS.items()
    ),
    reference=f"{EXPERIMENT}-published",
    draw=curves,
)

if __name__ == "__main__":
    main(STUDY)
