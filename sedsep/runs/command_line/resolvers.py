"""Interpolations that the configs use; registered when the tasks are imported, so every process has them."""

from __future__ import annotations

import os
import secrets

import platformdirs
from omegaconf import OmegaConf


def register() -> None:
    """Make the resolvers known to OmegaConf; harmless when repeated."""
    for name, function, use_cache in (
        ("run_id", lambda: secrets.token_hex(2), True),  # two runs of one second get directories of their own
        ("cache_dir", lambda: os.environ.get("SEDSEP_CACHE") or platformdirs.user_cache_dir("sedsep"), False),
        ("slurm_nodes", lambda: int(os.environ.get("SLURM_JOB_NUM_NODES", "1")), False),
    ):
        OmegaConf.register_new_resolver(name, function, use_cache=use_cache, replace=True)
