"""task=publish: make of a trained model a folder that others can use, and put it on the hub when told to."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from omegaconf import DictConfig

from sedsep import checkpoints
from sedsep.checkpoints import Checkpoint, hub
from sedsep.checkpoints.files import read_weights
from sedsep.checkpoints.finding import find
from sedsep.errors import UserError
from sedsep.evaluation.card import Scored, model_card
from sedsep.evaluation.scored import ACCOUNT, ScoredWith, TaggerFile, labelling_of, run_of, scored_with
from sedsep.files import read_json, write_json, write_whole
from sedsep.labels import LabelSet
from sedsep.metrics.registry import BASELINE, TAGGER


def run(config: DictConfig) -> None:
    """Write the model at `config.ckpt`, and its tagger, to a folder; upload it where `config.task.push` says to.

    Raises:
        UserError: there is no model; it, its tagger or its scores cannot be read; or the hub refuses it.
    """
    task = config.task
    if not config.ckpt:
        raise UserError("task=publish needs a trained model: add ckpt=PATH (a run's directory will do), or ckpt=last.")
    path = find(config.ckpt, Path(config.paths.cache))
    model = checkpoints.rebuild(read_weights(path), path)
    scored_by = scored_with(path) or ScoredWith(threshold=config.scale.threshold)
    taggers = _tagger(config, model, scored_by) if model.description.kind == "separator" else {}
    scores = _scores(path, task.scored)

    folder = Path(task.target) if task.target else Path(config.paths.run, "model")
    checkpoints.save(folder / hub.MODEL, model.network, model.description)
    (folder / hub.TAGGER).unlink(missing_ok=True)
    files, labelling = {}, {} if taggers else dict(scored_by.labelling)
    for option, tagger in taggers.items():
        if how := labelling_of([path], [tagger.path]):
            labelling[option] = how
        checkpoints.save(folder / hub.TAGGER, tagger.network, tagger.description)
        files[option] = replace(TaggerFile.of(folder / hub.TAGGER), checkpoint=hub.TAGGER)
    about = asdict(ScoredWith(labelling, threshold=scored_by.threshold, taggers=files))
    write_json(folder / hub.ACCOUNT, {"library_name": "sedsep", **model.description.entry(), **about})
    card = folder / hub.CARD
    if not card.exists():  # else it may have been written on by hand
        write_whole(card, model_card(task.push or folder.name, model, bool(taggers), scores, task.licence))
    print(f"Written to {folder}: {', '.join(sorted(file.name for file in folder.iterdir()))}")
    if task.push:
        print(f"Pushed, as {hub.push(folder, task.push)}")
    else:
        print(f"Read {card}, then push it: add task.target={folder} task.push=OWNER/NAME to the command")


def _tagger(config: DictConfig, separator: Checkpoint, scored_by: ScoredWith) -> dict[str, Checkpoint]:
    """The tagger to share with a separator, by its option: the one given, or the one that it was scored with."""
    for option in (TAGGER, BASELINE):
        given = config[option].ckpt
        if file := find(given, Path(config.paths.cache)) if given else scored_by.tagger(option):
            return {option: checkpoints.load(file, "sed", LabelSet(separator.description.labels))}
    return {}


def _scores(path: Path, directory: str | None) -> Scored | None:
    """The scores of a checkpoint: those of its own run, or of the directory of another one that scored it."""
    folder = Path(directory) if directory else run_of(path)
    if folder is None or not (directory or (folder / ACCOUNT).is_file()):
        return None
    scores = read_json(folder / ACCOUNT, Scored, "give task.scored=DIRECTORY of a run that scored the model")
    if directory and path.resolve() not in map(Path.resolve, map(Path, scores.checkpoints.values())):
        raise UserError(f"{folder} did not score {path}: give the directory of a run that did, as task.scored.")
    return scores
