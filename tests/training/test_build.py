"""Networks that start from weights of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from minis import LABELS, LENGTH, MICROPHONES, noise, one_hot, refused
from whole_systems import make, separator_config

from sedsep import checkpoints
from sedsep.checkpoints import Description
from sedsep.losses import negative_snr
from sedsep.models import GuidedSeparator
from sedsep.training.build import build_network
from sedsep.training.recipe import Plan, Recipe

SPATIAL = {"features": ["magnitude", "intensity", "phase"]}
MIXTURE, QUERY = noise(2, MICROPHONES, LENGTH), one_hot([[1, 4], [0, None]])


def started(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[GuidedSeparator, GuidedSeparator]:
    """A separator with shaken weights, and one of another variant that starts from its checkpoint."""
    config, path = separator_config(**theirs), folder / "theirs.ckpt"
    network = make(config)
    checkpoints.save(path, network, Description("separator", "mini", config, LABELS.names))
    plan = Plan(1, 1, 1, 1, 1.0, 1, "last")
    recipe = Recipe("ours", "separator", separator_config(**ours), {}, {}, {}, 0.0, plan, ckpt=str(path))
    begun = build_network(recipe, 1, folder)
    assert isinstance(begun, GuidedSeparator)
    return network, begun.eval()


@pytest.mark.parametrize("iters", [0, 2])
def test_spatial_features_change_nothing_before_training_and_are_heard_after(tmp_path: Path, iters: int) -> None:
    network, begun = started(tmp_path, {"iters": iters}, {**SPATIAL, "iters": iters})
    with torch.no_grad():
        expected, estimates = network(MIXTURE, QUERY).estimates, begun(MIXTURE, QUERY).estimates
    torch.testing.assert_close(estimates, expected, atol=1e-6, rtol=0)
    negative_snr(begun.train()(MIXTURE, QUERY[:, :1]).estimates, noise(2, 1, LENGTH)).backward()
    gradient = begun.separator.pre_conv.weight.grad
    assert gradient is not None
    assert (gradient.abs().amax((0, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {**SPATIAL, "iters": 2}),
        ({"iters": 2}, SPATIAL),
        (SPATIAL, {}),
        (SPATIAL, {"features": ["magnitude", "phase"]}),
    ],
)
def test_what_hears_less_or_is_not_refined_is_refused(
    tmp_path: Path, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    with refused("choose the (scale|model)"):
        started(tmp_path, theirs, ours)
