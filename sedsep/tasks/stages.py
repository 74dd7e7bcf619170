"""Training one network, and making sure that the networks it leans on exist."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sedsep import __version__, checkpoints
from sedsep.errors import UserError
from sedsep.models.sed import SedModel
from sedsep.systems.progress import progress_callback
from sedsep.tasks.session import Session
from sedsep.tracking import Tracker

log = logging.getLogger(__name__)

HISTORY = "metrics.csv"


@dataclass
class Trained:
    """A trained network and where it came from.

    Attributes:
        name: of the model. network: with its best weights. checkpoint: their file.
        history: the training's CSV, where there was one. seconds: of training; 0 when it was not trained now.
    """

    name: str
    network: nn.Module
    checkpoint: Path
    history: Path | None
    seconds: float


def build(session: Session, node: DictConfig) -> nn.Module:
    """The network of a model node, with fresh weights from the run's seed."""
    torch.manual_seed(session.config.seed)
    return instantiate(_plain(node.network), _convert_="all")


def train(
    session: Session, node: DictConfig, network: nn.Module, directory: Path, tracker: Tracker | None, **system: Any
) -> Trained:
    """Train a network by its recipe and load its best weights.

    Args:
        node: the model node. directory: for checkpoints and history. tracker: told of losses; `None` for nobody.
        system: what the system takes beside the recipe.
    """
    description = checkpoints.Description(
        node.kind, session.config.scale.name, _plain(node.network), session.labels.names
    )
    make = instantiate(_plain(node.system), _convert_="all")
    optim = node.optim
    module = make(
        network=network,
        description=description,
        optimizer=instantiate(_plain(optim.optimizer)),
        schedule=instantiate(_plain(optim.schedule)),
        weight_decay=optim.weight_decay,
        **system,
    )
    settings = dict(session.config.callbacks)
    callbacks = [instantiate(_plain(settings.pop("checkpoint")), dirpath=str(directory))]
    loggers: list[Any] = [CSVLogger(directory, name="", version="")]
    if tracker is not None and (logger := tracker.logger(node.name)) is not None:
        loggers.append(logger)
    callbacks += [instantiate(_plain(callback)) for callback in settings.values()]
    terminal = sys.stdout.isatty()
    trainer = session.trainer(
        max_epochs=node.training.epochs,
        check_val_every_n_epoch=node.training.validate_every,
        callbacks=[*callbacks, progress_callback(node.name, terminal)],
        enable_progress_bar=terminal,
        logger=loggers,
        default_root_dir=str(directory),
    )
    started = time.perf_counter()
    trainer.fit(module, session.data(node.training))
    seconds = time.perf_counter() - started
    checkpoint = _best(callbacks[0], directory)
    loaded = checkpoints.load(checkpoint, node.kind, session.labels)
    return Trained(node.name, loaded.network, checkpoint, directory / HISTORY, seconds)


def _best(callback: ModelCheckpoint, directory: Path) -> Path:
    path = Path(callback.best_model_path or callback.last_model_path)
    return path if path.is_file() else directory / "last.ckpt"


def ready(session: Session, node: DictConfig, option: str, tracker: Tracker) -> Trained:
    """A trained SED model: the one at `<option>.ckpt`, one an earlier run left in the cache, or one trained now.

    Args:
        node: the model node. option: its name on the command line.

    Raises:
        UserError: no checkpoint is given at a scale that does not train one on the spot.
    """
    if node.ckpt:
        loaded = checkpoints.load(node.ckpt, node.kind, session.labels)
        return Trained(node.name, loaded.network, loaded.path, None, 0.0)
    if not session.config.scale.trains_prerequisites:
        raise UserError(
            f"The {node.name} has no weights: train it first (python run.py model={node.name} "
            f"scale={session.config.scale.name}) and give {option}.ckpt=PATH."
        )
    home = session.cache / "models" / f"{node.name}-{_recipe_key(session, node)}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if home.is_dir():
            log.info("Using the %s trained earlier: %s", node.name, home)
            loaded = checkpoints.load(home / "best.ckpt", node.kind, session.labels)
            return Trained(node.name, loaded.network, loaded.path, home / HISTORY, 0.0)
        log.info("No %s is given (%s.ckpt): training one, kept for later runs", node.name, option)
        return _train_into(session, node, home, tracker)


def _train_into(session: Session, node: DictConfig, home: Path, tracker: Tracker) -> Trained:
    """Train in a directory beside `home` and move it there when it is whole."""
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    trained = train(session, node, build(session, node), partial, tracker)
    if trained.checkpoint.name != "best.ckpt":
        shutil.copyfile(trained.checkpoint, partial / "best.ckpt")
    partial.rename(home)
    return Trained(trained.name, trained.network, home / "best.ckpt", home / HISTORY, trained.seconds)


def _recipe_key(session: Session, node: DictConfig) -> str:
    """Changes with anything that the trained weights depend on."""
    config = session.config
    splits = (config.data.module.train_split, config.data.module.valid_split)
    recipe = [
        __version__,
        config.seed,
        _plain(node),
        _plain(config.trainer),
        _plain(config.data.sampler),
        session.labels.names,
        *(session.layout.fingerprint(split) for split in splits),
    ]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]


def start_stage_two(sed: SedModel, tagger: Trained) -> None:
    """Start the Stage 2 SED model from the tagger's weights; one without head norm leaves its statistics out.

    Raises:
        UserError: the tagger is of other sizes.
    """
    state = {k: v for k, v in tagger.network.state_dict().items() if sed.head_norm or not k.startswith("head_norm.")}
    checkpoints.load_state(sed, state, tagger.checkpoint)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
