"""The classes a system knows, their one-hot rows, and how labels are chosen from probabilities.

Axes: B batch, K slots, N classes, S SED frames.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sedsep.errors import UserError, printable
from sedsep.labelling import Expected, PerClass, likeliest
from sedsep.types import Batch, SedOutput

SILENCE = "silence"
"""Pads the slots of a scene that holds fewer events than slots; never a class."""


MOST_CLASSES = 10_000
LONGEST_NAME = 64


def class_name(name: object) -> str:
    """The name itself, if it may be one of a class: it is also a folder's, part of files' and a value of the config.

    Raises:
        ValueError: says what such a name is like.
    """
    if not isinstance(name, str):
        raise ValueError("the name of a class is a text")
    if not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(f"the name of a class has 1 to {LONGEST_NAME} letters")
    if not name.isprintable() or name.startswith(".") or any(letter in "/\\" for letter in name):
        raise ValueError("the name of a class is printable, has no / or \\ and does not begin with a dot")
    if "${" in name or name == "???":
        raise ValueError("the name of a class means nothing to the config, as ${...} and ??? do")
    return name


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of class names.

    Args:
        names: unique class names, without `silence`; their order is the order of the one-hot entries.

    Raises:
        UserError: no names or too many, a name twice or one that cannot be, or `silence` among them.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if not self.names:
            raise UserError("The label set is empty: name at least one class.")
        if len(self.names) > MOST_CLASSES:
            raise UserError(f"The label set has {len(self.names)} names: {MOST_CLASSES} classes are the most.")
        for name in self.names:
            try:
                class_name(name)
            except ValueError as error:
                raise UserError(f"The label set has the name {printable(repr(name), 80)}, but {error}.") from error
        if twice := sorted(name for name, count in Counter(self.names).items() if count > 1):
            raise UserError(f"The label set names {', '.join(twice)} more than once: each class may appear once.")
        if SILENCE in self.names:
            raise UserError(f"The label set names '{SILENCE}', which pads empty slots: remove it from the classes.")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._indices

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """The position of class `name`; a `UserError` with the nearest names when there is none."""
        if name not in self._indices:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}, or another of" if near else "choose one of"
            raise UserError(f"The label '{name}' is not among the {len(self)} classes: {hint} {', '.join(self.names)}?")
        return self._indices[name]

    def one_hot(self, names: Iterable[str]) -> Tensor:
        """Float32 rows [len(names), N]; `silence` gives a row of zeros."""
        names = list(names)
        rows = torch.zeros(len(names), len(self))
        for row, name in enumerate(names):
            if name != SILENCE:
                rows[row, self.index(name)] = 1.0
        return rows


@dataclass(frozen=True)
class LabelRule:
    """Which classes a clip is said to hold.

    Args:
        threshold: probability from which a class is named.
        at_least: the likeliest so many are named where fewer reach the threshold.
        at_most: the likeliest so many are named where more reach it; `None` for all.
        labelling: fitted on validation scenes, which chooses in the threshold's place; `None` for the threshold.
    """

    threshold: float = 0.5
    at_least: int = 1
    at_most: int | None = None
    labelling: PerClass | Expected | None = None


def choose_labels(probabilities_bn: Tensor, rule: LabelRule) -> list[list[int]]:
    """Class indices of every clip, most probable first, from the probabilities [B, N]."""
    if rule.labelling is not None:
        return rule.labelling.choose(probabilities_bn, rule.at_least, rule.at_most)
    return likeliest(probabilities_bn, rule.threshold, rule.at_least, rule.at_most)


def named_classes(output: SedOutput, rule: LabelRule) -> list[list[int]]:
    """Class indices of the sources that a tagger names in every clip.

    Args:
        output: of the tagger. Where it names sources one by one, a class may repeat, and there may be none.
        rule: for taggers that give probabilities of classes.
    """
    return [[index for index, _ in clip] for clip in named_sources(output, rule)]


def named_sources(output: SedOutput, rule: LabelRule) -> list[list[tuple[int, float]]]:
    """The same with the probability of each: the largest of its track, or else that of its class in the clip."""
    if output.tracks is None:
        chosen = choose_labels(output.clip_probabilities, rule)
        clips = zip(output.clip_probabilities.tolist(), chosen, strict=True)
        return [[(index, probabilities[index]) for index in indices] for probabilities, indices in clips]
    silence = output.tracks.shape[-1] - 1
    clips = zip(output.tracks.argmax(-1).tolist(), output.tracks.softmax(-1).amax(-1).tolist(), strict=True)
    return [[track for track in zip(*clip, strict=True) if track[0] != silence] for clip in clips]


def each_once(named: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Classes with their largest probability, each once: for separators with one answer a class."""
    largest: dict[int, float] = {}
    for index, probability in named:
        largest[index] = max(probability, largest.get(index, 0.0))
    return list(largest.items())


def frame_labels(batch: Batch, frames: int) -> Tensor:
    """Activity of every class in every frame: spans in samples, scaled to frames and rounded, at least one frame each.

    Args:
        batch: scenes.
        frames: S.

    Returns:
        0 or 1 [B, N, S].
    """
    length = batch.mixture.shape[-1]
    bounds_bk2 = (batch.spans.double() * frames / length).round().long()
    onset = bounds_bk2[..., 0].clamp(0, frames - 1)
    offset = torch.maximum(bounds_bk2[..., 1], onset + 1)
    frame = torch.arange(frames, device=batch.spans.device)
    active_bks = (frame >= onset[..., None]) & (frame < offset[..., None])
    return torch.einsum("bkn,bks->bns", batch.query, active_bks.to(batch.query.dtype)).clamp_max(1.0)
