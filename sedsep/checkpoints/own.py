"""Our own checkpoints.

A checkpoint of ours is a Lightning file, or a safetensors file, with an entry `sedsep` that says how to rebuild the
network: a model is loaded from the file alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from sedsep import __version__
from sedsep.checkpoints import hub
from sedsep.checkpoints.files import ENTRY, named_tensors, read_weights, write_weights
from sedsep.checkpoints.integrity import MOST_TENSORS, Unfit
from sedsep.checkpoints.names import listed
from sedsep.checkpoints.reference import family
from sedsep.errors import PROGRAM, UserError, printable
from sedsep.files import read_json
from sedsep.labels import LabelSet
from sedsep.models import GuidedSeparator, SedModel
from sedsep.wiring import NETWORKS, build

RECIPE = "recipe.json"
"""Beside the checkpoints of a training: the settings that it was begun with."""

FORMAT = 1
KINDS: dict[str, type[SedModel] | type[GuidedSeparator]] = {"sed": SedModel, "separator": GuidedSeparator}
KEPT = ("best", "last")
NETWORK_PREFIX = "network."


@dataclass(frozen=True)
class Description:
    """What a checkpoint says of itself.

    Attributes:
        kind: `sed` or `separator`.
        scale: name of the sizes it was made with.
        network: resolved config that rebuilds the network.
        labels: its classes.
    """

    kind: str
    scale: str
    network: dict[str, Any]
    labels: tuple[str, ...]
    format: int = FORMAT
    version: str = __version__

    def entry(self) -> dict[str, Any]:
        """As stored in a checkpoint: plain types only, so that it loads without running code."""
        return {**asdict(self), "labels": list(self.labels)}


@dataclass
class Checkpoint:
    """A network rebuilt from a file, and what the file says of it."""

    network: nn.Module
    description: Description
    path: Path


def load(path: Path | str, kind: str, labels: LabelSet | None = None) -> Checkpoint:
    """Rebuild a network from one of our checkpoints.

    Args:
        path: the file, or the directory of the run that trained it.
        kind: `sed` or `separator`.
        labels: classes it must have.

    Raises:
        UserError: no such file, not one of ours, damaged, of another kind or of other classes.
    """
    path = weights_file(Path(path))
    content = read_weights(path)
    description = _description(path, content)
    if description.kind != kind:
        raise UserError(f"{path} holds a {description.kind} model where a {kind} model is needed: give another file.")
    if labels is not None and description.labels != labels.names:
        missing = sorted(set(labels) - set(description.labels)) or ["none, but in another order"]
        raise UserError(
            f"{path} was trained on other classes than this data set has (it lacks: {', '.join(missing)}): "
            "use the data it was trained on, or train anew."
        )
    return rebuild(content, path)


def describe(path: Path | str) -> Description:
    """What one of our checkpoints, or that of a run's directory, says of itself.

    Raises:
        UserError: no such file, not one of ours, or damaged.
    """
    path = weights_file(Path(path))
    return _description(path, read_weights(path))


def weights_file(path: Path) -> Path:
    """The weights that the recipe of a training in a run directory keeps, or a shared model's; a file as it is.

    Raises:
        UserError: nothing was trained in the directory, or not for long enough, or its recipe is damaged.
    """
    if not path.is_dir():
        return path
    if (shared := path / hub.MODEL).is_file():
        return shared
    for recipe in [*path.glob(RECIPE), *sorted(path.glob(f"checkpoints/*/{RECIPE}"))]:
        keep = read_json(recipe, dict[str, Any], "give the checkpoint itself").get("model.training.keep")
        for name in (keep, "last"):
            if name in KEPT and (file := recipe.with_name(f"{name}.ckpt")).is_file():
                return file
    raise UserError(f"{path} holds no checkpoint of a training: give the directory of a run that trained, or a file.")


def rebuild(content: dict[str, Any], path: Path | str) -> Checkpoint:
    """The network in the content of one of our checkpoints, whatever its kind.

    Args:
        content: as `read_weights` gives it.
        path: where it was read.

    Raises:
        UserError: not one of ours, or one that this version cannot build.
    """
    description = _description(path, content)
    state = network_state(named_tensors(content, path))
    network = _build(path, description, state)
    load_state(network, state, path)
    return Checkpoint(network, description, Path(path))


def save(path: Path | str, network: nn.Module, description: Description) -> None:
    """Write a network so that `load` finds it: as safetensors where the name ends so, as a torch file otherwise.

    Raises:
        UserError: the file cannot be written.
    """
    state = {f"{NETWORK_PREFIX}{name}": value for name, value in network.state_dict().items()}
    write_weights(path, state, description.entry())


def load_state(network: nn.Module, state: dict[str, torch.Tensor], path: Path | str) -> None:
    """Load a state dict exactly, or say which sizes differ.

    Raises:
        UserError: entries are missing, left over or of another shape.
    """
    check_fit(network, state, path)
    network.load_state_dict(state)


def check_fit(network: nn.Module, state: dict[str, torch.Tensor], path: Path | str) -> None:
    """Compare names and shapes with a network, which may be on the meta device.

    Raises:
        UserError: as `load_state`.
    """
    own = network.state_dict()
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape]
    absent = [name for name in own if name not in state]
    foreign = [name for name in state if name not in own]
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{path} is of another scale: {name} has shape {list(state[name].shape)} where this model has "
            f"{list(own[name].shape)} ({len(wrong)} entries differ): choose the scale it was trained with."
        )
    if absent or foreign:
        raise UserError(
            f"{path} does not fit this model (missing: {listed(absent)}; left over: {listed(foreign)}): choose the "
            "model and conditioning it was trained with."
        )


def build_fitting(config: Any, state: dict[str, torch.Tensor], path: Path | str) -> nn.Module:
    """Build a network once it is known to have the sizes of its weights: a file could ask for any.

    Args:
        config: what `build` makes the network of, from our network classes alone.
        state: the weights, by the network's names; they are not loaded.
        path: the file, to name in errors.

    Raises:
        UserError: the network and the weights do not fit.
    """
    with _declared():
        outline = build(config, source=path, packages=NETWORKS)
    if not isinstance(outline, nn.Module):
        raise UserError(f"{path} describes no network: give a checkpoint that we wrote.")
    check_fit(outline, state, path)
    network = build(config, source=path, packages=NETWORKS)
    assert isinstance(network, nn.Module)
    return network


@contextmanager
def _declared() -> Iterator[None]:
    """Networks that are built here have shapes and no values; one of endlessly many parameters comes to an end."""
    parameters = 0

    def count(*_: object) -> None:
        nonlocal parameters
        parameters += 1
        if parameters > MOST_TENSORS:
            raise Unfit(f"more than {MOST_TENSORS} parameters")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            yield
    finally:
        hook.remove()


def network_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's part of a system's state dict, under its own names."""
    return {name[len(NETWORK_PREFIX) :]: value for name, value in state.items() if name.startswith(NETWORK_PREFIX)}


