"""task=prepare: make the data ready and say what is in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from omegaconf import DictConfig
from rich.console import Console
from rich.prompt import Confirm

from sedsep.composition import common
from sedsep.console import print_table
from sedsep.datasets.challenge import Licence
from sedsep.datasets.contents import contents, contents_table
from sedsep.runs.run import Run
from sedsep.wiring import build


def run(config: DictConfig) -> None:
    """Make, complete or check the data set and print its files by split, of one that is assembled by class as well.

    Raises:
        UserError: whatever keeps the data set from being made, or is wrong with it.
    """
    console = Console()
    assembled = config.data.get("assemble")
    if assembled:
        agree = partial(_agree, console, accepted=config.task.accept_licences)
        build(common.plain(assembled)).run(agree, config.task.steps, config.task.keep_archives)
    Run.open(config)
    layout = common.data_set(config)
    print_table(contents_table(str(layout.root), contents(layout), by_class=bool(assembled)))


def _agree(console: Console, licences: Sequence[Licence], accepted: bool) -> bool:
    """Show licences, and ask where somebody can answer and has not yet."""
    console.print("What is going to be downloaded has licences:")
    for licence in licences:
        console.print(f"  {licence.part}: {licence.name}, see {licence.page}", soft_wrap=True)  # addresses stay whole
    return accepted or (sys.stdin.isatty() and Confirm.ask("Do you accept them?", console=console))
