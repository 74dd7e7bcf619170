"""Networks from recipes and from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sedsep import checkpoints
from sedsep.checkpoints.finding import find
from sedsep.checkpoints.published import locate
from sedsep.checkpoints.starting import start_backbone, start_separator, state_for
from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.training.recipe import Recipe
from sedsep.training.system import System
from sedsep.wiring import build


@dataclass
class TrainedModel:
    """A trained network and where it came from.

    Attributes:
        name: of the model.
        network: with the weights that are kept.
        checkpoint: their file.
        description: what the file says of the network.
        history: the CSV file of the training; `None` where it was not trained by this run.
        seconds: of training; 0 where it was not trained now.
    """

    name: str
    network: nn.Module
    checkpoint: Path
    description: checkpoints.Description
    history: Path | None = None
    seconds: float = 0.0


def build_network(recipe: Recipe, seed: int, cache: Path) -> nn.Module:
    """The network of a recipe: with the weights at its `ckpt`, or fresh ones with whatever the file at its `start` has.

    Args:
        recipe: of the model. Spatial features that the weights do not know start unheard.
        seed: of fresh weights.
        cache: folder in which published weights are, or are put.

    Raises:
        UserError: the weights do not fit, or cannot be had.
    """
    torch.manual_seed(seed)
    network = build(recipe.network)
    if recipe.ckpt:
        weights = checkpoints.load(find(recipe.ckpt, cache), recipe.kind)
        checkpoints.load_state(network, state_for(network, weights.network), recipe.ckpt)
    elif start := starting_file(recipe, cache):
        if isinstance(network, GuidedSeparator):
            start_separator(network.separator, start)
        else:
            start_backbone(network, start)
    return network


def starting_file(recipe: Recipe, cache: Path) -> Path | None:
    """The file that a model starts from, fetched now where it is not there; `None` for fresh weights."""
    return locate(recipe.start, cache) if recipe.start and not recipe.ckpt else None


def build_system(recipe: Recipe, network: nn.Module, labels: LabelSet, scale: str, seed: int, **parts: Any) -> System:
    """A network with its loss and optimiser.

    Args:
        recipe: of the model.
        network: as `build_network` makes it.
        labels: the classes.
        scale: name of the sizes, for the checkpoint's description.
        seed: of all draws.
        parts: what the system takes beside the recipe.
    """
    make = build(recipe.system)
    if recipe.kind == "separator":
        parts["labels"] = labels
    return make(
        network=network,
        description=checkpoints.Description(recipe.kind, scale, recipe.network, labels.names),
        optimizer=build(recipe.optimizer),
        schedule=build(recipe.schedule),
        weight_decay=recipe.weight_decay,
        seed=seed,
        **parts,
    )


def load_model(
    name: str, kind: str, path: Path | str, scale: str, sample_rate: int, labels: LabelSet | None = None
) -> TrainedModel:
    """A checkpoint of ours that fits the run.

    Args:
        name: of the model.
        kind: `sed` or `separator`.
        path: of the file, or of the run that trained it.
        scale: name of the sizes that it must have.
        sample_rate: Hz, that it must be made for.
        labels: the classes that it must have; `None` for any.

    Raises:
        UserError: it cannot be loaded, or does not fit.
    """
    model = checkpoints.load(path, kind, labels)
    check_fit(scale, sample_rate, model)
    return TrainedModel(name, model.network, model.path, model.description)


def check_fit(scale: str, sample_rate: int, model: checkpoints.Checkpoint) -> None:
    """Make sure that a checkpoint is of a scale and a rate.

    Args:
        scale: name of the sizes.
        sample_rate: Hz.
        model: from the checkpoint.

    Raises:
        UserError: it is of another one.
    """
    if model.description.scale != scale:  # thresholds would be another's
        raise UserError(
            f"{model.path} was made at scale={model.description.scale}, this is scale={scale}: choose the same scale."
        )
    network: Any = model.network
    if network.input_rate != sample_rate:
        raise UserError(
            f"{model.path} was made for {network.input_rate} Hz, this data set is used at {sample_rate} Hz: set "
            f"sample_rate={network.input_rate} or give another checkpoint."
        )


def start_stage_two(sed: SedModel, frontend: dict[str, Any], tagger: TrainedModel) -> None:
    """Start the Stage 2 SED model from the tagger's weights; one without head norm leaves its statistics out.

    Args:
        sed: the model.
        frontend: what its front end was made of.
        tagger: of Stage 1.

    Raises:
        UserError: the tagger is of other sizes, or hears through another front end.
    """
    theirs = tagger.description.network["backbone"]["frontend"]
    if different := [name for name in frontend if frontend[name] != theirs.get(name)]:
        name = different[0]
        raise UserError(
            f"{tagger.checkpoint} hears with {name}={theirs.get(name)}, the Stage 2 SED model with {frontend[name]}: "
            "choose the scale it was trained with."
        )
    state = {k: v for k, v in tagger.network.state_dict().items() if sed.head_norm or not k.startswith("head_norm.")}
    checkpoints.load_state(sed, state, tagger.checkpoint)
