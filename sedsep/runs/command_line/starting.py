"""Before Hydra starts: overrides are checked, and a sweep runs from a snapshot of the code, or goes on as it was.

`ckpt=last` and `ckpt=DIRECTORY` go on with a training, or score it, by the command that it was begun with (of several
that are scored together, the first one's); of tasks that use a separator `ckpt=last` is the one that was trained last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryFile

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from sedsep.errors import UserError, printable, reason
from sedsep.files import read_json
from sedsep.runs import provenance
from sedsep.runs.command_line import inherited
from sedsep.runs.command_line.arguments import CONFIG, check, combinations, each_choice, parse, quoted
from sedsep.runs.command_line.configs import CONF, config_dir
from sedsep.runs.command_line.inherited import OVERRIDES
from sedsep.runs.command_line.settings import check_settings
from sedsep.runs.directories import FINISHED, RUNNING, STATUS, read_status
from sedsep.runs.provenance import PROJECT, SNAPSHOT
from sedsep.runs.sweeps import Manifest

OPTION, TASK = "ckpt=", "task="
SCORERS = ("evaluate", "alarms")
"""Tasks that score a run's model, on its data."""
USERS = ("demo", "export", "publish", "separate", "submission")
"""Tasks that use a separator."""


def continued(arguments: Sequence[str]) -> list[str]:
    """The arguments of the training that `ckpt=` names, what is given beside it last; of tasks that use a separator,
    and of others, as they are, but for `ckpt=last`.

    Raises:
        UserError: there is no such run, or its directory asks for more than values.
    """
    tasks = [argument for argument in arguments if argument.startswith(TASK)]
    checkpoints = [argument.removeprefix(OPTION) for argument in arguments if argument.startswith(OPTION)]
    scores, uses = (tasks in [[f"{TASK}{task}"] for task in some] for some in (SCORERS, USERS))
    if not checkpoints or checkpoints[-1] == "null" or not (scores or uses or tasks in ([], [f"{TASK}train"])):
        return list(arguments)
    rest = [argument for argument in arguments if not argument.startswith(OPTION)]
    if uses:
        if checkpoints[-1] != "last":
            return list(arguments)
        return [*rest, f"{OPTION}{quoted(str(newest(Path('outputs'), finished=True, kind='separator')))}"]
    several = checkpoints[-1].startswith("[")
    path = Path(checkpoints[-1].strip("[]").split(",")[0].strip("'\" ") if several else checkpoints[-1])
    if checkpoints[-1] == "last":
        run_dir = newest(Path("outputs"), finished=scores)
    elif not scores:
        run_dir = _run_of(path)
    elif (path / OVERRIDES).is_file():
        run_dir = path
    else:  # a checkpoint, or a directory of the cache
        return list(arguments)
    begun, given = inherited.begun_with(run_dir), {_key(text) for text in rest}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        taken, left_out = inherited.values(begun, run_dir, loader, [text for text in begun if _key(text) in given])
    if left_out:
        print(f"Warning: {inherited.warning(left_out, run_dir)}", file=sys.stderr)
    before = [text for text in taken if text.startswith(TASK) and text != f"{TASK}train"]
    own = (OPTION, TASK, "task.") if tasks == [f"{TASK}alarms"] else (OPTION, TASK)  # it has other options
    taken = [text for text in taken if not text.startswith(own)]
    if scores:  # data, scale and seed are what they were
        flags = list(takewhile(lambda argument: "=" not in argument, rest))  # Hydra takes them first
        scored = checkpoints[-1] if several else quoted(str(run_dir))
        return [*flags, *taken, *rest[len(flags) :], f"{OPTION}{scored}"]
    if before:
        raise UserError(f"{run_dir} is no training ({before[0]}): give the directory of one, or begin anew.")
    inherited.check_links(run_dir)
    return [*taken, *rest, f"hydra.run.dir={quoted(str(run_dir))}"]


