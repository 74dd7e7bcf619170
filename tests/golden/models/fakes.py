"""Checkpoints with the names and shapes of the published ones, and made-up numbers in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden.models import recipe
from torch import Tensor

HERE = Path(__file__).parent
FACTS = [*HERE.glob("*.json"), *HERE.parent.glob("dcase2026/tagger_*.json")]
FILES = {path.stem: path for path in FACTS if not path.stem.endswith(".keys")}
NAMES = sorted(FILES)


def facts(name: str) -> dict[str, Any]:
    """What is known of a published checkpoint: `config`, `query_classes`, `state_dict` rows."""
    return json.loads(FILES[name].read_text())


def answers(name: str) -> Mapping[str, Any]:
    """Arrays that the original gives with `weights`."""
    return np.load(FILES[name].with_suffix(".npz"))


def weights(name: str) -> dict[str, Tensor]:
    """Its tensors, each the recipe's value for its name; fixed buffers are left out."""
    rows = facts(name)["state_dict"]
    return {key: torch.tensor(recipe.weight(key, shape)) for key, shape, _, how in rows if how == "recipe"}


def outline(name: str) -> dict[str, Tensor]:
    """Its tensors, fixed buffers too, with shapes and no values."""
    rows = facts(name)["state_dict"]
    return {key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for key, shape, dtype, _ in rows}
