from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from minis import (
    BACKBONE,
    CLASSES,
    FRONTEND,
    LABELS,
    MICROPHONES,
    SEPARATOR,
    fit,
    make_batch,
    noise,
    one_hot,
    refused,
    shaken,
)

from sedsep import checkpoints
from sedsep.checkpoints import Description, load, load_state, save
from sedsep.checkpoints.own import weights_file
from sedsep.labels import LabelSet
from sedsep.models import GuidedSeparator
from sedsep.training import SedRates, SedSystem, SeparatorRates, SeparatorSystem, warmup_cosine

SED_NETWORK = {
    "_target_": "sedsep.models.SedModel",
    "classes": CLASSES,
    "frame_s": 0.02,
    "backbone": {
        "_target_": "sedsep.models.M2d",
        "frontend": {"_target_": "sedsep.models.LogMel", **FRONTEND},
        **BACKBONE,
    },
}
SEPARATOR_NETWORK = {
    "_target_": "sedsep.models.GuidedSeparator",
    "sed": SED_NETWORK,
    "separator": {
        "_target_": "sedsep.models.Separator",
        "_partial_": True,
        **SEPARATOR,
        "iters": 2,
        "time_film": {"_target_": "sedsep.conditioning.TimeFilm", "_partial_": True},
        "injection": {"_target_": "sedsep.conditioning.Soundbeam", "_partial_": True},
    },
}
COMMON = {"optimizer": torch.optim.AdamW, "schedule": partial(warmup_cosine, warmup_steps=1)}
NO_RATES = SedRates(heads=0.0, backbone=1e-3)


def train_and_save(path: Path, system: Any) -> Path:
    fit(system, [make_batch([[0, 2, None], [1, None, None]])] * 2, epochs=1).save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def sed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    description = Description("sed", "mini", SED_NETWORK, LABELS.names)
    system = SedSystem(instantiate(SED_NETWORK), SedRates(1e-2, 1e-3), description=description, **COMMON)
    return train_and_save(tmp_path_factory.mktemp("checkpoints") / "sed.ckpt", system)


def rewritten(sed_file: Path, path: Path, **changes: Any) -> Path:
    """The checkpoint with entries changed; `None` takes one away."""
    content = torch.load(sed_file, weights_only=True) | changes
    torch.save({name: value for name, value in content.items() if value is not None}, path)
    return path


def with_network(sed_file: Path, path: Path, network: Any) -> Path:
    entry = torch.load(sed_file, weights_only=True)["sedsep"]
    return rewritten(sed_file, path, sedsep={**entry, "network": network})


# Round trip.


@pytest.mark.filterwarnings("ignore")
def test_a_separator_is_rebuilt_to_the_last_bit_from_its_file_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = instantiate(SEPARATOR_NETWORK)
    description = Description("separator", "mini", SEPARATOR_NETWORK, LABELS.names)
    rates = SeparatorRates(1e-2, 1e-2, 1e-2, NO_RATES)
    system = SeparatorSystem(network, LABELS, rates, description=description, **COMMON)
    loaded = load(train_and_save(tmp_path / "x.ckpt", system), "separator", LABELS)
    assert isinstance(loaded.network, GuidedSeparator)
    assert loaded.description == description
    mixture, query = noise(2, MICROPHONES, 2000), one_hot([[1, 4], [0, None]])
    with torch.no_grad():
        expected, actual = (model.eval()(mixture, query).estimates for model in (network, loaded.network))
    assert torch.equal(actual, expected)
    fresh = instantiate(SEPARATOR_NETWORK).state_dict()
    assert not all(torch.equal(value, fresh[name]) for name, value in loaded.network.state_dict().items())