def _description(path: Path | str, content: dict[str, Any]) -> Description:
    entry = content.get(ENTRY)
    if entry is None and family(named_tensors(content, path)):
        raise UserError(
            f"{path} is a checkpoint of the reference: convert it first with `{PROGRAM} task=convert "
            f"task.source={path}`."
        )
    if not isinstance(entry, dict):
        raise UserError(f"{path} does not say what network it holds (no entry '{ENTRY}'): give one we wrote.")
    if (written := entry.get("format", FORMAT)) != FORMAT:
        raise UserError(f"{path} has format {printable(str(written))}, this version reads {FORMAT}: update sedsep.")
    try:
        description = TypeAdapter(Description).validate_python(entry)
        LabelSet(description.labels)
        if description.kind not in KINDS:
            raise UserError(f"The kind {printable(description.kind)} is none of {', '.join(KINDS)}.")
    except (ValidationError, UserError) as error:
        wrong = error.errors()[0]["loc"][0] if isinstance(error, ValidationError) else str(error).rstrip(".")
        raise UserError(f"{path} describes its network wrongly ({wrong}): give one we wrote.") from error
    return description


def _build(path: Path | str, description: Description, state: dict[str, torch.Tensor]) -> nn.Module:
    """The network that a file describes."""
    try:
        network = build_fitting(description.network, state, path)
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path} describes a network that cannot be: {error}") from error
    except Exception as error:  # whatever a network says to sizes that are none
        raise UserError(
            f"{path} describes a network that sedsep {__version__} cannot build: use the version that wrote it."
        ) from error
    if not isinstance(network, KINDS[description.kind]):
        raise UserError(f"{path} describes no {description.kind} model: give a checkpoint that we wrote.")
    if network.classes != len(description.labels):
        raise UserError(
            f"{path} names {len(description.labels)} classes, its network knows {network.classes}: give one we wrote."
        )
    return network
