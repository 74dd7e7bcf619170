"""task=prepare: make the data ready and say what is in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from sedsep.datasets.dcase2025 import Licence
from sedsep.scenes import audio
from sedsep.scenes.layout import Layout, recorded_splits
from sedsep.scenes.recorded import mixtures
from sedsep.tasks.session import Session


def run(config: DictConfig) -> None:
    """Make, complete or check the data set and print its files by split.

    Raises:
        UserError: whatever keeps the data set from being made, or is wrong with it.
    """
    console = Console()
    assembled = config.data.get("assemble")
    if assembled:
        agree = partial(_agree, console, accepted=config.task.accept_licences)
        instantiate(assembled, _convert_="all").run(agree, config.task.steps, config.task.keep_archives)
    layout = Session.open(config).layout
    console.print(_splits(layout))
    if assembled:
        console.print(_classes(layout))
        for split in recorded_splits(layout.root):
            durations = [audio.info(path).duration for path in mixtures(layout.root / split)]
            console.print(f"{split}: {len(durations)} recordings, {sum(durations) / 3600:.2f} hours")


def _agree(console: Console, licences: Sequence[Licence], accepted: bool) -> bool:
    """Show licences, and ask where somebody can answer and has not yet."""
    console.print("What is going to be downloaded has licences:")
    for licence in licences:
        console.print(f"  {licence.part}: {licence.name}, see {licence.page}", soft_wrap=True)  # addresses stay whole
    return accepted or (sys.stdin.isatty() and Confirm.ask("Do you accept them?", console=console))


def _splits(layout: Layout) -> Table:
    """Files and hours of each split."""
    table = Table(title=str(layout.root), title_justify="left")
    for column in ("split", "labels", "sounds", "hours", "interference", "rooms", "backgrounds"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for name in layout.split_names:
        split = layout.split(name)
        sounds = [path for files in split.events.values() for path in files]
        table.add_row(
            name, str(len(split.events)), str(len(sounds)), f"{sum(map(split.duration, sounds)) / 3600:.2f}",
            str(sum(map(len, split.interference.values()))), str(len(split.rooms)), str(len(split.noise)),
        )  # fmt: skip
    return table


def _classes(layout: Layout) -> Table:
    """Sounds and hours of each class in each split."""
    splits = [layout.split(name) for name in layout.split_names]
    table = Table("class")
    for split in splits:
        for column in (split.name, "hours"):
            table.add_column(column, justify="right")
    for label in layout.labels():
        cells = []
        for split in splits:
            sounds = split.events.get(label, [])
            cells += [str(len(sounds)), f"{sum(map(split.duration, sounds)) / 3600:.2f}"]
        table.add_row(label, *cells)
    return table
