"""What each augmentation, and an average of weights, is worth: to a tagger, and to a separator that knows the labels.

    python experiments/augmentation/study.py [seed=0,1,2] [KEY=VALUE of run.py]... [--collect]

Cells are run one after the other, all of a seed before the next one; started twice, two at a time. The same command
goes on where it stopped. With --collect nothing is run, and what there is, is written.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sedsep.files import write_whole
from sedsep.fingerprint import fingerprint
from sedsep.metrics.bootstrap import Bootstrap, ratios
from sedsep.metrics.registry import METRICS
from sedsep.runs.directories import FINISHED, RUNNING, read_status
from sedsep.studies.study import settings_name

FOLDER = Path(__file__).parent.absolute()
CELLS = Path("multirun/studies") / FOLDER.name


@dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
        metric: that its test mixtures are scored by.
        overrides: of `run.py`.
        rows: more of them, by what sets a row apart from `none`.
    """

    metric: str
    overrides: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


def average(decay: float) -> tuple[str, ...]:
    """Of the weights."""
    return "callbacks=ema", f"callbacks.average.decay={decay}"


MODELS = {
    "tagger": Model(
        "label_accuracy",
        ("model=tagger",),
        {
            "none": (),
            "specaugment": ("augment=[specaugment]",),
            "filteraugment": ("augment=[filteraugment]",),
            "equaliser": ("augment=[equaliser]",),
            "joining": ("augment=[joining]",),
            "ema": average(0.98),
        },
    ),
    "separator": Model(
        "ca_sdri",
        ("model=separator", "conditioning=none", "task.label_sources=[oracle]"),
        {
            "none": (),
            "rotation": ("augment=[rotation]",),
            "equaliser": ("augment=[equaliser]",),
            "joining": ("augment=[joining]",),
            "ema": average(0.9),
        },
    ),
}


@dataclass(frozen=True)
class Cell:
    """A row and a seed of a model; `overrides` are those of the command."""

    model: str
    row: str
    seed: int
    overrides: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """Of `run.py`."""
        model = MODELS[self.model]
        return [*model.overrides, *model.rows[self.row], *self.overrides, f"seed={self.seed}", "logger=none"]

    @property
    def directory(self) -> Path:
        """Of its run."""
        return CELLS / f"{self.model}-{self.row}-{self.seed}-{fingerprint(self.arguments)[:6]}"

    @property
    def state(self) -> str | None:
        """Of its run; `None` where it was not begun."""
        status = read_status(self.directory)
        return status and status.state

    def run(self) -> None:
        """Train and score it, or go on with it."""
        run_py = FOLDER.parents[1] / "run.py"
        subprocess.run([sys.executable, run_py, *self.arguments, f"hydra.run.dir={self.directory}"], check=False)

    def scores(self) -> pd.DataFrame:
        """Of each test mixture."""
        table = pd.read_csv(self.directory / "mixtures.csv")
        value = table[MODELS[self.model].metric].to_numpy()
        return pd.DataFrame(
            {"model": self.model, "row": self.row, "seed": self.seed, "mixture": table.mixture, "value": value}
        )


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Of each row its mean and deviation over seeds, and what sets it apart from `none`: the mean over the seeds that
    both have, its deviation over them, and its interval when mixtures are drawn anew."""
    lines = []
    for (model, row), own in scores.groupby(["model", "row"], sort=False):
        by_seed = own.groupby("seed").value.mean()
        line = {"model": model, "row": row, "metric": MODELS[model].metric, "seeds": len(by_seed)}
        line |= {"mean": by_seed.mean(), "deviation": by_seed.std()}
        plain = scores[(scores.model == model) & (scores.row == "none")]
        both = own.merge(plain, on=["seed", "mixture"], suffixes=("", "_none"))
        if row != "none" and len(both):
            difference = both.value - both.value_none
            effects = difference.groupby(both.seed).mean()
            by_mixture = difference.groupby(both.mixture).mean().to_numpy()
            (estimate,) = ratios(np.stack([by_mixture, np.ones_like(by_mixture)], axis=-1)[:, None], Bootstrap())
            line |= {"pairs": len(effects), "effect": estimate.value, "effect_deviation": effects.std()}
            line |= {"low": estimate.low, "high": estimate.high}
        lines.append(line)
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame, command: Sequence[str]) -> str:
    """The summary for people."""

    def cell(value: float, sign: str = "") -> str:
        return "" if pd.isna(value) else f"{value:{sign}.2f}"

    text = f"`python {' '.join(command)}`\n"
    for model, rows in table.groupby("model", sort=False):
        metric = METRICS[MODELS[model].metric]
        text += f"\n| {model}: {metric.axis} | seeds | mean ± deviation | against none, by seed | 95 %, by mixture |\n"
        text += "| --- | ---: | ---: | ---: | --- |\n"
        for row in rows.itertuples():
            effect = f"{cell(row.effect, '+')} ± {cell(row.effect_deviation)}" if row.row != "none" else ""
            interval = f"{cell(row.low, '+')} to {cell(row.high, '+')}" if row.row != "none" else ""
            text += f"| {row.row} | {row.seeds} | {cell(row.mean)} ± {cell(row.deviation)} | {effect} | {interval} |\n"
    return text


def main(arguments: Sequence[str]) -> None:
    """Run what is missing, and write what there is."""
    seeds = next((text[5:] for text in arguments if text.startswith("seed=")), "0,1,2")
    overrides = tuple(text for text in arguments if not text.startswith(("seed=", "--collect")))
    cells = [
        Cell(name, row, int(seed), overrides)
        for seed in seeds.split(",")
        for name, model in MODELS.items()
        for row in model.rows
    ]
    for cell in cells if "--collect" not in arguments else ():
        if cell.state not in (FINISHED, RUNNING):
            cell.run()
    done = [cell for cell in cells if cell.state == FINISHED]
    print(f"{len(done)} of {len(cells)} cells have a run")
    if not done:
        return
    scores = pd.concat([cell.scores() for cell in done])
    table = summary(scores)
    text = markdown(table, [f"experiments/{FOLDER.name}/study.py", *arguments])
    choices = {"scale": "mini", "data": "synthetic"} | dict(
        t.split("=") for t in overrides if t.startswith(("scale=", "data="))
    )
    out = FOLDER / "results" / settings_name(choices, overrides)
    by_seed = scores.groupby(["model", "row", "seed"], sort=False).value.mean().reset_index()
    for name, content in (("cells.csv", by_seed), ("summary.csv", table)):
        write_whole(out / name, content.to_csv(index=False, float_format="%.4f"))
    write_whole(out / "table.md", text)
    print(f"{text}\nWritten to {out}")


if __name__ == "__main__":
    main(sys.argv[1:])
