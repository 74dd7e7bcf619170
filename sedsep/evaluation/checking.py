"""What can be the matter with a submission to the challenge, whoever made it: all of it is found at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from sedsep.console import print_table
from sedsep.errors import printable
from sedsep.evaluation.accounts import ACCOUNTS, EVAL_RESULTS
from sedsep.evaluation.agreement import account_problems
from sedsep.evaluation.estimates import EVAL_OUT, Files, examine
from sedsep.labels import LabelSet
from sedsep.scenes.naming import SUFFIX, Problem, meaning_of

NAME = re.compile(r"[A-Za-z0-9-]+_[A-Za-z0-9-]+_task4_[1-9][0-9]*_out\.zip")
FOLDER = re.compile(r"[A-Za-z0-9-]+_[A-Za-z0-9-]+_task4_[1-9][0-9]*")
"""What a zip of 2026 holds, or is called after: the organisers' texts have it with `_out` and without."""
LEFT_BEHIND = {"__MACOSX", "Thumbs.db", "desktop.ini"}
FULL_SCALE = 1 - 2**-15
"""The largest sample of a 16-bit file."""
SHOWN = 3
"""Files of a kind that the table names."""

ERRORS = {
    "name": "not called <Author>_<Affiliation>_task4_<n>_out.zip",
    "empty": "no estimates at all",
    "folder": "in a folder, not at the top level",
    "place": f"neither in {EVAL_OUT} nor an account",
    "hidden": "left by the system that packed it",
    "stray": "no estimate of any mixture",
    "label": "of no class",
    "form": "named as in the other form",
    "ambiguous": "named so that it can mean several things",
    "repeated": "there more than once",
    "sources": "more sources than a mixture can have",
    "unreadable": "not to be read",
    "channels": "not mono",
    "rate": "of another rate",
    "length": "of another length than its mixture",
    "values": "not finite",
    "account": "not there, or not to be read",
    "unlisted": f"not in {EVAL_RESULTS}",
    "absent": f"listed in {EVAL_RESULTS}, and not in {EVAL_OUT}",
    "disagrees": "at odds with itself",
    "number": "out of range",
    "mixture": "of no mixture, or not once of each",
}
WARNINGS = {
    "silent": "silent",
    "full scale": "at full scale or beyond, where other formats clip",
    "missing": "mixtures without estimates",
    "meta": "not filled in",
}
"""What can be the matter, and how a table calls it."""


@dataclass(frozen=True)
class Rules:
    """What estimates must keep to.

    Attributes:
        mixtures: name to samples.
        labels: the classes.
        rate: Hz.
        form: of the file names.
        slots: sources of a mixture at most.
        dev_test: names of the mixtures of the development test set; `None` where they are not known.
    """

    mixtures: Mapping[str, int]
    labels: LabelSet
    rate: int
    form: str
    slots: int
    dev_test: Collection[str] | None = None


