"""Which variant a checkpoint of the reference holds: told from outlines, names and shapes without values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from golden.models import fakes
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from minis import refused
from omegaconf import OmegaConf
from torch import Tensor

import sedsep.tasks  # noqa: F401 - registers the resolvers
from sedsep.checkpoints.reference import Variant, check_mel_basis, family, recognise
from sedsep.composition.common import complete
from sedsep.models import LogMel

State = dict[str, Tensor]
CONF = Path(__file__).parents[2] / "conf"
GRU = {f"model.network.separator.dprnn.{item}" for item in ("layers=2", "hidden=256", "cell=GRU", "rnn_layers=2")}
STAGE_TWO = "conditioning.sed.head_norm=false"
STATS = {"model.network.backbone.frontend.mean=-7.1", "model.network.backbone.frontend.std=4.2"}
KNOWN = {
    "baseline_resunet": {"model=baseline_resunet", "conditioning=none"},
    "baseline_resunetk": {"model=baseline_resunetk", "conditioning=none", "slots=3"},
    "baseline_tagger": {
        "model=baseline_tagger",
        "model.network.head_norm=true",
        *STATS,
    },
    "tagger_1c": {"model=dcase2026_tagger", "model.network.microphones=1", *STATS},
    "tagger_4c": {"model=dcase2026_tagger", "model.network.microphones=4", *STATS},
    "m2d_sed": {"model=tagger", "model.network.head_norm=true"},
    "separator_baseline": {"model=separator", "conditioning=soundbeam", STAGE_TWO},
    "separator_dprnn": {"model=separator_dprnn", "conditioning=soundbeam", STAGE_TWO, *GRU},
    "separator_iter_3": {"model=separator_dprnn", "conditioning=soundbeam", STAGE_TWO, *GRU},
    "separator_no_soundbeam": {"model=separator", "conditioning=time_film", STAGE_TWO},
    "separator_no_timefilm": {"model=separator", "conditioning=soundbeam_only", STAGE_TWO},
}


@pytest.fixture(scope="module", autouse=True)
def configs() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def outline(name: str) -> State:
    state = fakes.outline(name)
    read = {key: torch.tensor([-7.1, 4.2]) for key in state if key.endswith("norm_stats")}
    return state | read


def without(state: State, *prefixes: str) -> State:
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def fits(found: Variant) -> bool:
    """Whether the network that the overrides compose has exactly the tensors found, by name and shape."""
    passes = ["refinement=iterative"] if found.refined else []
    config = compose("config", overrides=["scale=paper", *found.overrides, *passes])
    complete(config)
    with torch.device("meta"):
        network = instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")
    return {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in found.state.items()}


# What the published files hold.


@pytest.mark.parametrize("name", fakes.NAMES)
def test_a_published_variant_is_recognised_and_fits_to_the_last_tensor(name: str) -> None:
    state = outline(name)
    found = recognise(state, name)
    assert set(found.overrides) == KNOWN[name]
    assert found.refined == ("iter" in name)
    assert found.classes == 18
    assert fits(found)
    # 32 FiLM layers become one; the mel filters are compared, the tagger's statistics become settings.
    joined = 2 * 31 if found.kind == "separator" else 0
    apart = (found.mel_basis is not None) + (KNOWN[name] > STATS)
    assert len(found.state) + joined + apart + sum(found.unused.values()) == len(state)


def test_the_join_of_film_layers_keeps_each_at_its_place() -> None:
    state = fakes.weights("baseline_resunet")
    found = recognise(state, "x").state
    # The fourth BatchNorm to meet, after 32 + 32 + 32 channels; and the last one, of 32.
    bank = found["separator.label_film.film.linear.weight"]
    assert torch.equal(bank[96:160], state["model.film.encoder_block2->conv_block1->beta2.weight"])
    assert torch.equal(bank[-32:], state["model.film.decoder_block6->conv_block2->beta2.weight"])


# Variants that a file could hold.


@pytest.mark.parametrize(("cell", "gates"), [("RNN", 1), ("LSTM", 4)])
def test_the_cell_of_a_dprnn_is_told_by_its_gates(cell: str, gates: int) -> None:
    state = {
        name: empty(gates * len(value) // 3, *value.shape[1:]) if ".rnn." in name else value
        for name, value in outline("separator_dprnn").items()
    }
    found = recognise(state, "x")
    assert f"model.network.separator.dprnn.cell={cell}" in found.overrides
    assert fits(found)


def test_a_dprnn_may_be_of_other_depths_and_widths() -> None:
    dprnn = "model.base.DPRNN.0"
    deeper = [f"{dprnn}.{axis}_{part}.1." for axis in ("row", "col") for part in ("rnn", "norm")]
    state = {name: value for name, value in without(outline("separator_dprnn"), *deeper).items() if "_l1" not in name}
    found = recognise(state, "x")
    assert {"model.network.separator.dprnn.layers=1", "model.network.separator.dprnn.rnn_layers=1"} < set(
        found.overrides
    )
    assert fits(found)


def test_a_stage_two_model_with_a_norm_is_rebuilt_with_it() -> None:
    norm = {f"embedding_model.head_norm.{leaf}": empty(3840) for leaf in ("running_mean", "running_var")}
    count = {"embedding_model.head_norm.num_batches_tracked": empty()}
    found = recognise(outline("separator_baseline") | norm | count, "x")
    assert "conditioning.sed.head_norm=true" in found.overrides
    assert fits(found)


@pytest.mark.parametrize("name", ["separator_baseline", "separator_no_timefilm"])
def test_an_injection_may_be_merged_by_projecting_both(name: str) -> None:
    state = without(outline(name), "model.base.weight_")
    norm = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), 768)
    state |= {f"model.base.merge_bn.{leaf}": empty(size) for leaf, size in norm.items()}
    state["model.base.merge_bn.num_batches_tracked"] = empty()
    state |= {"model.base.merge_conv.weight": empty(384, 768, 1, 1), "model.base.merge_conv.bias": empty(384)}
    found = recognise(state, "x")
    assert "conditioning.injection.merge=concat" in found.overrides
    assert fits(found)


def test_a_stage_two_model_that_nothing_listens_to_is_left_out() -> None:
    state = outline("separator_no_timefilm")
    injection = ("model.soundbeam", "model.base.downsample", "model.base.weight_")
    found = recognise(without(state, *injection), "x")
    assert found.overrides == ("model=separator", "conditioning=none")
    assert fits(found)
    silent = sum(name.startswith("embedding_model.") for name in state)
    assert found.unused["a Stage 2 SED model that nothing in this variant listens to"] == silent


def test_a_separator_of_labels_alone_may_be_refined() -> None:
    state = outline("baseline_resunet")
    feedback = {name.replace("bn0", "bn0_fb"): value for name, value in state.items() if "bn0" in name}
    found = recognise(state | feedback | {"model.base.pre_conv.weight": empty(32, 5, 1, 1)}, "x")
    assert found.refined
    assert found.overrides == ("model=separator", "conditioning=none")


def test_a_tagger_without_statistics_keeps_the_published_ones() -> None:
    found = recognise(without(outline("baseline_tagger"), "model.backbone.norm_stats", "model.head_norm"), "x")
    assert found.overrides == ("model=baseline_tagger", "model.network.head_norm=false")
    assert fits(found)


@pytest.mark.parametrize(
    ("name", "features", "channels"), [("baseline_tagger", 3840, 1), ("tagger_1c", 3840, 1), ("tagger_4c", 15360, 4)]
)
def test_a_head_on_flat_features_is_told_by_its_width(name: str, features: int, channels: int) -> None:
    norm, state = "model.head_norm." if name == "baseline_tagger" else "model.head.m2d_out_norm.", outline(name)
    for key, value in state.items():
        if key.startswith((norm, "model.head.")) and value.ndim and value.shape[-1] == features:
            state[key] = empty(*value.shape[:-1], 768 * channels)
    found = recognise(state, "x")
    assert set(found.overrides) == {*KNOWN[name], "+model.network.backbone.flat=true"}
    assert fits(found)


# What is refused.


def test_files_of_other_makes_are_told_apart() -> None:
    assert family(["encoder.weight", "model.conv1.weight"]) is None
    with refused(r"x\.ckpt is no checkpoint of the reference .*first tensor is encoder\.weight"):
        recognise({"encoder.weight": empty(3)}, "x.ckpt")
    with refused(r"no variant we know has \(model\.backbone\.layer1\.conv1\.weight\)"):
        recognise(outline("baseline_tagger") | {"model.backbone.layer1.conv1.weight": empty(3)}, "x.ckpt")


@pytest.mark.parametrize("name", fakes.NAMES)
@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.97])
def test_a_renamed_module_is_listed(name: str, place: float) -> None:
    state = outline(name)
    victim = sorted(state)[int(place * len(state))]
    foreign = victim.replace("model.", "model.x", 1)
    with refused(foreign.replace(".", r"\.")):
        recognise({foreign if key == victim else key: value for key, value in state.items()}, "x.ckpt")


def test_a_flood_of_foreign_tensors_is_counted() -> None:
    flood = {f"model.other.{index}": empty(1) for index in range(50)}
    with refused(r"model\.other\.0, .* and 40 more"):
        recognise(outline("baseline_resunet") | flood, "x")


def test_film_layers_must_be_there_and_as_wide_as_their_norms() -> None:
    film = "model.film.encoder_block3->conv_block1->beta1.weight"
    state = outline("separator_baseline")
    with refused("lacks the weight of model.film.encoder_block3->conv_block1->beta1"):
        recognise(without(state, film), "x")
    with refused(r"beta1\.weight has shape \[63, 512\] beside a BatchNorm of \[64\]"):
        recognise(state | {film: empty(63, 512)}, "x")
    with refused(r"has shape \[64, 500\]"):
        recognise(state | {film: empty(64, 500)}, "x")


@pytest.mark.parametrize("name", ["model.base.out_conv.weight", "model.base.after_conv.weight"])
def test_a_tensor_that_tells_the_variant_must_be_there(name: str) -> None:
    state = outline("baseline_resunet")
    with refused("lacks the tensor that becomes our"):
        recognise(without(state, name), "x")
    with refused("lacks the tensor that becomes our"):
        recognise(state | {name: empty()}, "x")


def test_an_unknown_cell_and_odd_statistics_are_refused() -> None:
    with refused("unknown cell, with 700 rows for 256 hidden values"):
        recognise(outline("separator_dprnn") | {"model.base.DPRNN.0.row_rnn.0.rnn.weight_ih_l0": empty(700, 384)}, "x")
    with refused("instead of a mean and a deviation"):
        recognise(outline("baseline_tagger") | {"model.backbone.norm_stats": torch.zeros(3)}, "x")


def test_mel_filters_of_another_front_end_are_refused() -> None:
    def basis(f_max: int, n_mels: int = 80) -> Tensor:
        return LogMel(32000, 16000, 400, 160, n_mels, 50, f_max, -7.1, 4.2).mel_basis

    ours = basis(8000)
    check_mel_basis(ours.T * (1 + 1e-4), ours, "x")
    for theirs in (basis(7600), basis(8000, 64)):
        with refused("hears through other mel filters"):
            check_mel_basis(theirs.T, ours, "x")
