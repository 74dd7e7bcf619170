"""From the command line to a task, and from an error to a sentence."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import hydra
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sedsep.errors import choice
from sedsep.memory import keep_freed_memory
from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.arguments import CONFIG
from sedsep.runs.command_line.configs import CONF
from sedsep.runs.command_line.explaining import explain
from sedsep.runs.command_line.starting import prepare
from sedsep.runs.directories import is_main_process, occupied
from sedsep.signals import stoppable, whole_stop

log = logging.getLogger(__name__)

TASKS = (
    *("alarms", "benchmark", "compare", "convert", "demo", "evaluate", "export", "inspect", "prepare"),
    *("publish", "separate", "submission", "sync", "train", "verify"),
)
"""The options of the config group `task`, each a module of this package with a function `run`."""

# Torch's threads would spin while they wait and take the cores from the processes that render scenes: with both on two
# cores a training step took 1.5 times as long. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

keep_freed_memory()
resolvers.register()


def main() -> None:
    """Run the command line; what the user can mend ends as one sentence and exit code 1, the rest as a traceback. Told
    to stop, it ends with 128 and the signal's number.
    """
    # Hydra prints half a traceback otherwise: here errors are told, or raised whole.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.raiseExceptions = False  # nor for a log that cannot be written: what else fails then is told
    try:
        with stoppable():
            prepare()
            run()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        _tell(sentence)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name=CONFIG)
def run(config: DictConfig) -> None:
    """Run the option of the group `task`, alone in its directory."""
    job = HydraConfig.get()
    try:
        task = choice(job.runtime.choices.get("task"), TASKS, "task")
        if not is_main_process() and task not in ("train", "evaluate"):
            return  # of several processes that were started, all train and score, and the first does the rest
        alone = occupied(Path(job.runtime.output_dir), task, _cause)
        with alone if is_main_process() else nullcontext():
            from sedsep.composition.common import complete  # torch: seconds that --help need not take

            config = at_its_scale(config, list(HydraConfig.get().overrides.task))
            complete(config)
            OmegaConf.resolve(config)  # a reference that leads nowhere fails here, not in the middle of a training
            with whole_stop():
                import_module(f"sedsep.tasks.{task}").run(config)
    except Exception as error:
        sentence = explain(error)
        if job.mode == RunMode.MULTIRUN:  # Hydra keeps it to itself until all jobs are done
            log.error("Error: %s", sentence) if sentence else log.exception("The job failed")
            raise
        if sentence is None:
            raise
        _tell(sentence)  # Hydra prints the overrides before an error: noise for a single run


def at_its_scale(config: DictConfig, overrides: list[str]) -> DictConfig:
    """The config at the scale that the checkpoint at `ckpt`, or the first there, was made at, unless the command names
    one.

    Args:
        config: as the overrides compose it.
        overrides: of the command.

    Raises:
        UserError: it cannot be had, or is no checkpoint of ours.
    """
    if not config.ckpt or any(text.startswith("scale=") for text in overrides):
        return config
    from sedsep import checkpoints  # torch, too
    from sedsep.checkpoints import exported
    from sedsep.checkpoints.finding import each, find
    from sedsep.checkpoints.onnx_files import SUFFIX

    path = find(each(config.ckpt)[0], Path(config.paths.cache))
    scale = (exported if path.suffix == SUFFIX else checkpoints).describe(path).scale
    known = GlobalHydra.instance().config_loader().get_group_options("scale")
    if scale == config.scale.name or scale not in known:
        return config
    return compose(CONFIG, overrides=[*overrides, f"scale={scale}"])


def _cause(error: BaseException) -> str:
    text = str(error).strip()
    return explain(error) or f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"


def _tell(sentence: str) -> NoReturn:
    print(f"Error: {sentence}", file=sys.stderr)
    sys.exit(1)
