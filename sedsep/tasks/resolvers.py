"""Interpolations that the configs use; registered when the tasks are imported, so every process has them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any

import platformdirs
from omegaconf import ListConfig, OmegaConf


def register() -> None:
    """Make the resolvers known to OmegaConf; harmless when repeated."""
    for name, function, use_cache in (
        ("len", _length, False),
        ("nth", _nth, False),
        ("equal", lambda one, other: one == other, False),
        ("run_id", lambda: secrets.token_hex(2), True),  # two runs of one second get directories of their own
        ("cache_dir", lambda: platformdirs.user_cache_dir("sedsep"), False),
        ("folder_labels", _folder_labels, False),
    ):
        OmegaConf.register_new_resolver(name, function, use_cache=use_cache, replace=True)


def _length(items: Sized) -> int:
    return len(items)


def _nth(items: Sequence[Any], index: int) -> Any:
    """An entry of a list; beyond its end, the last one."""
    return items[min(index, len(items) - 1)]


def _folder_labels(root: str, sample_rate: int, microphones: int) -> ListConfig:
    from sedsep.scenes.layout import Layout  # brings torch along: a second that `--help` need not take

    # OmegaConf resolves a ListConfig in place, a list it refuses.
    return ListConfig(list(Layout(Path(root), sample_rate, microphones).labels()))
