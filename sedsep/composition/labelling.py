"""How labels are chosen where one threshold is not asked for: as a file or the run of `ckpt` says, or fitted on
validation scenes, and never on those that are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch.utils.data import Dataset

from sedsep.checkpoints.finding import find_all
from sedsep.composition.common import fitted_labelling, label_rule, plain
from sedsep.errors import UserError
from sedsep.evaluation.ensemble import AnySeparator
from sedsep.evaluation.evaluator import Evaluator
from sedsep.evaluation.fitting import Heard
from sedsep.evaluation.scored import scored_with
from sedsep.labelling import Expected, PerClass
from sedsep.labels import LabelSet
from sedsep.runs.run import Run
from sedsep.training.build import TrainedModel
from sedsep.training.fit import make_trainer
from sedsep.training.scoring import score_scenes
from sedsep.types import Scene
from sedsep.wiring import build


def labellings(
    run: Run,
    labels: LabelSet,
    taggers: Mapping[str, Sequence[TrainedModel]],
    networks: Mapping[str, Any],
    separator: AnySeparator | None,
    validation: Callable[[], Dataset[Scene]],
    batch_size: int,
) -> dict[str, PerClass | Expected]:
    """By label source; none where one threshold is asked for.

    Args:
        run: of the task.
        labels: the classes.
        taggers: by label source. Of several, nothing is taken over that was fitted for one of them.
        networks: what the taggers are together, by label source.
        separator: that is asked for the labels; `None` for taggers alone.
        validation: gives the scenes to fit on, which are made when they are needed.
        batch_size: scenes at once.

    Raises:
        UserError: they cannot be fitted, or are to be fitted on the scenes that are scored.
    """
    config = run.config
    if config.labelling.fit is None or not taggers:
        return {}
    if given := fitted_labelling(config, labels):
        if missing := [source for source in taggers if source not in given]:
            raise UserError(f"{config.labelling.file} does not say how labels of the {missing[0]} are chosen.")
        return given
    alone = {source: those[0].checkpoint for source, those in taggers.items() if len(those) == 1}
    files = find_all(config.ckpt, run.cache) if config.ckpt else []
    if len(files) == 1 and (scored := scored_with(files[0])):
        known = {source: scored.labelling_for(source, checkpoint) for source, checkpoint in alone.items()}
        same = {source: one for source, one in known.items() if one and one.rule == config.labelling.name}
        if len(same) == len(taggers):
            return same
    if config.data.module.valid_split == config.data.module.test_split:
        raise UserError(
            f"labelling={config.labelling.name} is never fitted on the scenes that are scored: give "
            "data.module.valid_split another split than data.module.test_split, or labelling.file=PATH."
        )
    rule = label_rule(config, config.task.threshold)
    passes = () if separator is None else (separator.trained_passes,)
    evaluator = Evaluator(
        labels, config.sample_rate, networks, separator, passes, rule=rule, precision=config.task.precision
    )
    trainer = partial(make_trainer, plain(config.trainer), default_root_dir=str(run.directory))
    results = score_scenes(evaluator, validation(), trainer, batch_size, config.data.workers)
    fit = build(plain(config.labelling.fit))
    return {source: fit(Heard.of(results, source, labels), rule) for source in taggers}
