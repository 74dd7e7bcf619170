"""What it is worth to choose labels for the metric: rules fitted on validation scenes, scored on test scenes.

    python experiments/labelling/study.py systems=SEPARATOR:TAGGER,... [out=DIR] [KEY=VALUE]

A system is a checkpoint of a separator, or `box`, or `none` for labels alone, and one of a tagger; several are seeds of
the same. Other arguments are overrides of run.py, which say on what data: `data.module.eval_scenes=200` where the set
fixes no scenes. Each mixture is separated once under its true labels: whatever a rule names, a separator with one
answer a query answers the same, so that what the rule scores is known.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose
from numpy.typing import NDArray
from omegaconf import DictConfig

from sedsep import checkpoints
from sedsep.checkpoints.finding import find
from sedsep.composition import common, parts
from sedsep.errors import UserError
from sedsep.evaluation.evaluator import Evaluator, MixtureResult
from sedsep.evaluation.fitting import Heard, fit_expected, fit_per_class
from sedsep.files import write_csv, write_whole
from sedsep.labels import LabelRule, LabelSet, choose_labels
from sedsep.metrics.bootstrap import Bootstrap, Estimate, ratios
from sedsep.runs.command_line.arguments import CONFIG
from sedsep.runs.command_line.composing import our_configs
from sedsep.scenes.dataset import collate
from sedsep.studies.study import settings_name

REFERENCE = "best single threshold"
RULES: Mapping[str, Callable[[Heard, LabelRule], LabelRule]] = {
    "task.threshold": lambda heard, rule: rule,
    REFERENCE: lambda heard, rule: replace(rule, labelling=fit_per_class(heard, rule, rounds=0)),
    "per_class": lambda heard, rule: replace(rule, labelling=fit_per_class(heard, rule, rounds=10)),
    "expected": lambda heard, rule: replace(rule, labelling=fit_expected(heard, rule)),
}
"""What gives the rule that is scored on test scenes, from validation scenes."""


def heard(
    config: DictConfig, split: str, separator: Any, taggers: Mapping[str, Any], labels: LabelSet
) -> dict[str, Heard]:
    """What each tagger says of a split's scenes, and what the separator gains in them under their true labels."""
    layout = common.data_set(config)
    scenes = parts.scenes(config, layout, labels, parts.recipe(config).plan).eval_dataset(split)
    listening = Evaluator(labels, config.sample_rate, taggers)
    separating = None if separator is None else Evaluator(labels, config.sample_rate, {}, separator)
    results = []
    for number in range(len(scenes)):
        if number % 20 == 0:
            print(f"{split}: {number} of {len(scenes)}", flush=True)
        batch = collate([scenes[number]], labels)
        (result,) = listening(batch)
        rows = result.rows if separating is None else separating(batch)[0].rows
        results.append(MixtureResult(result.name, rows, result.outputs))
    return {name: Heard.of(results, name, labels) for name in taggers}


def scores(config: DictConfig, systems: list[tuple[str, str]]) -> dict[str, NDArray[np.float64]]:
    """Score of each system and test scene by rule, dB, or share of labels that are right without a separator."""
    cache, per_rule = Path(config.paths.cache), {name: list[list[float]]() for name in RULES}
    taggers = {path: checkpoints.load(find(path, cache), "sed") for _, path in systems}
    for separator in dict.fromkeys(path for path, _ in systems):
        network = None if separator == "none" else checkpoints.load(find(separator, cache), "separator").network
        own = {tagger: taggers[tagger] for path, tagger in systems if path == separator}
        names = {f"tagger {number}": path for number, path in enumerate(own)}
        labels = LabelSet(next(iter(own.values())).description.labels)
        networks = {name: own[path].network for name, path in names.items()}
        rule = common.label_rule(config, config.task.threshold)
        module = config.data.module
        valid, test = (
            heard(config, split, network, networks, labels) for split in (module.valid_split, module.test_split)
        )
        for name, tagger in names.items():
            for title, fit in RULES.items():
                fitted = fit(valid[name], rule)
                per_rule[title].append(test[name].scores(choose_labels(test[name].probabilities, fitted)))
                print(f"{tagger}, {title}: {np.mean(per_rule[title][-1]):.3f}; {fitted.labelling}", flush=True)
    return {title: np.array(rows) for title, rows in per_rule.items()}


def paired(rows: NDArray[np.float64], reference: NDArray[np.float64]) -> Estimate:
    """Mean difference of two rules over systems and scenes, with the interval of other scenes."""
    difference = (rows - reference).mean(0)
    return ratios(np.stack([difference, np.ones_like(difference)], axis=-1)[:, None], Bootstrap())[0]


def main(arguments: list[str]) -> None:
    own = dict(text.split("=", 1) for text in arguments if text.startswith(("systems=", "out=")))
    overrides = [text for text in arguments if not text.startswith(("systems=", "out="))]
    if "systems" not in own:
        raise UserError("No systems are given: add systems=SEPARATOR:TAGGER,... of checkpoints or runs.")
    systems = [
        (separator, tagger) for separator, _, tagger in (one.partition(":") for one in own["systems"].split(","))
    ]
    torch.set_grad_enabled(False)
    with our_configs():
        config = compose(CONFIG, overrides=overrides)
    common.complete(config)
    found = scores(config, systems)
    choices = {"scale": config.scale.name, "data": config.data.name}
    out = Path(own.get("out", Path(__file__).parent / "results" / settings_name(choices, overrides)))
    unit = "share of labels" if systems[0][0] == "none" else "CA-SDRi, dB"
    lines = [f"| rule | {unit} | by system | less the {REFERENCE} | by system |", "| --- | ---: | --- | --- | --- |"]
    for title, rows in found.items():
        means, gains = rows.mean(1), (rows - found[REFERENCE]).mean(1)
        estimate = paired(rows, found[REFERENCE])
        against = ["", ""]
        if title != REFERENCE:
            against = [
                f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})",
                ", ".join(f"{gain:+.3f}" for gain in gains),
            ]
        by_system = ", ".join(f"{mean:.3f}" for mean in means)
        lines.append("| " + " | ".join([title, f"{means.mean():.3f}", by_system, *against]) + " |")
    count = len(found[REFERENCE][0])
    text = "\n".join(
        [*lines, "", f"{len(systems)} systems, {count} test scenes; 95 % intervals of the paired mean by scene."]
    )
    write_whole(out / "table.md", text + "\n")
    write_csv(
        out / "scenes.csv",
        [
            {"rule": title, "system": system, "scene": scene, "score": round(float(score), 4)}
            for title, rows in found.items()
            for (system, scene), score in np.ndenumerate(rows)
        ],
    )
    print(f"\n{text}\nWritten to {out}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"Error: {error}")
