"""Interpolations that the configs use; registered when the tasks are imported, so every process has them."""

from __future__ import annotations

import secrets
from collections.abc import Sized
from pathlib import Path

import platformdirs
from omegaconf import OmegaConf

from sedsep.data.layout import Layout


def register() -> None:
    """Make the resolvers known to OmegaConf; harmless when repeated."""
    for name, function, use_cache in (
        ("len", _length, False),
        ("run_id", lambda: secrets.token_hex(2), True),  # two runs of one second get directories of their own
        ("cache_dir", lambda: platformdirs.user_cache_dir("sedsep"), False),
        ("folder_labels", lambda root, rate, channels: list(Layout(Path(root), rate, channels).labels()), False),
    ):
        OmegaConf.register_new_resolver(name, function, use_cache=use_cache, replace=True)


def _length(items: Sized) -> int:
    return len(items)
