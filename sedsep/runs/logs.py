"""Log lines on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


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
