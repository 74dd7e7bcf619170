"""Where Stage 2 gets its labels: the truth, or a tagger whose answers are computed once and kept.

Axes: B batch, M microphones, L samples, N classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sedsep.files import write_json
from sedsep.labels import LabelRule, choose_labels
from sedsep.models.sed import SedModel
from sedsep.types import Batch

LabelTable = Mapping[str, list[int]]
"""Scene name to the indices of the classes it is said to hold."""


@torch.inference_mode()
def tag(model: SedModel, batches: Iterable[Batch], device: torch.device) -> dict[str, list[float]]:
    """Clip probabilities [N] of every scene; the model is left in evaluation mode."""
    model = model.to(device).eval()
    table: dict[str, list[float]] = {}
    for batch in batches:
        probabilities = model(batch.mixture.to(device)).clip_probabilities
        table.update(zip(batch.names, probabilities.cpu().tolist(), strict=True))
    return table


def cached_probabilities(
    model: SedModel, batches: Iterable[Batch], device: torch.device, cache: Path, split_key: str
) -> dict[str, list[float]]:
    """`tag`, computed once for a split's content and a tagger's weights, whatever the files are called.

    Args:
        cache: folder of the answers.
        split_key: identifies the content of the split.
    """
    path = cache / f"{split_key}-{weights_key(model)}.json"
    if path.is_file():
        return json.loads(path.read_text())
    table = tag(model, batches, device)
    write_json(path, table)
    return table


def weights_key(model: torch.nn.Module) -> str:
    """A short digest of names, shapes and values of every entry of the state dict."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def labels_of(probabilities: Mapping[str, list[float]], rule: LabelRule) -> dict[str, list[int]]:
    """Query labels of every scene from its clip probabilities."""
    if not probabilities:
        return {}
    stacked: Tensor = torch.tensor(list(probabilities.values()))
    return dict(zip(probabilities, choose_labels(stacked, rule), strict=True))
