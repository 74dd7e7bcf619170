"""Small systems on disk and in memory: networks of `minis` with weights that are shaken, not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from minis import BACKBONE, BODY, CLASSES, FRONTEND, LABELS, RATE, SEPARATOR, shaken

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.inference import SceneSeparator
from sedsep.models import GuidedSeparator, SedModel

SED = {
    "_target_": "sedsep.models.SedModel",
    "classes": CLASSES,
    "frame_s": 0.02,
    "backbone": {
        "_target_": "sedsep.models.M2d",
        "frontend": {"_target_": "sedsep.models.LogMel", "input_rate": RATE, **FRONTEND},
        **BACKBONE,
    },
}
TIME_FILM = {"_target_": "sedsep.conditioning.TimeFilm", "_partial_": True}
SOUNDBEAM = {"_target_": "sedsep.conditioning.Soundbeam", "_partial_": True}
ATTENTION = {
    "widths": [4, 8],
    "body": {"_target_": "sedsep.models.TfAttention", "_partial_": True, **BODY},
    "features": ["magnitude", "intensity", "phase"],
}
GUIDED = {"time_film": TIME_FILM, "injection": SOUNDBEAM}


def separator_config(**changes: Any) -> dict[str, Any]:
    """A separator with what `changes` add; guided where they ask for it."""
    guided = any(changes.get(part) for part in GUIDED)
    return {
        "_target_": "sedsep.models.GuidedSeparator",
        "sed": SED if guided else None,
        "separator": {"_target_": "sedsep.models.Separator", "_partial_": True, **SEPARATOR, **changes},
    }


def make(config: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return shaken(instantiate(config, _convert_="all"), seed)


def system(chunk_s: float = 10.0, tagger: SedModel | None = None, **changes: Any) -> SceneSeparator:
    network = make(separator_config(**changes))
    assert isinstance(network, GuidedSeparator)
    return SceneSeparator(network, LABELS, tagger, chunk_s)


def tagger(**changes: Any) -> SedModel:
    return make({**SED, **changes}, seed=1)


def saved(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """The checkpoints of a separator and of a tagger."""
    paths = folder / "separator.ckpt", folder / "tagger.ckpt"
    for path, kind, config, seed in zip(
        paths, ("separator", "sed"), (separator_config(**changes), SED), (0, 1), strict=True
    ):
        checkpoints.save(path, make(config, seed), Description(kind, "mini", config, LABELS.names))
    return paths
