"""task=convert: make somebody else's checkpoint one of ours, or change the format of one of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.checkpoints.files import named_tensors, read_weights
from sedsep.checkpoints.names import MEL_BASIS
from sedsep.checkpoints.published import locate
from sedsep.checkpoints.reference import Recognised, check_mel_basis, recognise
from sedsep.errors import UserError
from sedsep.tasks.overrides import CONFIG


@dataclass(frozen=True)
class Converted:
    """A conversion that was done.

    Attributes:
        target: the file written. account: what the source was and what became of it, a line each.
        use: the commands that take the file.
    """

    target: Path
    account: tuple[str, ...]
    use: tuple[str, ...]


def run(config: DictConfig) -> None:
    """Convert `config.task.source` and say what it was and how to use the result.

    Raises:
        UserError: the source cannot be had or is no checkpoint that we know, or the target cannot be written.
    """
    task = config.task
    target = None if task.target is None else Path(str(task.target))
    source = locate(str(task.source), Path(config.paths.cache))
    done = convert(source, target, task.iters, HydraConfig.get().overrides.task)
    print(*done.account, f"Written to {done.target}", *(f"Use it: {command}" for command in done.use), sep="\n")


def convert(source: Path, target: Path | None = None, iters: int | None = None, given: Sequence[str] = ()) -> Converted:
    """Write a checkpoint of ours from one of theirs, or from one of ours.

    Args:
        source: the file. target: by default beside it. iters: refinement passes, where the file name does not say.
        given: overrides of the command line, for what weights do not show.
    """
    target = target or source.with_name(f"{source.stem}.sedsep.ckpt")
    if target.resolve() == source.resolve():
        raise UserError(f"task.target={target} would overwrite the source: give another name.")
    content = read_weights(source)
    if checkpoints.ENTRY in content:
        if iters is not None:
            raise UserError(f"{source} is of this suite and says itself how often it refines: leave task.iters out.")
        loaded = checkpoints.rebuild(content, source)
        network, description = loaded.network, loaded.description
        account: tuple[str, ...] = (f"{source} is a {description.kind} model of this suite, scale {description.scale}",)
    else:
        state = named_tensors(content, source)
        found = recognise(state, source)
        network, description = _built(found, source, _passes(found, source, iters), given)
        account = _account(found, source, len(state))
    checkpoints.save(target, network, description)
    return Converted(target, account, _use(description, target))


def _built(
    found: Recognised, source: Path, passes: tuple[str, ...], given: Sequence[str]
) -> tuple[nn.Module, Description]:
    """The network that was recognised, with its weights."""
    config = compose(CONFIG, overrides=_merged(["scale=paper", *found.overrides, *passes], given))
    labels = tuple(config.labels.names)
    if len(labels) != found.classes:
        raise UserError(
            f"{source} knows {found.classes} classes, the configured labels are {len(labels)}: give the names it was "
            "trained with as labels.names=[...]."
        )
    plain = OmegaConf.to_container(config.model.network, resolve=True)
    assert isinstance(plain, dict)
    network = instantiate(plain, _convert_="all")
    for name, buffer in network.named_buffers():
        if name.endswith(MEL_BASIS) and found.mel_basis is not None:
            check_mel_basis(found.mel_basis, buffer, source)
    checkpoints.load_state(network, found.state, source)
    return network, Description(found.kind, config.scale.name, {str(k): v for k, v in plain.items()}, labels)


def _merged(recognised: Sequence[str], given: Sequence[str]) -> list[str]:
    """Overrides by key: those of the command line that do not concern the task have the last word."""
    parser = OverridesParser.create()
    texts = [text for text in given if not text.lstrip("+~").startswith(("task=", "task.", "hydra"))]
    parsed = zip(parser.parse_overrides([*recognised, *texts]), [*recognised, *texts], strict=True)
    return list({override.key_or_group: text for override, text in parsed}.values())


def _passes(found: Recognised, source: Path, iters: int | None) -> tuple[str, ...]:
    """How often the network refines, which its weights do not show.

    Raises:
        UserError: nothing says how often, or passes are given for a network that takes none.
    """
    if not found.refined:
        if iters is not None:
            raise UserError(f"{source} holds {found.title}, which takes no refinement passes: leave task.iters out.")
        return ()
    if iters is None and (named := re.search(r"iter_([1-9]\d?)(?!\d)", source.name)):
        iters = int(named[1])
    if not isinstance(iters, int) or iters < 1:
        raise UserError(
            f"{source} is refined in passes, and how many shows neither in its weights nor in its name: add "
            "task.iters=N."
        )
    return ("refinement=iterative", f"refinement.iters={iters}")


def _account(found: Recognised, source: Path, tensors: int) -> tuple[str, ...]:
    unused = sum(found.unused.values())
    return (
        f"{source} holds {found.title}",
        f"{tensors} tensors: {tensors - unused} used",
        *(f"    {count} left out: {reason}" for reason, count in found.unused.items()),
    )


def _use(description: Description, path: Path) -> tuple[str, ...]:
    evaluate = f"python run.py task=evaluate scale={description.scale}"
    if description.kind == "separator":
        return (f"{evaluate} ckpt={path}",)
    option, model = ("baseline", "baseline_tagger") if description.network.get("head") == "linear" else ("tagger",) * 2
    return (f"{evaluate} model={model} ckpt={path}", f"{option}.ckpt={path} beside any task that wants labels")
