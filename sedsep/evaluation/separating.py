"""What a separator makes of the events that label sources name.

Axes: B batch, K queries, M microphones, L samples, N classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import one_hot_rows
from sedsep.types import Batch

Answers = Mapping[str, Sequence[Sequence[int]]]
"""Label source to the indices of the classes that it names in each mixture of a batch."""

Found = dict[str, Tensor]
"""Waveforms [L] of a mixture by label."""


@torch.inference_mode()
def separate_sources(
    separator: GuidedSeparator, mixture: Tensor, answers: Answers, labels: LabelSet, passes: Sequence[int] = (1,)
) -> dict[tuple[str, int], list[Found]]:
    """Estimates of every mixture for each label source, after each of some refinement passes.

    Spectra and the Stage 2 SED model's answer are computed once for all label sources, a class asked for by several of
    them is separated once, and all passes come from one run of the longest. A separator that answers all queries
    together (its answer to one depends on the others) is asked once a source, and gives no more than it has outputs. A
    class that repeats in a mixture is asked for once.

    Args:
        mixture: [B, M, L]. passes: numbers of passes, in any order.
    """
    if separator.outputs == 1:
        together = zip(*answers.values(), strict=True)
        asked = {tuple(answers): [sorted({index for chosen in item for index in chosen}) for item in together]}
    else:
        asked = {(source,): [list(chosen) for chosen in wanted] for source, wanted in answers.items()}
    found: dict[tuple[str, int], list[Found]] = {}
    for sources, wanted in asked.items():
        slots = max(1, *map(len, wanted)) if separator.outputs == 1 else separator.outputs
        query = one_hot_rows(wanted, slots, len(labels), mixture.device)
        unrolled = separator(mixture, query, max(passes)).passes
        for source in sources:
            for count in passes:
                found[source, count] = [
                    {labels.names[index]: item[asked_of.index(index)] for index in chosen if index in asked_of[:slots]}
                    for chosen, asked_of, item in zip(answers[source], wanted, unrolled[count - 1], strict=True)
                ]
    return found


def true_sources(batch: Batch, labels: LabelSet) -> list[list[tuple[str, Tensor]]]:
    """The dry sources [L] of every mixture with their labels."""
    return [
        [
            (labels.names[int(one_hot.argmax())], target)
            for one_hot, target in zip(query, targets, strict=True)
            if one_hot.any()
        ]
        for query, targets in zip(batch.query, batch.targets, strict=True)
    ]


def true_classes(batch: Batch) -> list[list[int]]:
    """Indices of the classes that sound in every mixture."""
    return [[int(row.argmax()) for row in query if row.any()] for query in batch.query.cpu()]