@dataclass(frozen=True)
class Verdict:
    """The content of a submission.

    Attributes:
        labels: of each mixture's estimates.
        problems: everything that is the matter.
    """

    labels: Mapping[str, list[str]]
    problems: list[Problem] = field(default_factory=list)

    @property
    def estimates(self) -> int:
        """How many there are."""
        return sum(map(len, self.labels.values()))

    @property
    def errors(self) -> list[Problem]:
        """What must be mended."""
        return [problem for problem in self.problems if problem.kind in ERRORS]

    def account(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "mixtures": len(self.labels),
            "estimates": self.estimates,
            "labels": dict(sorted(Counter(label for labels in self.labels.values() for label in labels).items())),
            "errors": [asdict(problem) for problem in self.errors],
            "warnings": [asdict(problem) for problem in self.problems if problem.kind in WARNINGS],
        }

    def show(self) -> None:
        """Print what is the matter, kind by kind, with the first few files of each."""
        table = Table("", "", "", "", box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        for kind, title in (ERRORS | WARNINGS).items():
            items = [printable(f"{problem.item} {problem.text}") for problem in self.problems if problem.kind == kind]
            if items:
                more = [f"and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
                severity = "error" if kind in ERRORS else "warning"
                table.add_row(severity, str(len(items)), title, Text("\n".join([*items[:SHOWN], *more])))
        if table.row_count:
            print_table(table)


def check(path: Path, rules: Rules, name: str | None = None) -> Verdict:
    """Everything that is the matter with a submission; on a terminal a bar shows how far it is.

    Args:
        path: a zip, or a folder of what is to be zipped.
        rules: what it must keep to.
        name: that the zip will have, where it has another yet.

    Raises:
        UserError: there is neither a zip nor a folder.
    """
    files = Files(path)
    verdict = Verdict({mixture: [] for mixture in rules.mixtures})
    problems = verdict.problems
    package = rules.form == "2026"
    top = _top(files) if package else ""
    problems.extend(_name_problems(None if path.is_dir() else name or path.name, top, rules.form))
    home = (EVAL_OUT,) if package else ()
    names, estimates = Counter[str](), list[str]()
    console = Console()
    for file in track(files.names, "Checking", console=console, transient=True, disable=not console.is_terminal):
        parts = PurePosixPath(file.removeprefix(top)).parts
        if not parts:
            problems.append(Problem("stray", "a file without a name"))
            continue
        if any(part.startswith(".") and part != ".." for part in parts) or not LEFT_BEHIND.isdisjoint(parts):
            problems.append(Problem("hidden", file))
            continue
        names[parts[-1]] += 1
        if package and "/".join(parts) in ACCOUNTS:
            continue
        if parts[:-1] != home:
            problems.append(Problem("place" if package else "folder", file))
        elif file.endswith(SUFFIX):
            estimates.append(parts[-1])
        problems.extend(_file_problems(files, file, rules, verdict.labels))
    problems += [Problem("repeated", name, f"is there {count} times") for name, count in names.items() if count > 1]
    problems += [
        Problem("sources", mixture, f"has {len(labels)}, not {rules.slots} at most")
        for mixture, labels in verdict.labels.items()
        if len(labels) > rules.slots
    ]
    if package:  # whose mixtures may have no estimate
        problems.extend(
            account_problems(files, top, frozenset(estimates), rules.mixtures, rules.labels, rules.dev_test)
        )
    elif verdict.estimates:
        problems += [Problem("missing", mixture) for mixture, labels in verdict.labels.items() if not labels]
    if not verdict.estimates:
        problems.append(Problem("empty", path.name))
    return verdict


def _top(files: Files) -> str:
    """The folder that a submission of 2026 lies in, with its slash; nothing where it lies at the top level."""
    tops = {part for file in files.names for part in PurePosixPath(file).parts[:1] if not part.startswith(".")}
    top, *others = tops - LEFT_BEHIND or [""]
    return f"{top}/" if not others and FOLDER.fullmatch(top) else ""


def _name_problems(zipped: str | None, top: str, form: str) -> Iterator[Problem]:
    """What is wrong with the name of a zip, `None` for a folder, and that of the folder in it."""
    if zipped is None:
        return
    names = (zipped.removesuffix("_out.zip"), zipped.removesuffix(".zip"))
    if not NAME.fullmatch(zipped) and not (form == "2026" and zipped.endswith(".zip") and FOLDER.fullmatch(names[1])):
        yield Problem("name", zipped)
    elif top and top[:-1] not in names:
        yield Problem("name", top, f"in {zipped}")


def _file_problems(files: Files, file: str, rules: Rules, labels: Mapping[str, list[str]]) -> Iterator[Problem]:
    """What is wrong with an estimate, whose label goes to `labels`, wherever it lies."""
    if not file.endswith(SUFFIX):
        yield Problem("stray", file)
        return
    meaning = meaning_of(file, rules.mixtures, rules.labels, rules.form)
    if isinstance(meaning, Problem):
        yield meaning
        return
    if meaning.form != rules.form:
        yield Problem("form", file)
    labels[meaning.mixture].append(meaning.label)
    if len(labels[meaning.mixture]) > rules.slots:
        return  # wrong already, and may have no end
    samples, problems = examine(files, file, rules.rate, rules.mixtures[meaning.mixture])
    yield from problems
    peak = float(np.abs(samples).max(initial=0.0))
    if samples.size and peak == 0:
        yield Problem("silent", file)
    if peak >= FULL_SCALE:  # NaN is not
        yield Problem("full scale", file, f"reaches {peak:.2f}")
