"""Networks and batches small enough to be built anew in every test: 8 kHz, five classes, a quarter of a second."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from sedsep.conditioning import Condition, Host, Maps
from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.models import GuidedSeparator, LogMel, M2d, SedModel, Separator, TfAttention
from sedsep.modules.film import FilmBank, FilmTerm, Site
from sedsep.types import Batch, SedOutput

RATE, MICROPHONES, LENGTH = 8000, 4, 2000
LABELS = LabelSet(("Bell", "Cough", "Dog", "Rain", "Speech"))
CLASSES = len(LABELS)

SEPARATOR = {
    "input_rate": RATE,
    "sample_rate": RATE,
    "microphones": MICROPHONES,
    "classes": CLASSES,
    "n_fft": 64,
    "hop": 32,
    "widths": [4, 6, 8],
    "condition_width": 8,
}
BODY = {"bands": [[4, 4], [2, 8]], "time_stride": 2, "depth": 1, "heads": 2, "hidden": 6, "kernel": 3}
ATTENTION = {"widths": [4, 8], "body": partial(TfAttention, **BODY)}
FRONTEND = {
    "input_rate": RATE,
    "sample_rate": RATE // 2,
    "n_fft": 128,
    "hop": 32,
    "n_mels": 8,
    "f_min": 50,
    "f_max": 2000,
    "mean": -7.0,
    "std": 4.0,
}
BACKBONE = {"unit_frames": 33, "patch": [4, 4], "width": 16, "depth": 2, "heads": 2}


HOST = Host(CLASSES, width=8, sites=[Site(4, 0), Site(6, 1), Site(3, 2)], channels=8, sed_layers=3, sed_width=16)


def told(
    condition: Condition,
    query: Tensor,
    sed: SedOutput | None = None,
    maps: Maps | None = None,
    before: FilmTerm | None = None,
) -> list[FilmTerm]:
    """The FiLM terms of `HOST`'s sites that a condition makes of earlier ones."""
    maps = maps or Maps(16, (4, 2), FilmBank(HOST.width, HOST.sites))
    return condition([before or FilmTerm()] * len(HOST.sites), condition.prepare(query, sed, maps))


def make_separator(**changes: Any) -> Separator:
    return Separator(**(SEPARATOR | changes))


def make_backbone(input_rate: int = RATE, **changes: Any) -> M2d:
    return M2d(LogMel(**(FRONTEND | {"input_rate": input_rate})), **(BACKBONE | changes))


def make_sed(input_rate: int = RATE, **changes: Any) -> SedModel:
    return SedModel(make_backbone(input_rate), **({"classes": CLASSES, "frame_s": 0.02} | changes))


def make_guided(sed: SedModel | None = None, sed_trainable: bool = True, **changes: Any) -> GuidedSeparator:
    return GuidedSeparator(partial(Separator, **(SEPARATOR | changes)), sed, sed_trainable)


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Move every weight and statistic away from its start, where zeros and ones hide mistakes, and set evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return network.eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_hot(rows: Sequence[Sequence[int | None]]) -> Tensor:
    """Queries [B, K, N] of class indices, `None` for silence."""
    names = [["silence" if index is None else LABELS.names[index] for index in row] for row in rows]
    return torch.stack([LABELS.one_hot(row) for row in names])


def make_batch(rows: Sequence[Sequence[int | None]], length: int = LENGTH, seed: int = 0) -> Batch:
    """Scenes whose targets are noise, each sounding from a quarter to three quarters of the clip, and their sum."""
    query = one_hot(rows)
    active = query.any(dim=2)
    targets = noise(*query.shape[:2], length, seed=seed) * active[..., None]
    targets[..., : length // 4] = 0
    targets[..., 3 * length // 4 :] = 0
    gains = torch.linspace(1.0, 0.4, MICROPHONES)[:, None]
    mixture = targets.sum(1, keepdim=True) * gains + 0.1 * noise(len(query), MICROPHONES, length, seed=seed + 1)
    spans = torch.tensor([length // 4, 3 * length // 4]) * active[..., None].long()
    return Batch(mixture, targets, query, spans, [f"scene_{index}" for index in range(len(query))])


@contextmanager
def refused(match: str) -> Iterator[None]:
    """The block must end in a `UserError` of one sentence in which `match` is found."""
    with pytest.raises(UserError, match=match) as caught:
        yield
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert not re.search(r"[.!?]\s|\n", text), f"more than one sentence: {text}"


def fit(
    system: lightning.LightningModule, batches: Sequence[Batch], epochs: int, directory: Path | None = None
) -> lightning.Trainer:
    """Train on the batches and validate on the first one after the last epoch."""
    trainer = lightning.Trainer(
        default_root_dir=directory,
        max_epochs=epochs,
        check_val_every_n_epoch=epochs,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=0.5,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(system, DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None))
    return trainer
