"""Systems from files: `sedsep.load`, and `sedsep.stream` beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import platformdirs
import torch
from torch import Tensor

from sedsep.checkpoints import exported, hub
from sedsep.checkpoints.exported import ExportedSed, ExportedSeparator
from sedsep.checkpoints.finding import BOX, BOX_IS, each, find
from sedsep.checkpoints.published import PUBLISHED
from sedsep.devices import evaluation_device
from sedsep.errors import UserError
from sedsep.evaluation.ensemble import check_classes, combined
from sedsep.evaluation.scored import labelling_of, scored_with
from sedsep.inference.separator import SceneSeparator
from sedsep.inference.streaming import SceneStream
from sedsep.metrics.registry import BASELINE, TAGGER
from sedsep.models.unlabelled import check_asked
from sedsep.types import FloatArray

log = logging.getLogger(__name__)


def load(
    separator: str | Path | Sequence[str | Path] = BOX,
    tagger: str | Path | Sequence[str | Path] | None = None,
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
            that comes with the package. Of several the estimates are averaged.
        tagger: checkpoint of the SED model that names the sounds, given as the separator; by default the one that the
            separator's run was scored with, or that is published or shared with it; where there is none, the
            separator's own Stage 2 SED model, which was trained for guiding and not for naming. Of several the
            probabilities are averaged.
        device: by default the GPU where there is one.
        chunk_s: seconds that are processed at once.
        cache: where published weights and models of the hub are kept; by default as for `run.py`.
        threshold: probability from which sounds are heard, where the separator lies in no run that was scored; of
            several separators in runs it is the mean of theirs.
        precision: `fp32`, or `bf16`: faster where the processor or GPU is made for it; spectra and masks stay float32.

    Raises:
        UserError: a checkpoint cannot be had or read, networks do not fit each other, or an unknown precision.
    """
    if cache is None:
        cache = Path(os.environ.get("SEDSEP_CACHE") or platformdirs.user_cache_dir("sedsep"))
    sources = each(separator)
    if BOX in sources:
        log.warning(BOX_IS)
    files = [find(hub.address(one), cache) for one in sources]
    networks = [exported.network(file, "separator") for file in files]
    for network, _ in networks:
        check_asked(network)
    check_classes([(file, theirs.names) for file, (_, theirs) in zip(files, networks, strict=True)])
    labels, scored, lack = networks[0][1], [account for file in files if (account := scored_with(file))], None
    names = [item.tagger for one in sources if (item := PUBLISHED.get(str(one))) and item.tagger]
    tagger_files = [find(hub.address(one), cache) for one in (names if tagger is None else each(tagger))]
    if tagger is None:
        try:
            theirs = [account.tagger(TAGGER) or account.tagger(BASELINE) for account in scored]
            tagger_files += dict.fromkeys(file for file in theirs if file is not None)
        except UserError as error:  # sounds that are named need none
            lack = str(error)
    taggers = [exported.network(file, "sed", labels)[0] for file in tagger_files]
    parts = [*(network for network, _ in networks), *taggers]
    if precision != "fp32" and any(isinstance(one, ExportedSed | ExportedSeparator) for one in parts):
        raise UserError(f"precision={precision} is none of exported networks, which compute in float32: leave it out.")
    if scored:
        threshold = fmean(account.threshold for account in scored)
    labelling = labelling_of(files, tagger_files)
    network, sed = combined([network for network, _ in networks]), combined(taggers) if taggers else None
    device = device or evaluation_device()
    return SceneSeparator(network, labels, sed, chunk_s, device, threshold, tagger_files, lack, precision, labelling)


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
