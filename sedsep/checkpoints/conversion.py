"""Somebody else's checkpoint becomes one of ours: its network is composed from the options that its weights show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sedsep import checkpoints
from sedsep.checkpoints.files import named_tensors, read_weights
from sedsep.checkpoints.names import MEL_BASIS
from sedsep.checkpoints.own import Description, build_fitting
from sedsep.checkpoints.reference import Variant, check_mel_basis, recognise
from sedsep.errors import UserError


@dataclass(frozen=True)
class Conversion:
    """A conversion that was done.

    Attributes:
        target: the file written.
        description: what it says of itself.
        account: what the source was and what became of it, a line each.
    """

    target: Path
    description: Description
    account: tuple[str, ...]


def convert(
    source: Path, target: Path | None = None, iters: int | None = None, given: Sequence[str] = ()
) -> Conversion:
    """Write a checkpoint of ours from one of theirs, or from one of ours.

    Args:
        source: the file.
        target: by default beside it.
        iters: refinement passes, where the file name does not say.
        given: overrides of the command line, for what weights do not show.

    Raises:
        UserError: the source is no checkpoint that we know, or the target cannot be written.
    """
    target = target or source.with_name(f"{source.stem}.sedsep.ckpt")
    if target.resolve() == source.resolve():
        raise UserError(f"task.target={target} would overwrite the source: give another name.")
    content = read_weights(source)
    if checkpoints.ENTRY in content:
        if iters is not None:
            raise UserError(f"{source} is of this suite and says itself how often it refines: leave task.iters out.")
        own = checkpoints.rebuild(content, source)
        network, description = own.network, own.description
        account = [f"{source} is a {description.kind} model of this suite, scale {description.scale}"]
    else:
        state = named_tensors(content, source)
        variant = recognise(state, source)
        network, description = _build(variant, source, iters, given)
        left_out = sum(variant.unused.values())
        account = [f"{source} holds {variant.title}", f"{len(state)} tensors: {len(state) - left_out} used"]
        account += [f"    {count} left out: {reason}" for reason, count in variant.unused.items()]
    checkpoints.save(target, network, description)
    return Conversion(target, description, tuple(account))


def _build(variant: Variant, source: Path, iters: int | None, given: Sequence[str]) -> tuple[nn.Module, Description]:
    """The network of a variant, with its weights. The command line has the last word on what does not concern the task.

    Raises:
        UserError: the variant does not fit the configuration.
    """
    from sedsep.runs.command_line.composing import composed_network  # Hydra: seconds that loading need not take

    texts = ["scale=paper", *variant.overrides, *variant.passes(source, iters)]
    texts += [text for text in given if not text.lstrip("+~").startswith(("task=", "task.", "hydra"))]
    config, labels, scale = composed_network(texts)
    if len(labels) != variant.classes:
        raise UserError(
            f"{source} knows {variant.classes} classes, the configured labels are {len(labels)}: give the names it was "
            "trained with as labels.names=[...]."
        )
    network = build_fitting(config, variant.state, source)
    for name, buffer in network.named_buffers():
        if name.endswith(MEL_BASIS) and variant.mel_basis is not None:
            check_mel_basis(variant.mel_basis, buffer, source)
    checkpoints.load_state(network, variant.state, source)
    return network, Description(variant.kind, scale, config, labels)
