"""What SLURM says about jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping

QUEUED = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "REVOKED",
    "TIMEOUT",
)

Queue = Mapping[str, str]
"""A job's name to SLURM's word for its state; jobs that SLURM has forgotten are missing."""


def ask(names: Collection[str]) -> Queue | None:
    """The states of jobs, `<id>` or `<array id>_<index>`; `None` where SLURM does not answer."""
    ids = sorted({name.split("_")[0] for name in names})
    if not ids:
        return {}
    # All of SLURM's jobs of these ids, those that ended lately as well, one line for each of an array.
    command = ["squeue", "--noheader", "--array", "--states=all", "--jobs", ",".join(ids), "--format=%i|%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    return dict(line.strip().split("|", 1) for line in done.stdout.splitlines() if "|" in line)


def is_queued(name: str | None, queue: Queue | None) -> bool:
    """Whether a job waits for its turn."""
    return name is not None and queue is not None and queue.get(name) in QUEUED


def is_running(name: str | None, queue: Queue | None) -> bool:
    """Whether a job has a node, or will have one again before it is over."""
    return name is not None and queue is not None and queue.get(name, ENDED[0]) not in (*QUEUED, *ENDED)


def is_over(name: str, queue: Queue | None) -> bool:
    """Whether SLURM has nothing more to do for a job; what it does not answer for goes on."""
    return queue is not None and queue.get(name, ENDED[0]) in ENDED
