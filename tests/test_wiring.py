"""What configs and checkpoints name is made, and nothing else is called."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import BACKBONE, FRONTEND, refused

from sedsep.models import LogMel
from sedsep.wiring import NAMES, NETWORKS, PACKAGES, build

CONF = Path(__file__).parents[1] / "conf"
LOG_MEL = {"_target_": "sedsep.models.LogMel", **FRONTEND}


def named_in_configs() -> set[str]:
    """Every target in the configs, those in comments as well; Hydra makes its plugins itself."""
    texts = (path.read_text() for path in CONF.rglob("*.yaml"))
    targets = {name for text in texts for name in re.findall(r"_target_[:=] ?([\w.]+)", text)}
    return {name for name in targets if not name.startswith("hydra_plugins.")}


def test_all_that_configs_name_may_be_named_and_nothing_beside() -> None:
    named = named_in_configs()
    for name in named:
        assert isinstance(build({"_target_": name, "_partial_": True}), partial)
    assert named >= NAMES
    assert all(any(name.startswith(f"{package}.") for name in named) for package in PACKAGES)


def test_what_is_inside_is_made_first_and_parts_are_taken_as_they_are() -> None:
    network = build({"_target_": "sedsep.models.M2d", "frontend": LOG_MEL, **BACKBONE})
    assert isinstance(network.frontend, LogMel)
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = build({"_target_": "torch.optim.SGD", "lr": 0.5}, params=[weight])
    assert optimizer.param_groups[0]["params"] == [weight]
    assert build([{"lr": 0.5}, None]) == [{"lr": 0.5}, None]


def endless() -> dict[str, Any]:
    node: dict[str, Any] = {}
    node["again"] = node
    return node


@pytest.mark.parametrize(
    "inner",
    [
        {"_target_": "os.mkdir", "path": "made"},
        {"_target_": "sedsep.files.write_whole", "path": "made", "text": "x"},
        {"_target_": "sedsep.models.separator.torch.hub.load"},
        {**LOG_MEL, "_args_": [1]},
        {**LOG_MEL, "_partial_": "yes"},
        {**LOG_MEL, "f_min": "${oc.env:HOME}"},
        endless(),
    ],
    ids=["foreign", "ours", "attribute", "args", "partial", "interpolation", "endless"],
)
def test_nothing_is_called_of_a_node_that_asks_for_anything_else(
    inner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with refused("not part of sedsep: name what the files of conf/ name|no end"):
        build({"_target_": "sedsep.scenes.sampling.SceneSampler", "events": [inner]})
    assert not list(tmp_path.iterdir())


def test_a_file_names_networks_alone() -> None:
    with refused(r"a\.ckpt asks for torch\.optim\.SGD, which is not part of sedsep: do not use this file"):
        build({"_target_": "torch.optim.SGD", "_partial_": True}, source="a.ckpt", packages=NETWORKS)
