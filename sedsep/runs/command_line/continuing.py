"""`ckpt=last` and `ckpt=DIRECTORY`: go on with a training, or score it, by the command that it was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from omegaconf import OmegaConf

from sedsep.errors import UserError
from sedsep.runs.command_line.arguments import quoted
from sedsep.runs.directories import FINISHED, RUNNING, STATUS, read_status

OPTION, TASK = "ckpt=", "task="
OVERRIDES = Path(".hydra") / "overrides.yaml"


def continued(arguments: Sequence[str]) -> list[str]:
    """The arguments of the training that `ckpt=` names, what is given beside it last; of other tasks than train and
    evaluate, as they are.

    Raises:
        UserError: there is no such run.
    """
    tasks = [argument for argument in arguments if argument.startswith(TASK)]
    checkpoints = [argument.removeprefix(OPTION) for argument in arguments if argument.startswith(OPTION)]
    scores = tasks == [f"{TASK}evaluate"]
    if not checkpoints or checkpoints[-1] == "null" or not (scores or tasks in ([], [f"{TASK}train"])):
        return list(arguments)
    rest = [argument for argument in arguments if not argument.startswith(OPTION)]
    path = Path(checkpoints[-1])
    if checkpoints[-1] == "last":
        run_dir = _newest(Path("outputs"), finished=scores)
    elif not scores:
        run_dir = _run_of(path)
    elif (path / OVERRIDES).is_file():
        run_dir = path
    else:  # a checkpoint, or a directory of the cache
        return list(arguments)
    begun = [str(text) for text in OmegaConf.load(run_dir / OVERRIDES)]
    if not scores:
        return [*begun, *rest, f"hydra.run.dir={quoted(str(run_dir))}"]
    # Data, scale and seed are what they were.
    inherited = [text for text in begun if not text.startswith((OPTION, TASK, "hydra"))]
    flags = list(takewhile(lambda argument: "=" not in argument, rest))  # Hydra takes them first
    return [*flags, *inherited, *rest[len(flags) :], f"{OPTION}{quoted(str(run_dir))}"]


def _newest(outputs: Path, finished: bool) -> Path:
    """The training begun last that is finished, or else neither finished nor at work."""
    statuses = {path.parent: read_status(path.parent) for path in outputs.glob(f"*/*/{STATUS}")}
    begun = {
        run_dir: status.started
        for run_dir, status in statuses.items()
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
        if (folder / OVERRIDES).is_file():
            return folder
    raise UserError(
        f"{path} is not a run directory or a checkpoint in one: to go on with a training give its directory below "
        "outputs/, to start from weights give model.ckpt=PATH."
    )