@pytest.mark.filterwarnings("ignore")
def test_a_sed_model_is_rebuilt_to_the_last_bit(sed_file: Path) -> None:
    one, other = load(sed_file, "sed").network.eval(), load(str(sed_file), "sed", LABELS).network.eval()
    weights = torch.load(sed_file, weights_only=True)["state_dict"]
    assert all(torch.equal(value, weights[f"network.{name}"]) for name, value in one.state_dict().items())
    with torch.no_grad():
        assert torch.equal(*(model(noise(1, MICROPHONES, 2000)).clip_probabilities for model in (one, other)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path, suffix: str) -> None:
    network = shaken(instantiate(SEPARATOR_NETWORK))
    description = Description("separator", "mini", SEPARATOR_NETWORK, LABELS.names)
    path = tmp_path / f"x.{suffix}"
    save(path, network, description)
    loaded = load(path, "separator", LABELS)
    assert loaded.description == description
    state = loaded.network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


# Files that are not what they should be (test_files.py: those that cannot be read at all).


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with refused(r"no checkpoint at .*absent\.ckpt"):
        load(tmp_path / "absent.ckpt", "sed")


def test_a_checkpoint_of_the_reference_is_to_be_converted_first(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ckpt"
    torch.save({"state_dict": {"model.base.bn0.weight": torch.zeros(3)}}, path)
    with refused(r"python run\.py task=convert task\.source=.*theirs\.ckpt"):
        load(path, "separator")


def test_weights_of_another_make_are_refused(sed_file: Path, tmp_path: Path) -> None:
    with refused("no entry 'sedsep'"):
        load(rewritten(sed_file, tmp_path / "a.ckpt", sedsep=None), "sed")
    with refused("other things than weights by name"):
        load(rewritten(sed_file, tmp_path / "b.ckpt", state_dict=None), "sed")


def test_a_later_format_is_refused(sed_file: Path, tmp_path: Path) -> None:
    entry = torch.load(sed_file, weights_only=True)["sedsep"]
    with refused("format 2, this version reads 1"):
        load(rewritten(sed_file, tmp_path / "x.ckpt", sedsep={**entry, "format": 2}), "sed")


@pytest.mark.parametrize("change", [{"network": None}, {"labels": None}])
def test_a_damaged_description_is_refused(sed_file: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    entry = torch.load(sed_file, weights_only=True)["sedsep"] | change
    entry = {name: value for name, value in entry.items() if value is not None}
    with refused(r"x\.ckpt"):
        load(rewritten(sed_file, tmp_path / "x.ckpt", sedsep=entry), "sed")


def test_a_network_is_not_made_larger_than_its_weights(sed_file: Path, tmp_path: Path) -> None:
    endless = {**SED_NETWORK, "backbone": {**SED_NETWORK["backbone"], "width": 10**6}}  # type: ignore[dict-item]
    with refused("is of another scale"):
        load(with_network(sed_file, tmp_path / "x.ckpt", endless), "sed")


def test_labels_that_are_not_the_networks_are_refused(sed_file: Path, tmp_path: Path) -> None:
    entry = torch.load(sed_file, weights_only=True)["sedsep"]
    more = {**entry, "labels": [*entry["labels"], "Whale"]}
    with refused("names 6 classes, its network knows 5"):
        load(rewritten(sed_file, tmp_path / "x.ckpt", sedsep=more), "sed")


@pytest.mark.parametrize("change", [{"_target_": "sedsep.models.Gone"}, {"colour": "blue"}])
def test_a_network_that_this_version_cannot_build_is_refused(
    sed_file: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    with refused(r"x\.ckpt"):
        load(with_network(sed_file, tmp_path / "x.ckpt", {**SED_NETWORK, **change}), "sed")


def test_another_kind_or_other_classes_are_refused(sed_file: Path) -> None:
    with refused("holds a sed model where a separator model is needed"):
        load(sed_file, "separator")
    with refused("trained on other classes .*lacks: Whale"):
        load(sed_file, "sed", LabelSet((*LABELS.names[:4], "Whale")))
    with refused("another order"):
        load(sed_file, "sed", LabelSet(LABELS.names[::-1]))


def test_weights_of_another_scale_or_variant_are_refused(sed_file: Path) -> None:
    state = checkpoints.network_state(torch.load(sed_file, weights_only=True)["state_dict"])
    wider, deeper = copy.deepcopy(SED_NETWORK), copy.deepcopy(SED_NETWORK)
    wider["backbone"]["width"], deeper["backbone"]["depth"] = 32, 3
    with refused(r"sed\.ckpt is of another scale: backbone\.cls_token has shape \[1, 1, 16\] where .* \[1, 1, 32\]"):
        load_state(instantiate(wider), state, sed_file)
    with refused(r"does not fit this model \(missing: backbone\.blocks\.2"):
        load_state(instantiate(deeper), state, sed_file)


def test_weights_refused_leave_the_network_as_it_was(sed_file: Path) -> None:
    state = checkpoints.network_state(torch.load(sed_file, weights_only=True)["state_dict"])
    del state["weak_head.bias"]
    network = instantiate(SED_NETWORK)
    before = copy.deepcopy(network.state_dict())
    with refused(r"missing: weak_head\.bias"):
        load_state(network, state, sed_file)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# A config names what to call: a file must not call anything but this package.


def refuses_to_call(target: str, sed_file: Path, tmp_path: Path, wrap: Any = lambda call: call) -> None:
    made = tmp_path / "made"
    call = {"_target_": target, "_args_": [str(made)]}
    try:
        with refused("not part of sedsep"):
            load(with_network(sed_file, tmp_path / "x.ckpt", wrap(call)), "sed")
    finally:
        assert not made.exists(), "the file's call was run"


@pytest.mark.parametrize(
    "target", ["os.mkdir", "sedsep.evaluation.label_sources.os.mkdir", "sedsep.models.sed.torch.os.mkdir"]
)
def test_a_config_that_calls_anything_else_is_refused_and_not_run(sed_file: Path, tmp_path: Path, target: str) -> None:
    refuses_to_call(target, sed_file, tmp_path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda call: {**SED_NETWORK, "backbone": call},
        lambda call: {**SED_NETWORK, "head": [call]},
        lambda call: {**SED_NETWORK, "head": (call,)},
        lambda call: {**SED_NETWORK, "head": "${hidden}", "hidden": call},
    ],
    ids=["nested", "in a list", "in a tuple", "interpolated"],
)
def test_a_foreign_call_is_found_wherever_it_hides(sed_file: Path, tmp_path: Path, wrap: Any) -> None:
    refuses_to_call("os.mkdir", sed_file, tmp_path, wrap)


def test_a_run_directory_stands_for_the_weights_that_its_recipe_keeps(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints" / "separator").mkdir(parents=True)
    with refused("holds no checkpoint of a training"):
        load(run, "sed")
    recipe = run / "checkpoints" / "separator" / "recipe.json"
    recipe.write_text('{"model.training.keep": "best"}')
    (recipe.parent / "last.ckpt").touch()
    assert weights_file(run) == recipe.parent / "last.ckpt"  # never validated
    (recipe.parent / "best.ckpt").touch()
    assert weights_file(run) == recipe.parent / "best.ckpt"
    assert weights_file(recipe.parent) == recipe.parent / "best.ckpt"
    assert weights_file(recipe.parent / "last.ckpt") == recipe.parent / "last.ckpt"