def newest(outputs: Path, finished: bool, kind: str | None = None) -> Path:
    """The training begun last that is finished, or else neither finished nor at work.

    Args:
        outputs: of run directories.
        finished: which.
        kind: of the model that was trained; `None` for any.
    """
    statuses = {path.parent: read_status(path.parent) for path in outputs.glob(f"*/*/{STATUS}")}
    begun = {
        run_dir: status.started
        for run_dir, status in statuses.items()
        if status is not None
        and status.task == "train"
        and status.state != RUNNING
        and (status.state == FINISHED) == finished
        and kind in (None, _kind(run_dir))
    }
    if not begun:
        raise UserError(
            f"There is no {'' if finished else 'un'}finished training{f' of a {kind}' if kind else ''} below "
            f"{outputs.absolute()}: give its directory (ckpt=DIRECTORY), or begin one without ckpt."
        )
    return max(begun, key=begun.__getitem__)


def _kind(run_dir: Path) -> object:
    """What kind of model was trained in a directory; `None` where that is not known."""
    for note in run_dir.glob("checkpoints/*/recipe.json"):
        with suppress(UserError):
            return read_json(note, dict[str, object], "leave it").get("model.kind")
    return None


def _run_of(path: Path) -> Path:
    """The run directory at a path, or the one that a checkpoint lies in."""
    for folder in (path, *path.parents[:3]):
        if (folder / OVERRIDES).is_file():
            return folder
    raise UserError(
        f"{path} is not a run directory or a checkpoint in one: to go on with a training give its directory below "
        "outputs/, to start from weights give model.ckpt=PATH."
    )


COMMAND = "SEDSEP_COMMAND"
"""The environment variable that has the command line of a sweep as it was typed."""

RESUME = "sweep.resume"


def prepare() -> None:
    """Put the command line in order for Hydra; one that asks for a sweep goes on as a process of a snapshot.

    The snapshot lies in the sweep's directory, so the code of queued jobs stays as it was at submission.

    Raises:
        UserError: an override or `--config-dir` leads nowhere; `ckpt` names no run; or `sweep.resume` names no sweep,
            or comes with overrides that would change its jobs.
    """
    if os.environ.get(SNAPSHOT) == str(PROJECT):
        return  # all this was done when the sweep was started
    typed = provenance.command()
    own, arguments = config_dir(sys.argv[1:])
    if own and not own.is_dir():
        raise UserError(f"--config-dir {own} is no folder: give one that is laid out as conf/, or leave it out.")
    # Where Hydra has it, too, but every job of a sweep gets it, and overrides are checked against it.
    sys.argv[1:] = continued([*arguments, *([f"hydra.searchpath=[{quoted(f'file://{own}')}]"] if own else [])])
    line, unknown = parse(sys.argv[1:])
    others = (line.hydra_help, line.version, line.shell_completion, line.experimental_rerun)
    if unknown or any(others) or line.config_name or line.config_path:
        return  # Hydra's own affair
    overrides, resumed = list(line.overrides), _value(line.overrides, RESUME)
    several = bool(line.multirun or resumed or _value(overrides, "hydra.mode") == "MULTIRUN")
    if line.multirun and (line.cfg or line.info):
        raise UserError("--cfg and --info tell about one job: leave out -m, and give each option one value.")
    is_sweep = several and not (line.cfg or line.info)
    root = _absolute(resumed) if resumed else None
    if is_sweep and root:
        overrides = _resumed(overrides, root)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        if root or line.cfg or line.info:
            check(overrides, loader, several)
        else:
            hydra = checked(overrides, loader, several).hydra
            option, place = ("sweep", hydra.sweep.dir) if is_sweep else ("run", hydra.run.dir)
            _check_place(place, f"hydra.{option}.dir")
            root = _absolute(place) if is_sweep else None
    if is_sweep and root:
        snapshot = provenance.take(PROJECT, root / "code")
        path = os.pathsep.join([str(snapshot), *filter(None, [os.environ.get("PYTHONPATH")])])
        arguments = ["--multirun", *overrides, f"hydra.sweep.dir={quoted(str(root))}"]
        sys.stdout.flush()
        sys.stderr.flush()
        environment = {**os.environ, SNAPSHOT: str(snapshot), COMMAND: typed, "PYTHONPATH": path}
        environment["PYTHONSAFEPATH"] = "1"  # the working directory may hold the code that is being edited
        os.execve(sys.executable, [sys.executable, "-m", "sedsep", *arguments], environment)


