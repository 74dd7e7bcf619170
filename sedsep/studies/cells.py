"""The cells of a study, a row and a seed each: which run is theirs, and how those without one are launched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sedsep.runs.tracking.finished import Run
from sedsep.studies.study import Row

Identity = frozenset[str]

WITHOUT_EFFECT = re.compile(
    r"[+~]*((logger|paths|speed|hydra)\b|data\.(workers|local_copy)=|refinement\.eval_iters="
    r"|trainer=(cpu|gpu)$|trainer\.(accelerator|log_every_n_steps|benchmark)=)"
)
"""Overrides that leave the numbers as they are, but for rounding. Several devices do not: each has a batch of its own.
Passes that were measured are seen by the metrics of a run."""

TOGETHER = re.compile(r" (?=[+~]*[\w./@]+=|~)")
"""What parts overrides that were joined by spaces: values may hold some."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A row and a seed.

    Attributes:
        overrides: beside experiment and seed. identity: what its run is known by.
    """

    row: Row
    seed: int
    overrides: tuple[str, ...]
    identity: Identity

    def __str__(self) -> str:
        return f"{self.row.experiment}, seed {self.seed}"


def make_cells(
    rows: Sequence[Row],
    seeds: Sequence[int],
    overrides: Mapping[str, tuple[str, ...]],
    choices: Mapping[str, str],
) -> list[Cell]:
    """All cells of a study.

    Args:
        overrides: of each experiment. choices: as in `identity`.
    """
    cells = []
    for row in rows:
        own = overrides[row.experiment]
        for seed in seeds:
            name = identity([*own, f"experiment={row.experiment}", f"seed={seed}"], choices)
            cells.append(Cell(row, seed, own, name))
    return cells


def identity(overrides: Iterable[str], choices: Mapping[str, str]) -> Identity:
    """The overrides that decide about the numbers, written in one way.

    Args:
        choices: what was chosen for keys that the overrides do not name, by default or in the user's own config.
    """
    told = as_swept(TOGETHER.split(" ".join(overrides)))  # a run's are known joined: all are torn apart alike
    named = {text.split("=", 1)[0] for text in told}
    told += [f"{key}={value}" for key, value in choices.items() if key not in named]
    return frozenset(text for text in told if not WITHOUT_EFFECT.match(text))


def as_swept(overrides: Iterable[str]) -> list[str]:
    """Overrides as a sweep writes them down for its jobs: without spaces in lists, numbers in their shortest form."""
    given = list(overrides)
    try:
        parsed = OverridesParser.create().parse_overrides(given)
    except HydraException:  # torn apart wrongly: of a value with something like an override in it
        return given
    return [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in parsed]


def is_several(override: str) -> bool:
    """Whether an override is a choice of several, to be swept over."""
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:  # `run.py` says what is wrong with it
        return False


def by_identity(runs: Iterable[Run]) -> dict[Identity, list[Run]]:
    """Runs by what they are known by, each in the order given."""
    found: dict[Identity, list[Run]] = {}
    for run in runs:
        found.setdefault(identity([run.overrides], run.choices), []).append(run)
    return found


def products(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Groups that are each a product of experiments and seeds, with the same overrides."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row.experiment, []).append(cell)
    groups: dict[tuple[tuple[str, ...], tuple[int, ...]], list[Cell]] = {}
    for row in rows.values():
        groups.setdefault((row[0].overrides, tuple(cell.seed for cell in row)), []).extend(row)
    return list(groups.values())
