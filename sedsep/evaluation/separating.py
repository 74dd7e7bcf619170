"""What a separator makes of the events that label sources name.

Axes: B batch, K queries, M microphones, L samples, N classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor

from sedsep.evaluation.ensemble import AnySeparator
from sedsep.labels import LabelSet
from sedsep.types import Batch, Guidance, Sources


@torch.inference_mode()
def separate(
    network: AnySeparator,
    mixture: Tensor,
    classes: Mapping[str, Sequence[Sequence[int]]],
    labels: LabelSet,
    passes: Sequence[int] = (1,),
    guidance: Guidance = None,
    at_once: int | None = None,
) -> dict[tuple[str, int], list[Sources]]:
    """Estimates of every mixture for each label source, after each of some refinement passes.

    Spectra and the Stage 2 SED model's output are computed once for all label sources, a class that several of them
    name, or one of them twice, is separated once, and all passes come from one run of the longest. A separator with
    several outputs, whose answer to one query depends on the others, is asked once a label source, and again for
    what goes beyond its outputs.

    Args:
        network: separator with its Stage 2 SED model, an exported one, or an ensemble.
        mixture: [B, M, L].
        classes: label source to the indices of the classes that it names in each mixture; they may repeat.
        labels: names of the classes.
        passes: numbers of passes, in any order.
        guidance: the Stage 2 SED model's output, where it has listened already.
        at_once: queries at most of a separator with one output; `None` for all of them.

    Returns:
        By label source and passes: for every mixture its classes' labels with their waveforms [L], in their order.
    """
    outputs = network.outputs
    if outputs == 1:
        every = [sorted(set(chain(*item))) for item in zip(*classes.values(), strict=True)]
        questions = [(tuple(classes), every)]
    else:
        questions = [((source,), [list(item) for item in indices]) for source, indices in classes.items()]
    estimates: dict[tuple[str, int], list[Sources]] = {}
    for sources, indices in questions:
        longest = max([1, *map(len, indices)])
        slots = outputs if outputs > 1 else min(at_once or longest, longest)
        if longest > slots and guidance is None:
            guidance = network.listen(mixture)
        groups = []
        for start in range(0, longest, slots):
            query = one_hot_rows([item[start : start + slots] for item in indices], slots, len(labels), mixture.device)
            groups.append(network(mixture, query, max(passes), guidance).passes)
        for source in sources:
            for count in passes:
                rows_kbl = list(chain.from_iterable(group[count - 1].unbind(1) for group in groups))
                estimates[source, count] = [
                    [
                        (labels.names[index], rows_kbl[asked.index(index) if outputs == 1 else place][item])
                        for place, index in enumerate(chosen)
                    ]
                    for item, (chosen, asked) in enumerate(zip(classes[source], indices, strict=True))
                ]
    return estimates


def one_hot_rows(indices: Sequence[Sequence[int]], slots: int, classes: int, device: torch.device) -> Tensor:
    """Queries [B, slots, N] for the classes of each mixture, zeros in the slots left over."""
    rows = torch.zeros(len(indices), slots, classes, device=device)
    for item, chosen in enumerate(indices):
        for slot, index in enumerate(chosen):
            rows[item, slot, index] = 1.0
    return rows


def true_sources(batch: Batch, labels: LabelSet) -> list[Sources]:
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