def checked(overrides: Sequence[str], loader: ConfigLoader, several: bool = False) -> DictConfig:
    """The config that overrides compose, of a sweep that of one job, when every value in them is as it should be.

    Args:
        overrides: of a job, or of a sweep.
        loader: which finds the configs.
        several: whether an option may have several values, for a job of each.

    Raises:
        UserError: an override leads nowhere, or has a value that its option does not take.
    """
    default = check(overrides, loader, several)
    for job in reversed(each_choice(overrides, loader)):
        config = loader.load_configuration(CONFIG, job, RunMode.RUN)
        check_settings(config, default)
    return config


def _check_place(path: str, option: str) -> None:
    """Make sure that a directory can be made, or is there, to be written to.

    Raises:
        UserError: naming the option that gives it.
    """
    try:
        place = Path(path).absolute()
        while not place.exists():
            place = place.parent
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UserError(f"{option}={path} cannot be written ({reason(error)}): give another directory.") from error


def _resumed(overrides: Sequence[str], root: Path) -> list[str]:
    """The overrides that launch a sweep's jobs as before, but for what is given now; the working directory is its own.

    Jobs take their overrides from the manifest.
    """
    manifest = Manifest.read(root)
    theirs = {text for job in manifest.jobs for text in job.overrides}
    if others := [text for text in typed_beside(overrides) if text not in theirs and not inherited.is_elsewhere(text)]:
        raise UserError(
            f"A sweep goes on with the overrides that it was started with: leave out {' '.join(others)}, or start "
            "another sweep."
        )
    keys = {_key(text) for text in overrides}
    launching, left_out = inherited.launching(manifest.hydra, root)
    if left_out := [text for text in left_out if _key(text) not in keys]:
        print(f"Warning: {inherited.warning(left_out, root)}", file=sys.stderr)
    before = [
        text
        for text in launching
        # Options of one launcher mean nothing to another.
        if _key(text) not in keys and not ("hydra/launcher" in keys and _key(text).startswith("hydra.launcher."))
    ]
    inherited.check_links(root)
    homes = (str(Path.cwd()), *map(str, Path(os.path.realpath(root)).parents))
    if os.path.realpath(manifest.cwd) not in homes:
        raise UserError(f"{root} was started in {printable(manifest.cwd)}: go there and give the command again.")
    try:
        os.chdir(manifest.cwd)  # relative paths in overrides, and the place of results, are seen from there
    except OSError as error:
        raise UserError(f"{root} was started in {manifest.cwd}, which is not there: put it back.") from error
    return [*before, *(text for text in overrides if _key(text) != RESUME), f"{RESUME}={quoted(str(root))}"]


def typed_beside(overrides: Sequence[str]) -> list[str]:
    """What is typed beside `sweep.resume`, but for how jobs are launched, as the overrides of jobs are written."""
    others = [text for text in overrides if not _key(text).startswith(("hydra.", "hydra/")) and _key(text) != RESUME]
    return list(dict.fromkeys(text for combination in combinations(others) for text in combination))


def _absolute(path: str) -> Path:
    """From the root, without `..`; links stay, for what they lead to may be another path on another node."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def _value(overrides: Iterable[str], key: str) -> str | None:
    """The last value given to a key, without quotes."""
    values = [text.split("=", 1)[1] for text in overrides if "=" in text and _key(text) == key]
    return values[-1].strip("'\"") if values else None


def _key(text: str) -> str:
    return text.lstrip("+~").split("=", 1)[0].split("@", 1)[0]
