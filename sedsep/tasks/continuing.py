"""`ckpt=last` and `ckpt=DIRECTORY`: go on with a training, or score it, by the command that it was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from omegaconf import OmegaConf

from sedsep.errors import UserError
from sedsep.runs.directories import FINISHED, RUNNING, STATUS, read_status
from sedsep.tasks.overrides import quoted

OPTION = "ckpt="
TASK = "task="


def continued(arguments: Sequence[str]) -> list[str]:
    """The arguments of the training that `ckpt=` names, what is given beside it last; of other tasks than train and
    evaluate, as they are.

    Raises:
        UserError: there is no such run.
    """
    tasks = [argument for argument in arguments if argument.startswith(TASK)]
    named = [argument.removeprefix(OPTION) for argument in arguments if argument.startswith(OPTION)]
    if not named or named[-1] == "null":
        return list(arguments)
    if tasks == [f"{TASK}evaluate"]:
        return _scored(arguments, named[-1])
    if tasks not in ([], [f"{TASK}train"]):
        return list(arguments)
    run_dir = _newest(Path("outputs"), finished=False) if named[-1] == "last" else _run_of(Path(named[-1]))
    begun = OmegaConf.load(run_dir / ".hydra" / "overrides.yaml")
    rest = [argument for argument in arguments if not argument.startswith(OPTION)]
    return [*map(str, begun), *rest, f"hydra.run.dir={quoted(str(run_dir))}"]


def _scored(arguments: Sequence[str], named: str) -> list[str]:
    """Those of a training whose directory is named: data, scale and seed are what they were."""
    run_dir = _newest(Path("outputs"), finished=True) if named == "last" else Path(named)
    begun = run_dir / ".hydra" / "overrides.yaml"
    if not begun.is_file():  # a checkpoint, or a directory of the cache
        return list(arguments)
    inherited = [text for text in map(str, OmegaConf.load(begun)) if not text.startswith((OPTION, TASK, "hydra"))]
    rest = [argument for argument in arguments if not argument.startswith(OPTION)]
    flags = list(takewhile(lambda argument: "=" not in argument, rest))  # Hydra takes them first
    return [*flags, *inherited, *rest[len(flags) :], f"{OPTION}{quoted(str(run_dir))}"]


def _newest(outputs: Path, finished: bool) -> Path:
    """The training begun last that is finished, or else neither finished nor at work."""
    found = {path.parent: read_status(path.parent) for path in outputs.glob(f"*/*/{STATUS}")}
    begun = {
        run: status.started
        for run, status in found.items()
        if status is not None
        and status.task == "train"
        and status.state != RUNNING
        and (status.state == FINISHED) == finished
    }
    if not begun:
        raise UserError(
            f"There is no {'' if finished else 'un'}finished training below {outputs.absolute()}: give its directory "
            "(ckpt=DIRECTORY), or begin one without ckpt."
        )
    return max(begun, key=begun.__getitem__)


def _run_of(path: Path) -> Path:
    """The run directory at a path, or the one that a checkpoint lies in."""
    for folder in (path, *path.parents[:3]):
        if (folder / ".hydra" / "overrides.yaml").is_file():
            return folder
    raise UserError(
        f"{path} is not a run directory or a checkpoint in one: to go on with a training give its directory below "
        "outputs/, to start from weights give model.ckpt=PATH."
    )
