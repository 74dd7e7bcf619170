"""Several networks in the place of one: the mean of separators' estimates, and of SED models' probabilities.

Axes: B mixtures, M microphones, L samples, K queries or tracks of a mixture, N classes, S SED frames, E members.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.checkpoints.exported import ExportedSed, ExportedSeparator
from sedsep.errors import UserError
from sedsep.losses import in_best_order, within_classes
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.models.tracks import anywhere
from sedsep.types import Guidance, SedOutput, Separation


class SedEnsemble(nn.Module):
    """SED models in the place of one that listens: what they give is the mean of their probabilities.

    The tracks of models that name sources one by one are in no order: those of each are matched to the first one's.

    Args:
        members: the models.

    Raises:
        UserError: models of different rates, or of which only some name sources one by one, or not as many.
    """

    def __init__(self, members: Sequence[SedModel | ExportedSed]) -> None:
        super().__init__()
        self.members: Any = nn.ModuleList(members)
        self.input_rate = _agreed(members, "input_rate", "sample rate")
        self.shortest, self.longest = _lengths(members)
        if len({len(member.tracks.tracks) if isinstance(member, SedModel) and member.tracks else 0
                for member in members}) > 1:  # fmt: skip
            raise UserError(
                "Taggers that name sources one by one have no mean with others, nor with those of another number of "
                "tracks: give taggers of one kind."
            )

    def forward(self, mixture: Tensor) -> SedOutput:
        """Detect events in [B, M, L]; layer features, which only guide one's own separator, are left out."""
        outputs = [member(mixture) for member in self.members]
        clip, tracks = torch.stack([output.clip_probabilities for output in outputs]).mean(0), None
        if outputs[0].tracks is not None:
            tracks = mean_tracks([output.tracks for output in outputs])
            clip = anywhere(tracks)
        strong = [output.strong_logits for output in outputs if output.strong_logits is not None]
        return SedOutput(clip, _mean_logits(strong) if strong else None, tracks=tracks)


class SeparatorEnsemble(nn.Module):
    """Separators with their guides in the place of one: what they give is the mean of their estimates.

    All are asked the same. Where a query names a class twice, its estimates are in no order: those of each separator
    are matched to the first one's.

    Args:
        members: the separators.

    Raises:
        UserError: separators of different rates, microphones, outputs or passes.
    """

    def __init__(self, members: Sequence[GuidedSeparator | ExportedSeparator]) -> None:
        super().__init__()
        self.members: Any = nn.ModuleList(members)
        self.input_rate = _agreed(members, "input_rate", "sample rate")
        self.microphones = _agreed(members, "microphones", "number of microphones")
        self.classes = _agreed(members, "classes", "number of classes")
        self.outputs = _agreed(members, "outputs", "number of outputs")
        self.trained_passes = _agreed(members, "trained_passes", "number of refinement passes")
        self.iters = min(member.iters for member in members)
        self.stride = math.lcm(*(member.stride for member in members))
        self.shortest, self.longest = _lengths(members)
        listeners = [member.sed for member in members if member.sed is not None]
        self.sed = SedEnsemble(listeners) if listeners else None

    def check_passes(self, passes: int | None) -> None:
        """Refuse passes that one of them cannot do.

        Raises:
            UserError: others were asked for.
        """
        for member in self.members:
            member.check_passes(passes)

    def listen(self, mixture: Tensor) -> Guidance:
        """What each guide says of [B, M, L]."""
        return [member.listen(mixture) for member in self.members]

    def forward(
        self, mixture: Tensor, query: Tensor, passes: int | None = None, guidance: Guidance = None
    ) -> Separation:
        """See `GuidedSeparator.forward`; `guidance` is what each of the guides gave, as `listen`."""
        each = guidance if isinstance(guidance, list) else [None] * len(self.members)
        answers = [
            member(mixture, query, passes, heard).passes for member, heard in zip(self.members, each, strict=True)
        ]
        means = [self._mean(estimates, query) for estimates in zip(*answers, strict=True)]
        return Separation(means[-1], means)

    def _mean(self, estimates: Sequence[Tensor], query: Tensor) -> Tensor:
        first, *others = estimates
        if self.outputs > 1:
            others = [matched(first, other, query) for other in others]
        return torch.stack([first, *others]).mean(0)


