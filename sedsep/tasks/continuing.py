"""`ckpt=last` and `ckpt=DIRECTORY`: go on with a training, by the command it was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from sedsep.errors import UserError
from sedsep.runs import FINISHED, RUNNING, STATUS, read_status
from sedsep.tasks.overrides import quoted

OPTION = "ckpt="
TASK = "task="


def continued(arguments: Sequence[str]) -> list[str]:
    """The arguments of the training that `ckpt=` names, what is given beside it last; of other tasks, as they are.

    Raises:
        UserError: there is no such run.
    """
    tasks = [argument for argument in arguments if argument.startswith(TASK)]
    named = [argument.removeprefix(OPTION) for argument in arguments if argument.startswith(OPTION)]
    if not named or tasks not in ([], [f"{TASK}train"]) or named[-1] == "null":
        return list(arguments)
    run_dir = _newest(Path("outputs")) if named[-1] == "last" else _run_of(Path(named[-1]))
    begun = OmegaConf.load(run_dir / ".hydra" / "overrides.yaml")
    rest = [argument for argument in arguments if not argument.startswith(OPTION)]
    return [*map(str, begun), *rest, f"hydra.run.dir={quoted(str(run_dir))}"]


def _newest(outputs: Path) -> Path:
    """The training begun last that is neither finished nor at work."""
    found = {path.parent: read_status(path.parent) for path in outputs.glob(f"*/*/{STATUS}")}
    open_runs = {
        run: status.started
        for run, status in found.items()
        if status is not None and status.task == "train" and status.state not in (FINISHED, RUNNING)
    }
    if not open_runs:
        raise UserError(
            f"There is no unfinished training below {outputs.absolute()}: give its directory (ckpt=DIRECTORY), or "
            "begin one without ckpt."
        )
    return max(open_runs, key=open_runs.__getitem__)


def _run_of(path: Path) -> Path:
    """The run directory at a path, or the one that a checkpoint lies in."""
    for folder in (path, *path.parents[:3]):
        if (folder / ".hydra" / "overrides.yaml").is_file():
            return folder
    raise UserError(
        f"{path} is not a run directory or a checkpoint in one: to go on with a training give its directory below "
        "outputs/, to start from weights give model.ckpt=PATH."
    )
