"""Systems from files: `sedsep.load`, and `sedsep.stream` beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor

from sedsep.checkpoints import exported, hub
from sedsep.checkpoints.exported import ExportedSed, ExportedSeparator
from sedsep.checkpoints.finding import BOX, BOX_IS, find
from sedsep.checkpoints.published import PUBLISHED
from sedsep.devices import evaluation_device
from sedsep.errors import UserError
from sedsep.evaluation.scored import scored_with
from sedsep.inference.separator import SceneSeparator
from sedsep.inference.streaming import SceneStream
from sedsep.metrics.registry import BASELINE, TAGGER
from sedsep.types import FloatArray

log = logging.getLogger(__name__)


def load(
    separator: str | Path = BOX,
    tagger: str | Path | None = None,
    device: str | torch.device | None = None,
    chunk_s: float = 10.0,
    cache: Path | None = None,
    threshold: float = 0.5,
    precision: str = "fp32",
) -> SceneSeparator:
    """A system that takes recordings apart.

    Args:
        separator: its checkpoint, an ONNX file that `task=export` wrote, the directory of its run, the name of
            published weights, or a model of the hub: `OWNER/NAME`, or `OWNER/NAME@REVISION`; by default the small one
            that comes with the package.
        tagger: checkpoint of the SED model that names the sounds, given as the separator; by default the one that the
            separator's run was scored with, or that is published or shared with it; where there is none, the
            separator's own Stage 2 SED model, which was trained for guiding and not for naming.
        device: by default the GPU where there is one.
        chunk_s: seconds that are processed at once.
        cache: where published weights and models of the hub are kept; by default as for `run.py`.
        threshold: probability from which sounds are heard, where the separator lies in no run that was scored.
        precision: `fp32`, or `bf16`: faster where the processor or GPU is made for it; spectra and masks stay float32.

    Raises:
        UserError: a checkpoint cannot be had or read, the two do not fit each other, or an unknown precision.
    """
    if cache is None:
        cache = Path(os.environ.get("SEDSEP_CACHE") or platformdirs.user_cache_dir("sedsep"))
    if separator == BOX:
        log.warning(BOX_IS)
    file = find(hub.address(separator), cache)
    if tagger is None and (published := PUBLISHED.get(str(separator))):
        tagger = published.tagger
    network, labels = exported.network(file, "separator")
    scored = scored_with(file)
    tagger_file, lack = None if tagger is None else find(hub.address(tagger), cache), None
    if tagger_file is None and scored is not None:
        try:
            tagger_file = scored.tagger(TAGGER) or scored.tagger(BASELINE)
        except UserError as error:  # sounds that are named need none
            lack = str(error)
    sed = None if tagger_file is None else exported.network(tagger_file, "sed", labels)[0]
    if precision != "fp32" and any(isinstance(one, ExportedSed | ExportedSeparator) for one in (network, sed)):
        raise UserError(f"precision={precision} is none of exported networks, which compute in float32: leave it out.")
    threshold = threshold if scored is None else scored.threshold
    device = device or evaluation_device()
    return SceneSeparator(network, labels, sed, chunk_s, device, threshold, tagger_file, lack, precision)


def stream(
    separator: SceneSeparator | str | Path, blocks: Iterable[FloatArray | Tensor], sample_rate: int, **request: Any
) -> SceneStream:
    """Take sound apart while it arrives: `SceneSeparator.stream` of a system, or of one that `load` makes.

    Args:
        separator: the system, or what `load` takes.
        blocks: samples [f] or [channels, f], of any length.
        sample_rate: Hz.
        request: further arguments of `SceneSeparator.stream`.

    Raises:
        UserError: as `load` and `SceneSeparator.stream`.
    """
    system = separator if isinstance(separator, SceneSeparator) else load(separator)
    return system.stream(blocks, sample_rate, **request)
