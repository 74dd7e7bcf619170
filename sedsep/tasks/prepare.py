"""task=prepare: make the data ready and say what is in it."""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sedsep.tasks.session import Session


def run(config: DictConfig) -> None:
    """Make or check the data set and print its files by split."""
    session = Session.open(config)
    table = Table(title=str(session.layout.root), title_justify="left")
    for column in ("split", "labels", "sounds", "hours", "interference", "rooms", "backgrounds"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for name in session.layout.split_names:
        split = session.layout.split(name)
        sounds = [path for files in split.events.values() for path in files]
        table.add_row(
            name, str(len(split.events)), str(len(sounds)), f"{sum(map(split.duration, sounds)) / 3600:.2f}",
            str(sum(map(len, split.interference.values()))), str(len(split.rooms)), str(len(split.noise)),
        )  # fmt: skip
    Console().print(table)
