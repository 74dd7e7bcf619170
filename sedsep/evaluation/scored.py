"""What a run was scored with: its `evaluation.json` says so to whoever uses its model afterwards.

A shared model's `config.json` says the same of it. Both may be a stranger's. What they say is data, and leads to
nothing but checkpoints that are those it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sedsep.checkpoints import hub
from sedsep.errors import UserError, printable, reason
from sedsep.files import read_json
from sedsep.fingerprint import fingerprint
from sedsep.labelling import Expected, Labelling, PerClass
from sedsep.metrics.registry import SCORE_FILES

ACCOUNT = SCORE_FILES[1]
ADVICE = "remove that file, and give tagger.ckpt=PATH and task.threshold=NUMBER"

SUFFIXES = (".ckpt", ".safetensors", ".pt", ".pth")
"""Of weight files."""


@dataclass(frozen=True)
class TaggerFile:
    """The checkpoint of a tagger.

    Attributes:
        checkpoint: its absolute path.
        digest: of its content.
    """

    checkpoint: str
    digest: str

    @classmethod
    def of(cls, checkpoint: Path) -> TaggerFile:
        """The account of a file."""
        return cls(str(checkpoint.absolute()), fingerprint(checkpoint))


@dataclass(frozen=True)
class Fitted:
    """What was fitted on validation scenes.

    Attributes:
        labelling: how labels were chosen, by label source; of none, by one threshold.
    """

    labelling: dict[str, Labelling] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredWith(Fitted):
    """What a run was scored with.

    Attributes:
        threshold: probability from which a tagger named a class.
        taggers: that it was scored or trained with, by their options.
    """

    threshold: Annotated[float, Field(ge=0, le=1)] = field(kw_only=True)
    taggers: dict[str, TaggerFile] = field(default_factory=dict)

    def labelling_for(self, option: str, tagger: Path) -> PerClass | Expected | None:
        """How labels of a tagger are chosen; `None` by a threshold, and where the run was scored with another one.

        Args:
            option: `tagger` or `baseline`.
            tagger: its checkpoint; that of the run itself where it is of a tagger.
        """
        if option in self.taggers and self.taggers[option].digest != fingerprint(tagger):
            return None
        return self.labelling.get(option)

    def tagger(self, option: str) -> Path | None:
        """The checkpoint of a tagger; `None` where the run had none.

        Args:
            option: `tagger` or `baseline`.

        Raises:
            UserError: it is not there any more, or is another file by now.
        """
        if option not in self.taggers:
            return None
        account = self.taggers[option]
        path, name = Path(account.checkpoint), printable(account.checkpoint)
        try:
            if not path.is_absolute() or path.suffix not in SUFFIXES:
                problem = "is no path of a checkpoint"
            elif not path.is_file():
                problem = "is not there any more"
            elif fingerprint(path) != account.digest:
                problem = "is another file by now"
            else:
                return path
        except OSError as error:
            problem = f"cannot be read ({reason(error)})"
        raise UserError(f"{name}, the {option} that the run was scored with, {problem}: give {option}.ckpt=PATH.")


def scored_with(checkpoint: Path) -> ScoredWith | None:
    """What the run, or the shared model, that a checkpoint lies in was scored with; `None` where it lies in none.

    Args:
        checkpoint: the file, `<run directory>/checkpoints/<model>/<name>.ckpt` where a run wrote it.

    Raises:
        UserError: the run's account of it is damaged.
    """
    if checkpoint.name == hub.MODEL and (account := checkpoint.with_name(hub.ACCOUNT)).is_file():
        shared, tagger = read_json(account, ScoredWith, ADVICE), checkpoint.with_name(hub.TAGGER).absolute()
        taggers = {option: replace(file, checkpoint=str(tagger)) for option, file in shared.taggers.items()}
        return replace(shared, taggers=taggers)  # whatever path it says
    folder = run_of(checkpoint)
    if folder is None or not (folder / ACCOUNT).exists():
        return None
    return read_json(folder / ACCOUNT, ScoredWith, ADVICE)


def labelling_of(separators: Sequence[Path], taggers: Sequence[Path]) -> PerClass | Expected | None:
    """How labels of a tagger are chosen: as it was scored with a separator, or else by itself; `None` by a threshold.

    Averaged probabilities of several taggers are by a threshold: what was fitted for one is for that one alone.

    Args:
        separators: the checkpoints of the separator, or of the members of an ensemble.
        taggers: the same of the tagger.

    Raises:
        UserError: the account of a run is damaged.
    """
    if len(taggers) != 1:
        return None
    (tagger,) = taggers
    for scored in filter(None, map(scored_with, (*separators, tagger))):
        for option in scored.labelling:
            if fitted := scored.labelling_for(option, tagger):
                return fitted
    return None


def run_of(checkpoint: Path) -> Path | None:
    """The run directory that a checkpoint lies in; `None` where it lies in none."""
    parents = checkpoint.absolute().parents
    return parents[2] if len(parents) > 2 and parents[1].name == "checkpoints" else None
