"""Files that grow by whole lines, and which numbers they hold already."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


class Steps:
    """How far each metric has come: a training that goes on repeats the steps after its last checkpoint."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def new(self, values: Mapping[str, float], step: int) -> dict[str, float]:
        """Those that have not come this far."""
        return {name: value for name, value in values.items() if name not in self._last or self._last[name][0] < step}

    def changed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Those that are defined and differ from their last value."""
        last = {name: value for name, (_, value) in self._last.items()}
        return {name: value for name, value in values.items() if math.isfinite(value) and last.get(name) != value}

    def take(self, values: Mapping[str, float], step: int) -> None:
        """Remember what a file holds."""
        self._last.update({name: (step, value) for name, value in values.items()})


def whole_lines(path: Path, offset: int = 0, *, mend: bool = False) -> Iterator[bytes]:
    """The lines of a file, which may be absent; a last one that a kill has torn is left out.

    Args:
        path: of the file.
        offset: byte where a line begins, the first to be read.
        mend: also cut off a torn line, for the file's only writer.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if line.endswith(b"\n"):
                yield line
            elif mend:
                os.truncate(path, path.stat().st_size - len(line))
