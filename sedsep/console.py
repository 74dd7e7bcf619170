"""What people see on a terminal, and in a file in its place: tables, and bars while they wait."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

T = TypeVar("T")
R = TypeVar("R")

UNLIMITED = 1_000_000
"""Columns where no terminal sets their number."""


def print_table(table: Table) -> None:
    """Print a table below its title; in a file it is as wide as its cells need, on a narrow terminal they go on in the
    next line."""
    for column in table.columns:
        column.overflow = "fold"  # a number that is cut off is another number
    width = None if sys.stdout.isatty() else UNLIMITED
    # Names of files and classes are shown as they are, whatever stands in brackets.
    console = Console(width=width, markup=False, emoji=False)
    if table.title:  # would be folded to the width of the table
        console.print(table.title, soft_wrap=True)
        table.title = None
    console.print(table)


def in_threads(function: Callable[[T], R], items: Sequence[T], title: str, workers: int | None = None) -> Iterator[R]:
    """`function` of each item in order, computed in threads, with a bar on a terminal.

    After an error or an interrupt, items that wait are dropped.

    Args:
        function: may be called by several threads at once.
        items: what it is called with.
        title: says what goes on.
        workers: threads; `None` leaves it to Python.
    """
    console = Console(stderr=True)
    with (
        Progress(console=console, disable=not console.is_terminal, transient=True) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        yield from progress.track(pool.map(function, items), total=len(items), description=title)


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard output is at the moment: while there is a progress bar, lines go above it."""

    def __init__(self, stream: TextIO | None = None) -> None:  # which a logging config always hands over
        super().__init__(sys.stdout)

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Stays standard output."""
