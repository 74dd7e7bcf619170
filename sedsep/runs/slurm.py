"""What SLURM says about jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping

from sedsep.runs.directories import RUNNING

QUEUED, OVER = "queued", "over"

WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT")
}

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


def state(name: str | None, queue: Queue | None) -> str | None:
    """`queued`; `running`: it has a node, or will have one again before it is over; or `over`.

    `None` for a job that SLURM was not given, and where it does not answer.
    """
    if name is None or queue is None:
        return None
    word = queue.get(name, "COMPLETED")
    return QUEUED if word in WAITING else OVER if word in ENDED else RUNNING
