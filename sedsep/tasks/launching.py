"""Before Hydra starts: a sweep runs from a snapshot of the code, and goes on where it stopped."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from sedsep.errors import UserError
from sedsep.runs.sweeps import Manifest, snapshot
from sedsep.tasks.overrides import CONFIG, quoted

SNAPSHOT = "SEDSEP_SNAPSHOT"
"""The environment variable that names the snapshot which a sweep and its jobs run from."""

COMMAND = "SEDSEP_COMMAND"
"""The command line of a sweep as it was typed."""

RESUME = "sweep.resume"
LAUNCHER = "hydra/launcher"


def run_from_snapshot(config_dir: Path) -> None:
    """Where the command line asks for a sweep, replace this process by one that runs a snapshot of the code.

    The snapshot lies in the sweep's directory, so the code of queued jobs stays as it was at submission. Returns where
    there is nothing to do: no sweep is asked for, or this is the snapshot.

    Args:
        config_dir: beside run.py.

    Raises:
        UserError: `sweep.resume` names no sweep, or comes with overrides that would change its jobs.
    """
    project = config_dir.absolute().parent
    if os.environ.get(SNAPSHOT) == str(project):
        return
    line = get_args_parser().parse_args()
    resumed = _value(line.overrides, RESUME)
    if not (line.multirun or resumed or _value(line.overrides, "hydra.mode") == "MULTIRUN") or _only_shows(line):
        return
    if resumed:
        overrides, root = _resumed(line.overrides, _whole(resumed))
    else:
        overrides, root = line.overrides, _sweep_dir(config_dir, line)
    _become(snapshot.take(project, root / "code"), [*_flags(line), *overrides, f"hydra.sweep.dir={quoted(str(root))}"])


def code() -> str | None:
    """The name of the snapshot that this process runs; `None` for none."""
    return Path(os.environ[SNAPSHOT]).name if SNAPSHOT in os.environ else None


def _only_shows(line: argparse.Namespace) -> bool:
    """Whether the command asks about the configs, and runs nothing."""
    return any((line.help, line.hydra_help, line.info, line.cfg, line.shell_completion))


def _sweep_dir(config_dir: Path, line: argparse.Namespace) -> Path:
    """Where the sweep will be, composed as Hydra will."""
    found = list(line.overrides)
    if line.config_dir:
        found.append(f"hydra.searchpath=[{quoted('file://' + str(Path(line.config_dir).absolute()))}]")
    with initialize_config_dir(str(config_dir.absolute()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(line.config_name or CONFIG, found, RunMode.MULTIRUN)
    HydraConfig.instance().set_config(config)
    return _whole(config.hydra.sweep.dir)


def _resumed(given: Sequence[str], root: Path) -> tuple[list[str], Path]:
    """The overrides that launch a sweep's jobs as before, but for what is given now; the working directory is its own.

    Jobs take their overrides from the manifest.
    """
    manifest = Manifest.read(root)
    others = [text for text in given if not _is_hydra(text) and _key(text) != RESUME]
    if others:
        raise UserError(
            f"A sweep goes on with the overrides that it was started with: leave out {' '.join(others)}, or start "
            "another sweep."
        )
    chosen = {_key(text) for text in given}
    before = [
        text
        for text in manifest.hydra
        # Options of one launcher mean nothing to another.
        if _key(text) not in chosen and not (LAUNCHER in chosen and _key(text).startswith("hydra.launcher."))
    ]
    try:
        os.chdir(manifest.cwd)  # relative paths in overrides, and the place of results, are seen from there
    except OSError as error:
        raise UserError(f"{root} was started in {manifest.cwd}, which is not there: put it back.") from error
    return [*before, *(text for text in given if _key(text) != RESUME), f"{RESUME}={quoted(str(root))}"], root


def _become(project: Path, arguments: Sequence[str]) -> None:
    path = [str(project), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {
        SNAPSHOT: str(project),
        COMMAND: shlex.join(["python", *sys.argv]),
        "PYTHONPATH": os.pathsep.join(path),
    }
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, str(project / "run.py"), *arguments], {**os.environ, **variables})


def _whole(path: str) -> Path:
    """From the root, without `..`; links stay, for what they lead to may be another path on another node."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def _flags(line: argparse.Namespace) -> list[str]:
    flags = ["--multirun"]
    for name in ("config_name", "config_path", "config_dir"):
        if value := getattr(line, name):
            value = str(Path(value).absolute()) if name == "config_dir" else value
            flags += [f"--{name.replace('_', '-')}", value]
    return flags


def _value(overrides: Iterable[str], key: str) -> str | None:
    """The last value given to a key, without quotes."""
    values = [text.split("=", 1)[1] for text in overrides if "=" in text and _key(text) == key]
    return values[-1].strip("'\"") if values else None


def _key(text: str) -> str:
    return text.lstrip("+~").split("=", 1)[0].split("@", 1)[0]


def _is_hydra(text: str) -> bool:
    return _key(text).startswith(("hydra.", "hydra/"))
