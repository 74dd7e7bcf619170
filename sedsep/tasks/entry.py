"""From the command line to a task, and from an error to a sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sedsep.errors import UserError
from sedsep.memory import keep_freed_memory
from sedsep.runs.directories import is_main_process, occupied
from sedsep.tasks import launching, overrides, resolvers
from sedsep.tasks.continuing import continued

# Torch's threads would spin while they wait and take the cores from the processes that render scenes: with both on two
# cores a training step took 1.5 times as long. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

keep_freed_memory()
resolvers.register()


def run(config: DictConfig) -> None:
    """Run the task that `config.task._target_` names, alone in its directory."""
    job = HydraConfig.get()
    try:
        task = str(job.runtime.choices["task"])
        if not is_main_process() and task not in ("train", "evaluate"):
            return  # of several processes that were started, all train and score, and the first does the rest
        alone = occupied(Path(job.runtime.output_dir), task, _cause)
        with alone if is_main_process() else nullcontext():
            overrides.check_types(config, job.overrides.task)
            OmegaConf.resolve(config)  # a reference that leads nowhere fails here, not in the middle of a training
            get_method(config.task._target_)(config)
    except Exception as error:
        # Hydra prints the overrides before an error: noise for a single run, what one wants to know of a sweep.
        sentence = explain(error, _config_dir()) if job.mode == RunMode.RUN else None
        if sentence is None:
            raise
        _tell(sentence)


def _cause(error: BaseException) -> str:
    sentence = explain(error, _config_dir())
    return sentence or f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _config_dir() -> Path:
    sources = HydraConfig.get().runtime.config_sources
    return Path(next(source.path for source in sources if source.provider == "main"))


def _tell(sentence: str) -> NoReturn:
    print(f"Error: {sentence}", file=sys.stderr)
    sys.exit(1)


def guarded(main: Callable[[], Any], config_dir: Path) -> None:
    """Call the Hydra main; what the user can mend ends as one sentence and exit code 1, the rest as a traceback.

    Args:
        main: decorated with `hydra.main`. config_dir: the configs it composes, to name what a typo could have meant.
    """
    os.environ["HYDRA_FULL_ERROR"] = (
        "1"  # Hydra prints half a traceback otherwise: here errors are told, or raised whole
    )
    try:
        launching.run_from_snapshot(config_dir)
        sys.argv[1:] = continued(sys.argv[1:])
        main()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sentence = explain(error, config_dir)
        if sentence is None:
            raise
        _tell(sentence)


def explain(error: BaseException, config_dir: Path) -> str | None:
    """The sentence for an error that the user can mend; `None` for a defect of ours."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, UserError):
            return str(link)
        if type(link).__name__ == "MisconfigurationException":  # Lightning's own, by name: its import takes seconds
            return str(link)
    if any(isinstance(link, InstantiationException) for link in chain):
        return None
    if any(isinstance(link, HydraException | OmegaConfBaseException) for link in chain):
        return overrides.explain(chain, sys.argv[1:], config_dir)
    return None


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
