"""Training one network, and making sure that the networks it leans on exist."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from torch import nn

import sedsep
from sedsep import checkpoints
from sedsep.checkpoints.own import RECIPE
from sedsep.checkpoints.published import locate
from sedsep.checkpoints.starting import start_backbone, start_separator
from sedsep.errors import UserError
from sedsep.evaluation.label_sources import taggers_among
from sedsep.files import sole_writer, write_json
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.runs.directories import is_main_process
from sedsep.runs.tracking import HistoryLogger, Tracker
from sedsep.tasks.session import Session, flat
from sedsep.training.base import System
from sedsep.training.checkpointing import LAST
from sedsep.training.progress import progress_callbacks

log = logging.getLogger(__name__)

HISTORY = HistoryLogger.NAME
WITHOUT_EFFECT = (
    *("tasks/", "evaluation/", "metrics/", "runs/", "inference/", "benchmarks/", "studies/", "files.py"),
    *("training/progress.py", "training/scoring.py", "training/summary.py", "training/meters.py"),
)
"""Parts of the package that trained weights do not depend on."""


@dataclass
class Trained:
    """A trained network and where it came from.

    Attributes:
        name: of the model. network: with the weights that are kept. checkpoint: their file.
        description: what the file says of the network.
        history: the training's CSV, where there was one. seconds: of training; 0 when it was not trained now.
    """

    name: str
    network: nn.Module
    checkpoint: Path
    description: checkpoints.Description
    history: Path | None
    seconds: float


def prerequisites(config: DictConfig) -> list[str]:
    """The options whose SED models the configured model leans on: for validation, for test labels, for Stage 2."""
    options = taggers_among(config.task.label_sources)
    if config.model.kind == "sed":
        return []
    guided = any(config.model.network.separator[part] for part in ("time_film", "injection", "conditions"))
    return [*options, "tagger"] if guided and "tagger" not in options else options


def check_taggers(config: DictConfig, options: Sequence[str]) -> None:
    """Make sure of SED models that are needed, before a data set is made.

    Raises:
        UserError: one has no checkpoint and cannot be trained on the spot, or its checkpoint is not there.
    """
    for option in options:
        _check_given(config, config[option], option)
    for option in options:
        _check_file(config[option].ckpt)


def check_weights(config: DictConfig) -> None:
    """Make sure of the weights that training starts from and leans on, before a data set is made.

    Raises:
        UserError: as `check_taggers`, or starting weights cannot be had.
    """
    check_taggers(config, prerequisites(config))
    _check_file(config.model.ckpt)
    for option in ("model", *prerequisites(config)):  # last: it may download
        starting_file(config[option], Path(config.paths.cache))


def _check_file(checkpoint: str | None) -> None:
    if checkpoint and not Path(checkpoint).exists():
        raise UserError(f"There is no checkpoint at {checkpoint}: check the path.")


def starting_file(node: DictConfig, cache: Path) -> Path | None:
    """The weights that a model node starts from, fetched now where they are not there; `None` for fresh ones."""
    return locate(node.start, cache) if node.start and not node.ckpt else None


def build(session: Session, node: DictConfig) -> nn.Module:
    """The network of a model node: with the weights at its `ckpt`, or fresh ones from the run's seed with whatever
    the file at its `start` has."""
    torch.manual_seed(session.config.seed)
    network = instantiate(_plain(node.network), _convert_="all")
    if node.ckpt:
        checkpoints.load_state(network, load(session, node, node.ckpt).network.state_dict(), node.ckpt)
    elif start := starting_file(node, session.cache):
        if isinstance(network, GuidedSeparator):
            start_separator(network.separator, start)
        else:
            start_backbone(network, start)
    return network


def make_system(session: Session, node: DictConfig, network: nn.Module, **system: Any) -> System:
    """The network of a model node with its loss and optimiser.

    Args:
        system: what the system takes beside the recipe.
    """
    make = instantiate(_plain(node.system), _convert_="all")
    return make(
        network=network,
        description=checkpoints.Description(
            node.kind, session.config.scale.name, _plain(node.network), session.labels.names
        ),
        optimizer=instantiate(_plain(node.optim.optimizer)),
        schedule=instantiate(_plain(node.optim.schedule)),
        weight_decay=node.optim.weight_decay,
        seed=session.config.seed,
        **system,
    )


def train(
    session: Session,
    node: DictConfig,
    network: nn.Module,
    directory: Path,
    tracker: Tracker | None,
    alone: bool = False,
    **system: Any,
) -> Trained:
    """Train a network by its recipe and load the weights that the recipe keeps, `best` or `last`.

    A training that was begun in `directory` goes on from its last checkpoint there.

    Args:
        node: the model node. directory: for checkpoints and history. tracker: told of losses; `None` for nobody.
        alone: on one device, whatever is configured.
        system: what the system takes beside the recipe.
    """
    module = make_system(session, node, network, **system)
    interrupted = _interrupted(session, node, directory)
    callbacks = {name: instantiate(_plain(callback)) for name, callback in session.config.callbacks.items()}
    for callback in callbacks.values():
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = str(directory)
    loggers: list[Any] = [HistoryLogger(directory)]
    if tracker is not None and (logger := tracker.logger(node.name)) is not None:
        loggers.append(logger)
    terminal = sys.stdout.isatty()
    trainer = session.trainer(
        alone,
        max_epochs=node.training.epochs,
        check_val_every_n_epoch=node.training.validate_every,
        callbacks=[*callbacks.values(), *progress_callbacks(node.name, terminal)],
        enable_progress_bar=terminal,
        logger=loggers,
        default_root_dir=str(directory),
    )
    # Whatever was trained, or found in a cache, before: the same draws from here on.
    lightning.seed_everything(session.config.seed, workers=True, verbose=False)
    trainer.fit(module, session.data(node.training), ckpt_path=interrupted, weights_only=True)
    return _kept(session, node, directory, callbacks["last"].seconds)


def _interrupted(session: Session, node: DictConfig, directory: Path) -> Path | None:
    """The checkpoint of a training begun in `directory`, and a note there of how it was begun.

    Raises:
        UserError: it was begun with another recipe.
    """
    recipe, note = flat(_recipe(session, node)), directory / RECIPE
    last = directory / LAST
    if not last.is_file():
        if is_main_process():
            (directory / HISTORY).unlink(missing_ok=True)  # of an attempt that came to no checkpoint
            write_json(note, recipe)
        return None
    if not note.is_file():
        raise UserError(
            f"{last} says nothing of the settings that it was trained with ({note.name} is missing): choose another "
            f"directory, and start from its weights with model.ckpt={last} if you like."
        )
    begun = json.loads(note.read_text())
    for name in dict.fromkeys([*recipe, *begun]):
        if begun.get(name) != recipe.get(name):
            raise UserError(
                f"The training in {directory} was begun with {name}={begun.get(name)}, not {recipe.get(name)}: go on "
                "with the settings it was begun with (python run.py ckpt=DIRECTORY knows them), or choose another "
                "directory."
            )
    log.info("Going on with %s", last)
    return last


def _recipe(session: Session, node: DictConfig) -> dict[str, Any]:
    """The settings that a training cannot change on its way; on what machine it runs, it can."""
    data, model = _plain(session.config.data), _plain(node)
    module = {name: value for name, value in data["module"].items() if name != "workers"}
    model["optim"]["optimizer"].pop("fused", None)
    return {
        "seed": session.config.seed,
        "model": model,
        "data": {"sampler": data["sampler"], "module": module},
        "labels": list(session.labels.names),
    }


def _kept(session: Session, node: DictConfig, directory: Path, seconds: float = 0.0) -> Trained:
    """The weights in `directory` that the recipe keeps; the last ones where there was no validation to judge by."""
    path = directory / f"{node.training.keep}.ckpt"
    return load(session, node, path if path.is_file() else directory / LAST, directory / HISTORY, seconds)


def load(
    session: Session,
    node: DictConfig,
    path: Path | str,
    history: Path | None = None,
    seconds: float = 0.0,
    any_labels: bool = False,
) -> Trained:
    """A checkpoint that fits the data set.

    Args:
        path: of the file, or of the run that trained it. any_labels: whether its classes may be others.

    Raises:
        UserError: it cannot be loaded, or does not fit.
    """
    loaded = checkpoints.load(path, node.kind, None if any_labels else session.labels)
    check_fit(session.config, loaded)
    return Trained(node.name, loaded.network, loaded.path, loaded.description, history, seconds)


def check_fit(config: DictConfig, loaded: checkpoints.Checkpoint) -> None:
    """Make sure that a checkpoint is of the configured scale and rate.

    Raises:
        UserError: it is of another one.
    """
    scale, network = loaded.description.scale, loaded.network
    if scale != config.scale.name:  # thresholds would be another's
        raise UserError(
            f"{loaded.path} was made at scale={scale}, this is scale={config.scale.name}: choose the same scale."
        )
    rate = network.input_rate
    if rate != config.sample_rate:
        raise UserError(
            f"{loaded.path} was made for {rate} Hz, this data set is used at {config.sample_rate} Hz: set "
            f"sample_rate={rate} or give another checkpoint."
        )


def ready(session: Session, node: DictConfig, option: str, tracker: Tracker) -> Trained:
    """A trained SED model: the one at `<option>.ckpt`, one an earlier run left in the cache, or one trained now.

    Args:
        node: the model node. option: its name on the command line.

    Raises:
        UserError: no checkpoint is given at a scale that does not train one on the spot.
    """
    if node.ckpt:
        return load(session, node, node.ckpt)
    _check_given(session.config, node, option)
    home = session.cache / "models" / f"{node.name}-{_recipe_key(session, node)}"
    home.parent.mkdir(parents=True, exist_ok=True)
    if not is_main_process():  # of several, the first trains, on one device: it may still be at it
        while not home.is_dir():
            time.sleep(1.0)
        return _kept(session, node, home)
    with sole_writer(home):
        if home.is_dir():
            log.info("Using the %s trained earlier: %s", node.name, home)
            return _kept(session, node, home)
        log.info("No %s is given (%s.ckpt): training one, kept for later runs", node.name, option)
        return _train_into(session, node, home, tracker)


def _check_given(config: DictConfig, node: DictConfig, option: str) -> None:
    if not node.ckpt and not config.scale.trains_prerequisites:
        raise UserError(
            f"The {node.name} has no weights: convert the published ones (python run.py task=convert "
            f"task.source={node.published}) or train some (python run.py model={node.name} "
            f"scale={config.scale.name}), and give {option}.ckpt=PATH."
        )


def _train_into(session: Session, node: DictConfig, home: Path, tracker: Tracker) -> Trained:
    """Train in a directory beside `home`, or go on there, and move it there when it is whole."""
    partial = home.with_name(f"{home.name}.partial")
    seconds = train(session, node, build(session, node), partial, tracker, alone=True).seconds
    partial.rename(home)
    return _kept(session, node, home, seconds)


def _recipe_key(session: Session, node: DictConfig) -> str:
    """Changes with anything that the trained weights depend on."""
    config = session.config
    start = starting_file(node, session.cache)
    splits = (config.data.module.train_split, config.data.module.valid_split)
    recipe = [
        _code_key(),
        _recipe(session, node),
        *(_plain(part) for part in (config.trainer, config.callbacks)),
        *(session.layout.fingerprint(split) for split in splits),
        start and _digest(start),
    ]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _code_key() -> str:
    """Changes with the code that networks, losses and scenes are made by."""
    package = Path(sedsep.__file__).parent
    digest = hashlib.sha256(sedsep.__version__.encode())
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(WITHOUT_EFFECT):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def start_stage_two(sed: SedModel, config: DictConfig, tagger: Trained) -> None:
    """Start the Stage 2 SED model from the tagger's weights; one without head norm leaves its statistics out.

    Args:
        sed: the model. config: what it was built from.

    Raises:
        UserError: the tagger is of other sizes, or hears through another front end.
    """
    own, theirs = _plain(config.backbone)["frontend"], tagger.description.network["backbone"]["frontend"]
    if different := [name for name in own if own[name] != theirs.get(name)]:
        name = different[0]
        raise UserError(
            f"{tagger.checkpoint} hears with {name}={theirs.get(name)}, the Stage 2 SED model with {own[name]}: choose "
            "the scale it was trained with."
        )
    state = {k: v for k, v in tagger.network.state_dict().items() if sed.head_norm or not k.startswith("head_norm.")}
    checkpoints.load_state(sed, state, tagger.checkpoint)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
