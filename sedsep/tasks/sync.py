"""task=sync: send MLflow what jobs had to keep while it was away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig
from rich import box
from rich.table import Table

from sedsep.console import print_table
from sedsep.errors import UserError
from sedsep.runs.directories import RUNNING, read_status
from sedsep.runs.tracking.journal import EVENTS, FOLDER, Journal, latest_start
from sedsep.runs.tracking.sending import NO_ANSWER, Sender, reason

SENT, ALONE = "sent", "still running, sends by itself"


def run(config: DictConfig) -> None:
    """Send what is kept below `task.root`, job by job, and print what became of it.

    Raises:
        UserError: there is no such folder, or something could not be sent.
    """
    root = Path(config.task.root)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}: give the one that jobs ran in as task.root.")
    table = Table("", "entries", "", title=str(root), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    failed, away = 0, dict[str, str]()
    for directory in _tracked(root):
        status = read_status(directory)
        runs = status is not None and status.state == RUNNING
        if status is not None and not runs:  # a job that was killed could not write how it ended
            journal = Journal(directory)
            journal.close(status.state if journal.is_open else None)
        sender = Sender(directory)
        if entries := sender.pending():
            outcome = ALONE if runs else _send(sender, away)
            failed += outcome not in (SENT, ALONE)
            table.add_row(str(directory.relative_to(root)), str(entries), outcome)
    if not table.row_count:
        print(f"Nothing is left to send below {root}.")
        return
    print_table(table)
    if failed:
        raise UserError(f"{failed} of {table.row_count} could not be sent, as listed above: mend that and sync again.")


def _tracked(root: Path) -> Iterator[Path]:
    """Directories with a journal: of jobs, and of sweeps."""
    usual = [root / name for name in ("outputs", "multirun") if (root / name).is_dir()]
    for folder in usual or [root]:
        for file in sorted(folder.rglob(f"{FOLDER}/{EVENTS}")):
            if latest_start(file.parent):
                yield file.parents[1]


def _send(sender: Sender, away: dict[str, str]) -> str:
    """What became of it; a store that was away for one job is not waited for by the next."""
    if sender.uri not in away:
        try:
            sender.send()
            return SENT
        except Exception as error:  # of many kinds
            outcome = f"{sender.uri}: {reason(error)}"
            if reason(error) != NO_ANSWER:
                return outcome
            away[sender.uri] = outcome
    return away[sender.uri]
