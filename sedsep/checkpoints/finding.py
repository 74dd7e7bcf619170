"""Which file a person means by a checkpoint: a path, published weights, or a model that somebody shares."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from sedsep.checkpoints import hub
from sedsep.checkpoints.conversion import convert
from sedsep.checkpoints.published import PUBLISHED, PublishedWeights, fetch, locate
from sedsep.files import sole_writer

log = logging.getLogger(__name__)

T = TypeVar("T")

BOX = Path(__file__).parents[1] / "box"
"""The model that comes with the package, a shared one: `experiment=box` and `task=publish` made it."""
BOX_IS = (
    "The model in the box is a toy that learned from made-up sounds of 18 classes: in 75.0 % of such scenes it names "
    "all rightly, CA-SDRi is 8.84 dB; in recordings it is mostly wrong. ckpt=baseline_resunetk fetches a model that "
    "learned from recordings."
)
"""What is said whenever it is used."""


def find(source: str | Path, cache: Path) -> Path:
    """The checkpoint of ours that `source` means.

    Args:
        source: a file; the directory of a run, or of a shared model; the name of published weights, which are
            downloaded and converted once; or a model of the hub (`hf:OWNER/NAME@REVISION`), which is fetched once.
        cache: the directory that runs share.

    Raises:
        UserError: it means none, or what it means cannot be had or converted.
    """
    if str(source).startswith(hub.PREFIX):
        return locate(hub.fetch(str(source), cache), cache)
    if (item := PUBLISHED.get(str(source))) and not Path(source).exists():
        return _converted(item, cache)
    return locate(source, cache)


def find_all(sources: str | Path | Iterable[str | Path], cache: Path) -> list[Path]:
    """The checkpoints that a source means, or each of several.

    Args:
        sources: as `find` takes one, or several.
        cache: the directory that runs share.

    Raises:
        UserError: as `find`.
    """
    return [find(source, cache) for source in each(sources)]


def each(sources: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """Sources of checkpoints, of which one may stand alone."""
    return [sources] if isinstance(sources, str | Path) else list(sources)


def one_or_all(accounts: Sequence[T]) -> T | list[T] | None:
    """What is written down of the members of an ensemble: a list, but of one alone itself, and of none `None`."""
    return list(accounts) if len(accounts) > 1 else accounts[0] if accounts else None


def _converted(item: PublishedWeights, cache: Path) -> Path:
    """Published weights as a checkpoint of ours, which is kept beside them."""
    target = item.path(cache).with_name(f"{item.name}.sedsep.ckpt")
    if target.is_file():
        return target
    source = fetch(item, cache)
    with sole_writer(target):
        if not target.is_file():  # another process may have been faster
            from sedsep.runs.command_line.composing import our_configs  # Hydra: seconds that loading need not take

            with our_configs():
                convert(source, target)
            log.info("%s (%s) is fetched, checked, converted and kept: %s", item.name, item.page, target)
    return target
