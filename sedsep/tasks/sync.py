"""task=sync: send MLflow what jobs had to keep while it was away."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.table import Table

from sedsep.console import print_table
from sedsep.errors import UserError, printable
from sedsep.runs.directories import RUNNING, read_status
from sedsep.runs.tracking import Mlflow
from sedsep.runs.tracking.journal import EVENTS, FOLDER, Journal, latest_start
from sedsep.runs.tracking.sending import NO_ANSWER, Sender, reason
from sedsep.wiring import build

log = logging.getLogger(__name__)

SENT, ALONE = "sent", "still running, sends by itself"


def run(config: DictConfig) -> None:
    """Send what is kept below `task.root` to the store of `logger`, job by job, and print what became of it.

    Raises:
        UserError: there is no such folder, no such store, or something was not sent.
    """
    root = Path(config.task.root)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}: give the one that jobs ran in as task.root.")
    store = build(OmegaConf.to_container(config.logger))
    if not isinstance(store, Mlflow):
        raise UserError("task=sync sends to MLflow: leave logger out, or give logger=mlflow.")
    table = Table("", "entries", "", title=str(root), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    failed, away = 0, ""
    for directory in _tracked(root):
        status = read_status(directory)
        runs = status is not None and status.state == RUNNING
        if status is not None and not runs:  # a job that was killed could not write how it ended
            journal = Journal(directory)
            journal.close(status.state if journal.is_open else None)
        sender = Sender(directory, store.uri, store.artifacts)
        if entries := sender.pending():
            outcome = ALONE if runs else _elsewhere(sender) or away or _send(sender)
            away = outcome if outcome.endswith(NO_ANSWER) else away  # the next job need not wait for it as well
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
            try:
                if latest_start(file.parent):
                    yield file.parents[1]
            except (UserError, OSError) as error:
                log.warning("%s is left out: %s", file, error)


def _elsewhere(sender: Sender) -> str | None:
    """How to send what was kept for another store than this one: by choosing it, which a journal cannot."""
    if sender.start.uri == sender.uri:
        return None
    return f"kept for another store: logger.tracking_uri={shlex.quote(printable(sender.start.uri))} sends it there"


def _send(sender: Sender) -> str:
    try:
        sender.send()
    except Exception as error:  # of many kinds
        return f"{sender.uri}: {reason(error)}"
    return SENT
