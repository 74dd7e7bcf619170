"""A submission to the challenge: `<Author>_<Affiliation>_task4_<n>_out.zip`, the estimates of every mixture.

Axes: B batch, M microphones, L samples.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from sedsep.errors import UserError
from sedsep.evaluation.estimates import SUFFIX, Files, encode, examine, file_names, meanings, mixture_of
from sedsep.evaluation.separating import separate
from sedsep.labels import LabelRule, LabelSet, choose_labels
from sedsep.metrics.registry import TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.types import Sources

NAME = re.compile(r"[A-Za-z0-9-]+_[A-Za-z0-9-]+_task4_[1-9][0-9]*_out\.zip")
LEFT_BEHIND = {"__MACOSX", "Thumbs.db", "desktop.ini"}
FULL_SCALE = 1 - 2**-15
"""The largest sample of a 16-bit file."""

ERRORS = {
    "name": "not called <Author>_<Affiliation>_task4_<n>_out.zip",
    "empty": "no estimates at all",
    "folder": "in a folder, not at the top level",
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
}
WARNINGS = {
    "silent": "silent",
    "full scale": "at full scale or beyond, where other formats clip",
    "missing": "mixtures without estimates",
}
"""What can be the matter, and how a table calls it."""


@dataclass(frozen=True)
class Rules:
    """What estimates must keep to.

    Attributes:
        mixtures: name to samples. labels: the classes. rate: Hz. form: of the file names. slots: sources at most.
    """

    mixtures: Mapping[str, int]
    labels: LabelSet
    rate: int
    form: str
    slots: int


@dataclass(frozen=True)
class Problem:
    """Something that is the matter with a submission.

    Attributes:
        kind: of `ERRORS` or `WARNINGS`. item: the file or the mixture. text: more, to be read after it.
    """

    kind: str
    item: str
    text: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a submission holds.

    Attributes:
        labels: of each mixture's estimates. problems: everything that is the matter.
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


def zip_name(author: str, affiliation: str, number: int) -> str:
    """The name of a submission.

    Raises:
        UserError: it would not be one that the challenge takes.
    """
    name = f"{author}_{affiliation}_task4_{number}_out.zip"
    if not NAME.fullmatch(name):
        raise UserError(
            f"The submission would be called {name}: give task.author and task.affiliation of letters and digits, and "
            "a task.number from 1."
        )
    return name


@torch.inference_mode()
def separated(
    mixture: Tensor, tagger: SedModel, separator: GuidedSeparator, labels: LabelSet, rule: LabelRule
) -> list[Sources]:
    """Labels and waveforms [L] of each of some mixtures, as they are scored under the tagger's labels.

    Args:
        mixture: [B, M, L].
        tagger: in evaluation mode, where the mixture is.
        separator: in evaluation mode, where the mixture is.
        labels: the classes of both.
        rule: how labels are chosen from the tagger's probabilities.
    """
    classes = choose_labels(tagger(mixture).clip_probabilities, rule)
    passes = separator.trained_passes
    estimates = separate(separator, mixture, {TAGGER: classes}, labels, (passes,))[TAGGER, passes]
    return [[(label, waveform.cpu()) for label, waveform in sources] for sources in estimates]


def pack(path: Path, answers: Iterable[tuple[str, Sequence[tuple[str, Tensor]]]], rate: int, form: str) -> None:
    """Write a zip of estimates, as they come.

    Args:
        answers: names of mixtures, with labels and waveforms [L].

    Raises:
        UserError: a label repeats in form 2025.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for mixture, estimates in answers:
            files = file_names(mixture, [label for label, _ in estimates], form)
            for file, (_, waveform) in zip(files, estimates, strict=True):
                archive.writestr(file, encode(waveform, rate))


def check(
    path: Path, rules: Rules, name: str | None = None, watch: Callable[[int, int], None] = lambda done, files: None
) -> Verdict:
    """Everything that is the matter with a submission, all of it at once.

    Args:
        path: a zip, or a folder of what is to be zipped. name: that the zip will have, where it has another yet.
        watch: told how many files of how many have been looked at.

    Raises:
        UserError: there is neither a zip nor a folder.
    """
    files = Files(path)
    verdict = Verdict({mixture: [] for mixture in rules.mixtures})
    if not path.is_dir() and not NAME.fullmatch(name or path.name):
        verdict.problems.append(Problem("name", name or path.name))
    for done, file in enumerate(files.names):
        watch(done, len(files.names))
        verdict.problems.extend(_place(file))
        if not _is_hidden(file):
            verdict.problems.extend(_file(files, file, rules, verdict.labels))
    verdict.problems.extend(_whole(files, rules, verdict.labels))
    return verdict


def _place(file: str) -> Iterator[Problem]:
    if _is_hidden(file):
        yield Problem("hidden", file)
    elif "/" in file:
        yield Problem("folder", file)


def _is_hidden(file: str) -> bool:
    parts = PurePosixPath(file).parts
    return any(part.startswith(".") for part in parts) or not LEFT_BEHIND.isdisjoint(parts)


def _file(files: Files, file: str, rules: Rules, labels: Mapping[str, list[str]]) -> Iterator[Problem]:
    """What is wrong with an estimate, which goes to `labels`, wherever it lies."""
    name = PurePosixPath(file).name
    meant = meanings(name, rules.mixtures, rules.labels) if name.endswith(SUFFIX) else []
    expected = [meaning for meaning in meant if meaning.form == rules.form]
    if len(expected) > 1:
        one, other = expected[:2]
        yield Problem("ambiguous", file, f"is {one.label} of {one.mixture} or {other.label} of {other.mixture}")
    elif not meant:
        mixture = mixture_of(name, rules.mixtures) if name.endswith(SUFFIX) else None
        yield Problem("label", file, f"of {mixture}") if mixture else Problem("stray", file)
    else:
        if not expected:
            yield Problem("form", file)
        meaning = (expected or meant)[0]
        labels[meaning.mixture].append(meaning.label)
        yield from _content(files, file, rules, rules.mixtures[meaning.mixture])


def _content(files: Files, file: str, rules: Rules, length: int) -> Iterator[Problem]:
    samples, faults = examine(files, file, rules.rate, length)
    yield from (Problem(fault.kind, file, fault.text) for fault in faults)
    peak = float(np.abs(samples).max(initial=0.0))
    if samples.size and peak == 0:
        yield Problem("silent", file)
    if peak >= FULL_SCALE:  # NaN is not
        yield Problem("full scale", file, f"reaches {peak:.2f}")


def _whole(files: Files, rules: Rules, labels: Mapping[str, list[str]]) -> Iterator[Problem]:
    """What is wrong with all files together."""
    names = Counter(PurePosixPath(file).name for file in files.names if not _is_hidden(file))
    yield from (Problem("repeated", name, f"is there {count} times") for name, count in names.items() if count > 1)
    for mixture, chosen in labels.items():
        if len(chosen) > rules.slots:
            yield Problem("sources", mixture, f"has {len(chosen)}, not {rules.slots} at most")
    if not any(labels.values()):
        yield Problem("empty", files.path.name)
    else:
        yield from (Problem("missing", mixture) for mixture, chosen in labels.items() if not chosen)
