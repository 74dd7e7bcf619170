"""Where Stage 2 gets its labels: the truth, or a tagger whose labels are computed once and kept.

Axes: B batch, M microphones, L samples, N classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sedsep.files import write_json
from sedsep.fingerprint import fingerprint
from sedsep.labels import LabelRule, named_classes
from sedsep.metrics.registry import BASELINE, SELF_GUIDED, STEMS, TAGGER
from sedsep.types import Batch

UNLABELLED = "unlabelled"
"""The option of the separator that makes stems without labels."""

LabelTable = Mapping[str, list[int]]
"""Scene name to the indices of the classes it is said to hold."""


def taggers_among(sources: Sequence[str]) -> list[str]:
    """Those of the label sources that need a SED model.

    Args:
        sources: `task.label_sources`.
    """
    return [source for source in (BASELINE, TAGGER) if source in sources]


def options_among(sources: Sequence[str]) -> list[str]:
    """The options of the networks that label sources need beside the model: taggers, and what makes stems to name.

    Args:
        sources: `task.label_sources`, or `stems`.
    """
    options = taggers_among(sources)
    if not {STEMS, SELF_GUIDED}.isdisjoint(sources):
        options = list(dict.fromkeys([*options, TAGGER, *([UNLABELLED] if SELF_GUIDED in sources else [])]))
    return options


@torch.inference_mode()
def cached_labels(
    model: torch.nn.Module,
    batches: Iterable[Batch],
    rule: LabelRule,
    device: torch.device,
    cache: Path,
    split_key: str,
) -> dict[str, list[int]]:
    """The labels of every scene, computed once for a split's content, a tagger's weights and a rule.

    Args:
        model: the tagger, a SED model; where it is used it moves to the device and is left in evaluation mode.
        batches: the scenes of the split.
        rule: how labels are chosen.
        device: where to compute.
        cache: folder of what was computed.
        split_key: identifies the content of the split.
    """
    path = cache / f"{split_key}-{weights_key(model)}-{fingerprint(asdict(rule))[:16]}.json"
    if path.is_file():
        return json.loads(path.read_text())
    model.to(device).eval()
    table: dict[str, list[int]] = {}
    for batch in batches:
        table.update(zip(batch.names, named_classes(model(batch.mixture.to(device)), rule), strict=True))
    write_json(path, table)
    return table


def weights_key(model: torch.nn.Module) -> str:
    """A short digest of names, shapes and values of every entry of the state dict."""
    entries = (
        fingerprint(name, list(value.shape), value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for name, value in sorted(model.state_dict().items())
    )
    return fingerprint(*entries)[:16]
