"""All steps in order, after a look at licences and disk space."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sedsep.datasets.challenge.place import AGAIN, Account, Journal, Licence, Place, now
from sedsep.datasets.challenge.steps import Curated, Speech, ZenodoArchive
from sedsep.downloads import check_space
from sedsep.errors import UserError, choice
from sedsep.files import read_json, sole_writer, write_json

Agree = Callable[[Sequence[Licence]], bool]
"""Shows licences and says whether they are accepted."""

log = logging.getLogger(__name__)


class Assembly:
    """The data set, made from its sources.

    Args:
        root: where to.
        steps: by name, in order.
    """

    def __init__(self, root: Path | str, steps: Mapping[str, ZenodoArchive | Speech | Curated]) -> None:
        self.root = Path(root).absolute()
        self.steps = steps

    def run(self, agree: Agree, only: Collection[str] | None = None, keep_archives: bool = False) -> None:
        """Do what is not done yet.

        Args:
            agree: asked about licences that were not accepted before.
            only: names of the steps to look at; `None` takes all.
            keep_archives: leave what was downloaded in `archives`.

        Raises:
            UserError: an unknown step, licences that are not accepted, no room, or whatever keeps a step from its end.
        """
        names = [choice(name, tuple(self.steps), "task.steps") for name in only or self.steps]
        place = Place(self.root, keep_archives)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with sole_writer(self.root):
                journals = {
                    name: Journal(place.journals / f"{name}.json", step.settings()) for name, step in self.steps.items()
                }
                unfinished = [name for name, journal in journals.items() if not journal.finished]
                if todo := [name for name in unfinished if name in names]:
                    self._settle_licences(todo, place, agree)
                    needed = sum(self.steps[name].bytes_needed(place) for name in todo)
                    check_space(self.root, needed, "Preparing the data")
                for number, name in enumerate(todo, 1):
                    log.info("Step %d of %d: %s", number, len(todo), name)
                    self.steps[name].run(place, journals[name])
                    journals[name].finish()
        except OSError as error:
            raise UserError(
                f"{error.filename or self.root} cannot be written ({error.strerror or error}): make room or choose "
                "another place (data.root=PATH), then run this again."
            ) from error
        if left := [name for name in unfinished if name not in names]:
            log.warning("Not prepared yet: %s", ", ".join(left))

    def _settle_licences(self, names: Sequence[str], place: Place, agree: Agree) -> None:
        accepted = read_json(place.licences, dict[str, dict[str, str]], AGAIN) if place.licences.is_file() else {}
        licences = {name: self.steps[name].licence for name in names}
        new = {name: of for name, of in licences.items() if not asdict(of).items() <= accepted.get(name, {}).items()}
        if not new:
            return
        if not agree(list(new.values())):
            raise UserError(
                f"The licences of {', '.join(licence.part for licence in new.values())} are not accepted: read them "
                "and add task.accept_licences=true."
            )
        terms = {name: asdict(licence) | {"accepted": now()} for name, licence in new.items()}
        write_json(place.licences, accepted | terms)


def prepared(root: Path | str) -> Path:
    """The data set that task=prepare made at `root`, or that somebody put there.

    Raises:
        UserError: it is not there, or a step of its preparation was interrupted.
    """
    place = Place(Path(root).absolute())
    if not (place.data / "sound_event").is_dir():
        raise UserError(
            f"{place.root} does not hold the challenge's data yet: run task=prepare first, with the same data and "
            "data.root."
        )
    for path in sorted(place.journals.glob("*.json")):
        if not read_json(path, Account, AGAIN).finished:
            raise UserError(f"The step {path.stem} of preparing {place.root} was interrupted: run task=prepare again.")
    return place.data
