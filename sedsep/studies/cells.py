"""The cells of a study, a row and a seed each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from sedsep.fingerprint import fingerprint
from sedsep.studies.study import Row

WITHOUT_EFFECT = (
    *("logger", "paths", "speed", "hydra", "data.workers=", "data.local_copy=", "refinement.eval_iters="),
    *("trainer=cpu", "trainer=gpu", "trainer.accelerator=", "trainer.log_every_n_steps=", "trainer.benchmark="),
)
"""Beginnings of overrides that leave the numbers as they are, but for rounding. Several devices do not: each has a
batch of its own. Passes that were measured are seen by the metrics of a run."""

Key = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class Cell:
    """A row and a seed.

    Attributes:
        row: of the study.
        seed: of the run.
        overrides: beside experiment and seed.
        settings: name of all else that decides about the numbers.
    """

    row: Row
    seed: int
    overrides: tuple[str, ...]
    settings: str

    @property
    def key(self) -> Key:
        """Settings, row and seed: the tags of its runs."""
        return self.settings, self.row.experiment, str(self.seed)

    def __str__(self) -> str:
        return f"{self.row.experiment}, seed {self.seed}"


def settings_name(choices: Mapping[str, str], overrides: Iterable[str], weights: Path | None = None) -> str:
    """Scale and data; where overrides go further, also the data's folder and a digest of them, whatever their order.

    Args:
        choices: what was chosen for `scale` and `data`.
        overrides: of the jobs.
        weights: folder of the checkpoints to be scored.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))  # to one writing: no spaces, short numbers
    texts = {f"{override.get_key_element()}={override.get_value_element_as_str()}" for override in parsed}
    texts -= {f"{group}={option}" for group, option in choices.items()}
    others = sorted(text for text in texts if not text.lstrip("+~").startswith(WITHOUT_EFFECT))
    names = [Path(text.removeprefix("data.root=")).name for text in others if text.startswith("data.root=")]
    if weights:
        names.append(f"weights-{weights.name}")
        others.append(f"weights={weights}")
    digest = [fingerprint(others)[:6]] if others else []
    return "-".join(re.sub(r"[^\w.-]", "", part) for part in (*choices.values(), *names, *digest))


def products(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Groups that are each a product of experiments and seeds, with the same overrides and settings."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row.experiment, []).append(cell)
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for row in rows.values():
        groups.setdefault((row[0].overrides, *(cell.seed for cell in row)), []).extend(row)
    return list(groups.values())
