"""How the sources of a mixture are named, estimates and true ones, and what their names mean.

<mixture>_<Label>.wav        form 2025: each label at most once a mixture
<mixture>_<i>_<Label>.wav    form 2026: a label may repeat; i counts the sources of a mixture, from 0 where we write
                             and as it likes where we read
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sedsep.errors import UserError
from sedsep.labels import LabelSet

FORMS = ("2025", "2026")
SUFFIX = ".wav"
NUMBERED = re.compile(r"([0-9]+)_(.+)")


@dataclass(frozen=True)
class Meaning:
    """What the name of a source says.

    Attributes:
        mixture: whose source it is.
        label: its class.
        number: i of form 2026; `None` in form 2025.
    """

    mixture: str
    label: str
    number: int | None

    @property
    def form(self) -> str:
        """The form that names it so."""
        return FORMS[self.number is not None]


@dataclass(frozen=True)
class Problem:
    """Something that is the matter with estimates.

    Attributes:
        kind: a word for it.
        item: the file or the mixture.
        text: more, to be read after it.
    """

    kind: str
    item: str
    text: str = ""


def meanings(file: str, mixtures: Collection[str], labels: LabelSet) -> list[Meaning]:
    """Everything that a file name can mean, of mixtures and labels that may have underscores and digits themselves."""
    stem, possible = Path(file).stem, []
    for underscore in re.finditer("_", stem):
        mixture, rest = stem[: underscore.start()], stem[underscore.end() :]
        if mixture not in mixtures:
            continue
        if rest in labels:
            possible.append(Meaning(mixture, rest, None))
        if (numbered := NUMBERED.fullmatch(rest)) and numbered[2] in labels:
            possible.append(Meaning(mixture, numbered[2], int(numbered[1])))
    return possible


def meaning_of(file: str, mixtures: Collection[str], labels: LabelSet, form: str | None = None) -> Meaning | Problem:
    """What a file name means in a form, or else in the other one; a problem where that is not clear.

    Args:
        file: its path.
        mixtures: names of all.
        labels: the classes.
        form: that is expected; `None` for either.
    """
    name = PurePosixPath(file).name
    possible = meanings(name, mixtures, labels)
    expected = [meaning for meaning in possible if form in (None, meaning.form)]
    if len(expected) > 1:
        one, other = expected[:2]
        return Problem("ambiguous", file, f"can be {one.label} of {one.mixture} or {other.label} of {other.mixture}")
    if possible:
        return (expected or possible)[0]
    starts = [name[: underscore.start()] for underscore in re.finditer("_", name)]
    mixture = next((start for start in reversed(starts) if start in mixtures), None)  # of several, the longest name
    return Problem("label", file, f"of {mixture}") if mixture else Problem("stray", file)


def form_of(files: Iterable[str], mixtures: Collection[str], labels: LabelSet) -> str | None:
    """The form in which all files of a folder have a meaning, but for those that have none at all; `None` where that
    is both or neither. It settles what one name leaves open where that of a mixture begins another's."""
    forms = [{meaning.form for meaning in meanings(file, mixtures, labels)} for file in files]
    common = set(FORMS).intersection(*filter(None, forms))
    return common.pop() if len(common) == 1 else None


def file_names(mixture: str, labels: Sequence[str], form: str) -> list[str]:
    """A name for each estimate of a mixture.

    Raises:
        UserError: a label repeats in form 2025.
    """
    if form == "2026":
        return [f"{mixture}_{index}_{label}{SUFFIX}" for index, label in enumerate(labels)]
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise UserError(
            f"{mixture} has several sources of {twice[0]}, which form 2025 has no names for: use form 2026."
        )
    return [f"{mixture}_{label}{SUFFIX}" for label in labels]