AnySed = SedModel | ExportedSed | SedEnsemble
AnySeparator = GuidedSeparator | ExportedSeparator | SeparatorEnsemble


def combined(networks: Sequence[Any]) -> Any:
    """One network as it is; of several, SED models or separators, their ensemble."""
    if len(networks) == 1:
        return networks[0]
    separators = isinstance(networks[0], GuidedSeparator | ExportedSeparator)
    return (SeparatorEnsemble if separators else SedEnsemble)(networks)


def check_classes(classes: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
    """Refuse members of different classes.

    Args:
        classes: those of each member with its file.

    Raises:
        UserError: they differ, or are in another order.
    """
    (first, names), *others = classes
    for file, theirs in others:
        if theirs != names:
            odd = sorted(set(theirs) ^ set(names))
            raise UserError(
                f"{file} and {first} have no mean, for their classes differ "
                f"({', '.join(odd[:5]) or 'in their order'}): give networks that were trained on the same ones."
            )


def matched(first: Tensor, other: Tensor, query: Tensor) -> Tensor:
    """Estimates [B, K, L], those of one class in the order in which they are most like the first ones.

    Args:
        first: what to match [B, K, L].
        other: what is put in order [B, K, L].
        query: that both answer, one-hot [B, K, N].
    """
    alike = F.normalize(first.float(), dim=-1) @ F.normalize(other.float(), dim=-1).mT
    return _reordered(other, in_best_order(within_classes(-alike, query))[1])


def mean_tracks(logits: Sequence[Tensor]) -> Tensor:
    """The mean of tracks [B, K, N + 1], as logarithms of probabilities.

    The tracks of each are matched to the first's; they come in the order of their mean places, of two at one place
    the surer one first: so the first of two models is no other than the second.

    Args:
        logits: of each model.
    """
    first, *others = (each.float().log_softmax(-1) for each in logits)
    together, place = [first], torch.arange(first.shape[1], device=first.device).expand(first.shape[:2])
    for other in others:
        order = in_best_order(-first.exp() @ other.exp().mT)[1]
        together.append(_reordered(other, order))
        place = place + order
    mean = torch.stack(together).logsumexp(0) - math.log(len(together))
    return _reordered(mean, (place - mean.exp().amax(-1) / 2).argsort(1))


def _reordered(rows: Tensor, order: Tensor) -> Tensor:
    """Rows [B, K, L] in an order [B, K]."""
    return rows.gather(1, order[..., None].expand_as(rows))


def _mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """The logits [B, N, S] of the mean probability, all stretched to the frames of the first; exact where they are
    alike, and finite where a probability rounds to 1."""
    frames = logits[0].shape[-1]
    stacked = torch.stack(
        [each if each.shape[-1] == frames else F.interpolate(each, frames, mode="linear") for each in logits]
    )
    return F.logsigmoid(stacked).logsumexp(0) - F.logsigmoid(-stacked).logsumexp(0)


def _agreed(members: Sequence[Any], name: str, what: str) -> int:
    """A number that members must have in common.

    Raises:
        UserError: they have not.
    """
    values = [getattr(member, name) for member in members]
    if len(set(values)) > 1:
        raise UserError(
            f"The networks of an ensemble need the same {what}, and these have {', '.join(map(str, values))}: give "
            "others."
        )
    return values[0]


def _lengths(members: Sequence[Any]) -> tuple[int, int | None]:
    """Samples of the shortest and of the longest clip that all can hear."""
    limits = [member.longest for member in members if member.longest is not None]
    return max(member.shortest for member in members), min(limits, default=None)
