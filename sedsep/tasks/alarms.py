"""task=alarms: false alarms an hour against recall, and the threshold of each class for a wanted rate."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from sedsep import checkpoints
from sedsep.checkpoints import Checkpoint
from sedsep.checkpoints.finding import BOX, find
from sedsep.composition import common, parts
from sedsep.errors import UserError
from sedsep.evaluation.alarms import Alarms, Operation
from sedsep.evaluation.evaluator import Evaluator
from sedsep.evaluation.fitting import Heard
from sedsep.evaluation.report import write_alarms
from sedsep.evaluation.scored import scored_with
from sedsep.files import write_csv, write_json
from sedsep.inference import find as find_audio
from sedsep.inference import from_file
from sedsep.inference.listening import window_probabilities
from sedsep.labels import LabelSet
from sedsep.metrics.registry import BASELINE, TAGGER
from sedsep.models.sed import SedModel
from sedsep.runs.run import Run
from sedsep.training.build import check_fit
from sedsep.training.fit import make_trainer
from sedsep.training.scoring import score_scenes


def run(config: DictConfig) -> None:
    """Write alarms.json, alarms.csv and alarms.html to the run directory.

    Raises:
        UserError: no hours are given, or no tagger of classes.
    """
    if not config.audio:
        raise UserError(
            "task=alarms needs hours without targets: add audio=FOLDER of recordings (any rate and length)."
        )
    paths = find_audio(str(config.audio))
    tagger = _tagger(config)
    check_fit(config.scale.name, config.sample_rate, tagger)
    network, labels = tagger.network, LabelSet(tagger.description.labels)
    assert isinstance(network, SedModel)
    if network.tracks is not None:
        raise UserError(f"{tagger.path} names sources one by one, whatever the threshold: give a tagger of classes.")
    run = Run.open(config)
    layout = common.data_set(config)
    data = parts.scenes(config, layout, labels, parts.recipe(config, TAGGER).plan)
    scenes = data.eval_dataset(data.test_split)
    evaluator = Evaluator(labels, config.sample_rate, {TAGGER: network})
    trainer = partial(make_trainer, common.plain(config.trainer), default_root_dir=str(run.directory))
    results = score_scenes(evaluator, scenes, trainer, data.eval_batch_size, config.data.workers)
    heard = Heard.of(results, TAGGER, labels)

    network.to(run.device).eval()
    windows = np.concatenate([window_probabilities(network, from_file(path), config.task.window) for path in paths])
    hours = len(windows) * config.task.window / 3600
    alarms = Alarms(labels.names, hours, windows, heard.probabilities.numpy(), heard.true)
    wanted = alarms.wanted(config.task.rate)
    write_json(
        run.directory / "alarms.json",
        {
            "tagger": str(tagger.path),
            "audio": str(config.audio),
            "hours": hours,
            "rate": config.task.rate,
            "labelling": {TAGGER: asdict(alarms.labelling(config.task.rate))},
            "classes": {label: _known(one) for label, one in wanted.items()},
        },
    )
    write_csv(
        run.directory / "alarms.csv",
        [{"label": label, **asdict(one)} for label in labels for one in alarms.curve(label)],
    )
    page = run.directory / "alarms.html"
    write_alarms(
        page,
        alarms,
        config.task.rate,
        config.scale.threshold,
        title=f"False alarms of {tagger.path.parent.name}",
        subtitle=f"{hours:.2f} h of {config.audio}; recall on {len(results)} mixtures of the {data.test_split} split",
        facts=run.facts(layout.root),
    )
    print(f"Alarms: {page}")


def _known(operation: Operation) -> dict[str, float | None]:
    """JSON has no NaN: what is not known is null."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(operation).items()}


def _tagger(config: DictConfig) -> Checkpoint:
    """The tagger at `tagger.ckpt`, or that of `ckpt`: itself, or the one that the separator there was scored with."""
    cache = Path(config.paths.cache)
    if config.tagger.ckpt:
        return checkpoints.load(find(config.tagger.ckpt, cache), "sed")
    file = find(config.ckpt or BOX, cache)
    if checkpoints.describe(file).kind == "separator":
        scored = scored_with(file)
        tagger = None if scored is None else scored.tagger(TAGGER) or scored.tagger(BASELINE)
        if tagger is None:
            raise UserError(f"{config.ckpt} does not say with which tagger it was scored: give tagger.ckpt=PATH.")
        file = tagger
    return checkpoints.load(file, "sed")
