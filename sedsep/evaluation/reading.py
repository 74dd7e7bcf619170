"""The scores of an evaluation, read from the files that it left, whoever made them: the reverse of `writing`."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sedsep.errors import UserError, printable
from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.results import Evaluation
from sedsep.files import LARGEST_JSON, read_json
from sedsep.labels import LabelSet
from sedsep.metrics.registry import RANKINGS, SCORE_FILES
from sedsep.metrics.rows import MixtureRow
from sedsep.metrics.sdri import ClassScore

METRICS, ACCOUNT, MIXTURES, ENTRIES, _ = SCORE_FILES
ADVICE = "score it again (task=evaluate)"

Key = tuple[str, str, int | None]
"""Mixture, label source and passes: what a line is about."""


class _Line(BaseModel):
    mixture: str
    labels_from: Annotated[str, Field(pattern=r"^\w+$")]
    passes: int | None = None

    @property
    def key(self) -> Key:
        return self.mixture, self.labels_from, self.passes


class _Mixture(_Line):
    true: str = ""
    predicted: str = ""
    ca_sdri: float | None = None
    matched_sdri: float | None = None


@dataclass(frozen=True)
class _Account:
    """What is read of `evaluation.json`."""

    split: str
    labels: list[str]
    ranking: str = RANKINGS[0]
    passes: int | None = None


def has_scores(folder: Path) -> bool:
    """Whether an evaluation left its scores, mixture by mixture, in a folder."""
    return (folder / ACCOUNT).is_file() and (folder / MIXTURES).is_file()


def read_scores(folder: Path) -> tuple[Evaluation, dict[str, float | None]]:
    """The rows of an evaluation, without what taggers made of frames; and all its metrics by name.

    Args:
        folder: of `SCORE_FILES`.

    Raises:
        UserError: one of them is missing, damaged or at odds with the others.
    """
    account = read_json(folder / ACCOUNT, _Account, ADVICE)
    if account.ranking not in RANKINGS:
        raise _damaged(folder / ACCOUNT, f"it ranks by {printable(account.ranking, 50)}")
    labels = LabelSet(tuple(account.labels))
    entries: dict[Key, list[ClassScore]] = {}
    if (folder / ENTRIES).is_file():
        for line, score in zip(*_lines(folder / ENTRIES, _Line, ClassScore), strict=True):
            if score.label not in labels:
                raise _damaged(folder / ENTRIES, f"{printable(score.label, 50)} is no class")
            entries.setdefault(line.key, []).append(score)
    results: dict[str, MixtureResult] = {}
    known = set[Key]()
    (lines,) = _lines(folder / MIXTURES, _Mixture)
    for line in lines:
        if line.key in known:
            raise _damaged(folder / MIXTURES, f"it has {printable(line.mixture, 80)} twice")
        known.add(line.key)
        true, predicted = (_split(text, labels, folder / MIXTURES) for text in (line.true, line.predicted))
        scores = tuple(entries.get(line.key, ()))
        by_mixture = line.ca_sdri, line.matched_sdri
        row = MixtureRow(line.mixture, line.labels_from, true, predicted, line.passes, scores, *by_mixture)
        results.setdefault(line.mixture, MixtureResult(line.mixture, [])).rows.append(row)
    if not known or not known >= entries.keys():
        raise _damaged(folder / MIXTURES, f"it lacks mixtures that {ENTRIES} has" if known else "it is empty")
    evaluation = Evaluation(
        account.split, labels.names, list(results.values()), account.passes, ranking=account.ranking
    )
    if any((source, account.passes) not in evaluation.rows for source in evaluation.sources):
        raise _damaged(folder / MIXTURES, f"it has no scores after {account.passes} passes")
    return evaluation, read_json(folder / METRICS, dict[str, float | None], ADVICE)


def _lines(path: Path, *kinds: type[Any]) -> list[list[Any]]:
    """The lines of a table, as each of some kinds; an empty cell is one that is not defined."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise _damaged(path, "it is larger than any of its kind")
        with path.open(encoding="utf-8", newline="") as file:
            lines = [{name: cell for name, cell in line.items() if cell != ""} for line in csv.DictReader(file)]
        found = [TypeAdapter(list[kind]).validate_python(lines) for kind in kinds]  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        row, *column = first["loc"]
        place = f"line {int(row) + 2}, {printable('.'.join(map(str, column)), 50)}"
        raise _damaged(path, f"{place}: {printable(first['msg'], 100)}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, printable(str(error), 100)) from error
    numbers = (value for items in found for item in items for value in vars(item).values() if isinstance(value, float))
    if not all(map(math.isfinite, numbers)):
        raise _damaged(path, "a number in it is not finite")
    return found


def _split(text: str, labels: Collection[str], path: Path) -> tuple[str, ...]:
    """Labels that are joined by `+`, which a label may hold, too."""
    longest_first = sorted(map(re.escape, labels), key=len, reverse=True)
    found = re.findall(rf"({'|'.join(longest_first)})(?:\+|$)", text)
    if "+".join(found) != text:
        raise _damaged(path, f"{printable(text, 80)} are no classes")
    return tuple(found)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why}): {ADVICE}.")
