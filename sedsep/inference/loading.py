"""A system from its checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import torch

from sedsep import checkpoints
from sedsep.checkpoints.published import locate
from sedsep.devices import evaluation_device
from sedsep.inference.separator import SceneSeparator
from sedsep.labels import LabelSet
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel


def load(
    separator: str | Path,
    tagger: str | Path | None = None,
    device: str | torch.device | None = None,
    chunk_s: float = 10.0,
    cache: Path | None = None,
) -> SceneSeparator:
    """A system that takes recordings apart.

    Args:
        separator: its checkpoint, or the name of a published one.
        tagger: checkpoint of the SED model that names the sounds; without one the separator's own Stage 2 SED model
            does, which was trained for guiding and not for naming.
        device: by default the GPU where there is one.
        chunk_s: seconds that are processed at once.
        cache: where published weights are kept; by default as for `run.py`.

    Raises:
        UserError: a checkpoint cannot be had or read, or the two do not fit each other.
    """
    if cache is None:
        cache = Path(os.environ.get("SEDSEP_CACHE") or platformdirs.user_cache_dir("sedsep"))
    loaded = checkpoints.load(locate(separator, cache), "separator")
    labels = LabelSet(loaded.description.labels)
    sed = None if tagger is None else checkpoints.load(locate(tagger, cache), "sed", labels).network
    assert isinstance(loaded.network, GuidedSeparator)
    assert sed is None or isinstance(sed, SedModel)
    return SceneSeparator(loaded.network, labels, sed, chunk_s, device or evaluation_device())
