"""Parts made as the config says: scenes, recipes, trainings, evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Dataset

from sedsep.checkpoints.finding import find_all
from sedsep.composition.common import label_rule, plain
from sedsep.composition.labelling import labellings
from sedsep.errors import PROGRAM, UserError
from sedsep.evaluation.ear import Ear
from sedsep.evaluation.ensemble import AnySeparator, combined
from sedsep.evaluation.evaluator import Evaluator, passes_to_score
from sedsep.evaluation.label_sources import UNLABELLED
from sedsep.evaluation.scored import scored_with
from sedsep.evaluation.self_guided import SelfGuided
from sedsep.labels import LabelSet
from sedsep.metrics.registry import BASELINE, ORACLE, SELF_GUIDED, STEMS, TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.models.unlabelled import UnlabelledSeparator
from sedsep.runs.run import Run
from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.training.build import TrainedModel
from sedsep.training.fit import Trainings
from sedsep.training.prerequisites import Prerequisites
from sedsep.training.recipe import Plan, Recipe
from sedsep.types import Scene
from sedsep.wiring import build


def scenes(config: DictConfig, layout: Layout, labels: LabelSet, plan: Plan) -> SceneDataModule:
    """The scenes of a data set, in the batches and lengths of a plan."""
    make = build(plain(config.data.module), sampler=build(plain(config.data.sampler)))
    return make(layout=layout, labels=labels, augment=build(plan.augment), **plan.scenes())


def check_scenes(data: SceneDataModule) -> None:
    """Check every header and scene description that a training needs, before minutes of it.

    Raises:
        UserError: a split, a label's sounds or a file that a scene names is missing.
    """
    sounds = data.layout.split(data.train_split).events
    if missing := [label for label in data.labels if label not in sounds]:
        raise UserError(
            f"{data.layout.root / 'sound_event' / data.train_split} has no sounds of {', '.join(missing)}: add a "
            "folder for each or take the names out of labels.json."
        )
    for split in (data.valid_split, data.test_split):
        data.eval_dataset(split)


def recipe(config: DictConfig, option: str = "model") -> Recipe:
    """The recipe of `model`, `tagger`, `baseline` or `unlabelled`; what is augmented is for the first."""
    augment = plain(config.augment) if option == "model" else None
    return Recipe.of(plain(config[option]), plain(config.scale), config.refinement.iters, augment)


def check_ledger(config: DictConfig, recipe: Recipe) -> None:
    """Refuse a ledger where no separator is scored.

    Raises:
        UserError: it is asked of a tagger, of files, or of an ensemble.
    """
    others = {
        "files": bool(config.task.get("estimates")),
        f"model={recipe.name}": recipe.kind != "separator" or recipe.is_unlabelled,
        "an ensemble": OmegaConf.is_list(config.ckpt) and len(config.ckpt) > 1,
    }
    if config.task.ledger and any(others.values()):
        raise UserError(
            "task.ledger=true has a separator answer again under better and better terms, which "
            f"{next(name for name, is_it in others.items() if is_it)} cannot: leave it out, or score one separator."
        )


def label_sources(config: DictConfig, recipe: Recipe) -> list[str]:
    """Under which labels a separator is scored: those that are configured, or the names of its stems where it is told
    none.

    Raises:
        UserError: stems are to be extracted by an ensemble.
    """
    if recipe.is_unlabelled:
        return [STEMS]
    if SELF_GUIDED in config.task.label_sources and OmegaConf.is_list(config.ckpt) and len(config.ckpt) > 1:
        raise UserError(
            "The label source self_guided feeds one separator its own stems, and ckpt names an ensemble: give one, or "
            "leave self_guided out of task.label_sources."
        )
    return list(config.task.label_sources)


def label_source(config: DictConfig, recipe: Recipe) -> str:
    """As which label source a tagger is scored."""
    return BASELINE if recipe.name == config.baseline.name else TAGGER


def trainings(config: DictConfig, labels: LabelSet, layout: Callable[[], Layout]) -> Trainings:
    """What all trainings of the run have in common.

    Args:
        config: of the run.
        labels: the classes.
        layout: the data set, which an evaluation whose models are given need not have.
    """
    data = plain(config.data)
    module = {name: value for name, value in data["module"].items() if name != "workers"}
    return Trainings(
        seed=config.seed,
        scale=config.scale.name,
        labels=labels,
        scenes=lambda plan: scenes(config, layout(), labels, plan),
        data={"sampler": data["sampler"], "module": module},
        content=lambda: [layout().fingerprint(module[split]) for split in ("train_split", "valid_split")],
        trainer=plain(config.trainer),
        callbacks=plain(config.callbacks),
    )


def prerequisites(config: DictConfig, options: Sequence[str]) -> Prerequisites:
    """The models that some options configure."""
    return Prerequisites(
        {option: recipe(config, option) for option in options},
        config.scale.name,
        config.scale.trains_prerequisites,
        Path(config.paths.cache),
    )


def tagger_files(config: DictConfig, options: Iterable[str]) -> dict[str, list[Path]]:
    """The checkpoints of taggers by their options: as given, or those that the runs of `ckpt` were scored with.

    Raises:
        UserError: one is not known, or not there any more.
    """
    files, cache = {}, Path(config.paths.cache)
    for option in options:
        name, given = config[option].name, config[option].ckpt
        scored = [] if given else [scored_with(file) for file in find_all(config.ckpt, cache)]
        theirs = find_all(given, cache) if given else [run.tagger(option) for run in scored if run]
        if not any(theirs):
            raise UserError(
                f"{config.ckpt} does not say with which {name} it was scored: give {option}.ckpt=PATH ({PROGRAM} "
                f"model={name} trains one)."
            )
        files[option] = list(dict.fromkeys(file for file in theirs if file))
    return files


def evaluator(
    run: Run,
    labels: LabelSet,
    taggers: Mapping[str, Sequence[TrainedModel]],
    validation: Callable[[], Dataset[Scene]],
    separator: AnySeparator | None = None,
    ear: Ear | None = None,
    self_guided: SelfGuided | None = None,
) -> Evaluator:
    """What scores scenes.

    Args:
        run: of the task.
        labels: the classes.
        taggers: by label source; of several the probabilities are averaged.
        validation: gives the scenes that labelling is fitted on, if it is.
        separator: `None` to score the taggers themselves.
        ear: listens to what was separated; `None` for none.
        self_guided: gives stems with names of its own; `None` for none.

    Raises:
        UserError: refinement passes that the separator has not, or labelling that cannot be fitted.
    """
    config = run.config
    networks = {source: combined([tagger.network for tagger in those]) for source, those in taggers.items()}
    batch_size = recipe(config).plan.eval_batch_size
    return Evaluator(
        labels,
        config.sample_rate,
        networks,
        separator,
        () if separator is None else passes_to_score(config.refinement.eval_iters, separator),
        separator is not None and ORACLE in label_sources(config, recipe(config)),
        label_rule(config, config.task.threshold),
        run.directory / "estimates" if config.task.write_estimates and separator is not None else None,
        config.task.precision,
        ear,
        config.task.ledger,
        labellings(run, labels, taggers, networks, separator, validation, batch_size),
        self_guided,
    )


def self_guided(
    config: DictConfig, labels: LabelSet, models: Mapping[str, Sequence[TrainedModel]], separator: AnySeparator
) -> SelfGuided | None:
    """What names and extracts its own stems, where that is a label source; `None` where it is none.

    Args:
        config: of the job.
        labels: the classes.
        models: that label sources need, by their options.
        separator: that is scored.

    Raises:
        UserError: the first stage is a separator that is told labels.
    """
    sources = label_sources(config, recipe(config))
    if {STEMS, SELF_GUIDED}.isdisjoint(sources):
        return None
    first = separator if STEMS in sources else models[UNLABELLED][0].network
    if not isinstance(first, UnlabelledSeparator):
        option = "ckpt" if STEMS in sources else "unlabelled.ckpt"
        raise UserError(f"{option} is a separator that is told labels: give one that model=unlabelled trained.")
    assert isinstance(separator, GuidedSeparator)
    extracting = None if separator is first else separator
    tagger = combined([model.network for model in models[TAGGER]])
    return SelfGuided(first, tagger, labels, label_rule(config, config.task.threshold), extracting)
