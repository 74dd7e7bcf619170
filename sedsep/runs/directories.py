"""A job's directory: what became of the job, and one process at a time that works in it."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sedsep.errors import UserError
from sedsep.files import is_held, read_json, sole_user, write_json

log = logging.getLogger(__name__)

STATUS = "status.json"
LOCK = ".running.lock"

RANKS = ("RANK", "NODE_RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Environment variables by which torchrun, Lightning and SLURM number the processes of a job."""

RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"
State = Literal["running", "finished", "failed", "interrupted"]
Time = Annotated[float, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class Status:
    """What became of a job.

    Attributes:
        state: `running`; `finished`; `failed`, by an error; `interrupted`, killed or stopped before its end.
        task: what it does.
        host: where it ran last.
        pid: its process there.
        started: its last attempt, Unix seconds.
        ended: likewise.
        cause: one line on why it failed.
    """

    state: State
    task: str
    host: str
    pid: int
    started: Time
    ended: Time | None = None
    cause: str | None = None


def read_status(run_dir: Path) -> Status | None:
    """What became of the job in a directory; `None` where none was ever started.

    Statuses are read of many jobs at once: a damaged one costs a warning, and counts as none.
    """
    path = run_dir / STATUS
    if not path.exists():
        return None
    try:
        status = read_json(path, Status, "remove it, or run the job again")
    except UserError as error:
        log.warning("%s", error)
        return None
    if status.state == RUNNING and not is_held(run_dir / LOCK):
        return replace(status, state=INTERRUPTED)
    return status


@contextmanager
def occupied(run_dir: Path, task: str, cause: Callable[[BaseException], str]) -> Iterator[None]:
    """Work in a directory: nobody else may meanwhile, and its status says how it went.

    Args:
        run_dir: made where it is missing.
        task: its name.
        cause: says in one line what an error was.

    Raises:
        UserError: another process works there.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    refusal = (
        f"Another process is working in {run_dir}: wait for it, or give this one a directory of its own "
        "(hydra.run.dir=...)."
    )

    def note(state: State, **facts: Any) -> None:
        write_json(run_dir / STATUS, asdict(replace(begun, state=state, **facts)))

    with sole_user(run_dir / LOCK, refusal):
        begun = Status(RUNNING, task, platform.node(), os.getpid(), time.time())
        try:
            note(RUNNING)
            yield
            note(FINISHED, ended=time.time())
        except Exception as error:
            note(FAILED, ended=time.time(), cause=cause(error))
            raise
        except BaseException:  # told to stop, by a key or a scheduler: it may go on later
            note(INTERRUPTED, ended=time.time())
            raise


def is_main_process() -> bool:
    """Whether this process leads its job: of several, one a device, the first alone writes and reports."""
    return all(int(os.environ.get(rank, "0")) == 0 for rank in RANKS)
