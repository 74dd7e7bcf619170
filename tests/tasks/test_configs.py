"""Every published row and every option is a config: it composes, its network can be built, and it is what was asked."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from minis import noise
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sedsep.models import Feedback, GuidedSeparator, SedModel, UnlabelledSeparator
from sedsep.training import SedRates

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
Compose = Callable[..., DictConfig]
Network = GuidedSeparator | SedModel

# Parameters of the published checkpoints, less those that they carry and never use (spec: models): in all, and of these
# the Stage 2 SED model's.
STAGE_2 = 85_631_268
PARAMETERS = {
    "baseline_resunet": (25_897_747, 0),
    "baseline_resunetk": (25_916_971, 0),
    "baseline_tagger": (85_562_130, 0),
    "baseline_tagger_head": (85_562_130, 0),
    "box": (26_461_346 + STAGE_2, STAGE_2),
    "dcase2026_guided": (26_481_594 + STAGE_2, STAGE_2),
    "dcase2026_resunetk": (25_916_971, 0),
    "dcase2026_tagger_1c": (98_905_401, 0),
    "dcase2026_tagger_1c_head": (98_905_401, 0),
    "dcase2026_tagger_4c": (134_294_841, 0),
    "dcase2026_tagger_4c_head": (134_294_841, 0),
    "m2d_tagging": (STAGE_2, 0),
    "separator_baseline": (26_461_346 + STAGE_2, STAGE_2),
    "separator_dprnn": (36_075_555 + STAGE_2, STAGE_2),
    "separator_iter_2": (36_077_637 + STAGE_2, STAGE_2),
    "separator_iter_3": (36_077_637 + STAGE_2, STAGE_2),
    "separator_iter_4": (36_077_637 + STAGE_2, STAGE_2),
    "separator_no_soundbeam": (26_164_499 + STAGE_2, STAGE_2),
    "separator_no_timefilm": (26_195_618 + STAGE_2, STAGE_2),
    "separator_soundbeam_frozen": (26_461_346 + STAGE_2, STAGE_2),
    "self_guided": (26_483_740 + STAGE_2, STAGE_2),
}


def build(config: DictConfig, device: str = "cpu") -> Network:
    """The configured network; on the device `meta` it has shapes and no memory."""
    with torch.device(device):
        return instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")


def count(network: nn.Module | None) -> int:
    return 0 if network is None else sum(p.numel() for p in network.parameters())


@torch.no_grad()
def check_answer(network: Network, config: DictConfig) -> None:
    """Half a second of recording goes in, and what comes out has the config's shapes."""
    samples, classes = config.sample_rate // 2, config.labels.count
    mixture = noise(1, config.microphones, samples)
    if isinstance(network, SedModel):
        output = network.eval()(mixture)
        assert output.clip_probabilities.shape == (1, classes)
        assert output.clip_probabilities.isfinite().all()
    else:
        query = torch.eye(classes)[None, : config.slots]
        separation = network.eval()(mixture, query)
        assert separation.estimates.shape == (1, config.slots, samples)
        assert separation.estimates.isfinite().all()
        assert len(separation.passes) == max(1, network.iters)


# Published rows.


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_small_and_answers(composed: Compose, experiment: str) -> None:
    config = composed(f"experiment={experiment}")
    network = build(config)
    assert isinstance(network, SedModel if "tagg" in experiment else GuidedSeparator)
    check_answer(network, config)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_its_published_parameters_at_paper_scale(composed: Compose, experiment: str) -> None:
    network = build(composed(f"experiment={experiment}", "scale=paper"), "meta")
    assert all(p.is_meta for p in network.parameters())
    assert (count(network), count(getattr(network, "sed", None))) == PARAMETERS[experiment]


def test_the_paper_scale_has_the_published_sizes(composed: Compose) -> None:
    network = build(composed("experiment=separator_iter_3", "scale=paper"), "meta")
    assert isinstance(network, GuidedSeparator)
    separator, sed = network.separator, network.sed
    assert sed is not None
    parts = ("unet", "label_film", "time_film", "injection", "dprnn")
    counts = {part: count(getattr(separator, part)) for part in parts}
    assert counts == {
        "unet": 21_386_400,
        "label_film": 4_509_760,
        "time_film": 265_728,
        "injection": 296_847,
        "dprnn": 9_614_209,
    }
    shapes = {
        name: tuple(separator.state_dict()[name].shape)
        for name in ("pre_conv.weight", "after_conv.weight", "bn0.bn.weight", "bn0_feedback.bn.weight")
    }
    assert shapes == {
        "pre_conv.weight": (32, 5, 1, 1),
        "after_conv.weight": (12, 32, 1, 1),
        "bn0.bn.weight": (1025,),
        "bn0_feedback.bn.weight": (1025,),
    }
    assert (sed.backbone.grid, sed.backbone.width, sed.backbone.layers) == ((5, 62), 768, 13)
    assert sed.backbone.pos_embed.shape == (1, 311, 768)
    assert sed.frames(320_000) == 250


def test_the_baseline_tagger_is_fine_tuned_as_published(composed: Compose) -> None:
    second = composed("experiment=baseline_tagger", "scale=paper").model.system.rates
    assert instantiate(second) == SedRates(heads=1e-5, backbone=1e-5, trained_blocks=2)
    first = composed("experiment=baseline_tagger_head", "scale=paper")
    assert instantiate(first.model.system.rates) == SedRates(heads=1e-3, backbone=1e-5, trained_blocks=0)


# Options.

DPRNN = "model.network.separator.dprnn"
# Overrides, and what the network must then be.
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("conditioning=none", {"sed": None, "separator.reads": frozenset(), "separator.iters": 0}),
    (
        "conditioning=soundbeam refinement=iterative",
        {
            "sed_trainable": True,
            "separator.iters": 3,
            "separator.injection.merge": "add",
            "separator.time_film.mode": "additive",
            "separator.time_film.film": None,
            "separator.time_film.binarised": False,
            "sed.head": "attention",
            "sed.sequence": None,
            "separator.dprnn": None,
        },
    ),
    (
        "conditioning=soundbeam_frozen conditioning.injection.merge=concat conditioning.time_film.mode=multiplicative",
        {
            "sed_trainable": False,
            "sed.weak_head.weight.requires_grad": False,
            "separator.injection.merge": "concat",
            "separator.time_film.mode": "multiplicative",
        },
    ),
    (
        "conditioning=time_film conditioning.time_film.shared=false conditioning.time_film.binarised=true",
        {
            "separator.injection": None,
            "separator.time_film.binarised": True,
            "separator.time_film.film.linear.in_features": 64,
        },
    ),
    (
        "conditioning=soundbeam_only conditioning.sed.head=linear refinement.iters=2",
        {"separator.time_film": None, "separator.iters": 2, "sed.head": "linear", "sed.strong_head": None},
    ),
    (
        "conditioning.sed.head=two_linear conditioning.sed.sequence=bigru conditioning.sed.reference_channel=2",
        {"sed.head": "two_linear", "sed.sequence.mode": "GRU", "sed.reference_channel": 2},
    ),
    (
        f"model=separator_dprnn {DPRNN}.cell=LSTM {DPRNN}.position=before {DPRNN}.layers=1 refinement=iterative",
        {"separator.dprnn.position": "before", "separator.dprnn.time.0.rnn.mode": "LSTM", "separator.iters": 3},
    ),
    (
        f"model=separator_dprnn conditioning=none {DPRNN}.cell=RNN",
        {"separator.dprnn.position": "after", "separator.dprnn.frequency.1.rnn.mode": "RNN_TANH"},
    ),
    (
        "model=tf_attention refinement=iterative",
        {
            "separator.unet.time_stride": 2,
            "separator.spatial": {"intensity": 3, "phase": 6},
            "separator.iters": 3,
            "separator.injection.merge": "add",
            "separator.pre_conv.in_channels": 4 + 3 + 6 + 1,
        },
    ),
    ("model.features=[magnitude,phase]", {"separator.spatial": {"phase": 6}, "separator.pre_conv.in_channels": 4 + 6}),
    (
        "refinement.iters=2 refinement.feedback.statistics=pass refinement.feedback.numbered=true",
        {"separator.feedback": Feedback("pass", numbered=True), "separator.pass_film.biases.shape": (1, 864)},
    ),
    (
        "refinement.iters=2 refinement.feedback.statistics=mixture refinement.feedback.phase=true",
        {"separator.feedback": Feedback("mixture", phase=True), "separator.pre_conv.in_channels": 7},
    ),
    # A baseline is itself, whatever the conditioning and refinement beside it.
    ("model=baseline_resunet refinement=iterative", {"sed": None, "separator.iters": 0, "separator.time_film": None}),
    ("model=baseline_resunetk slots=2", {"sed": None, "separator.outputs": 2}),
    (
        "model=tagger model.network.head=two_linear model.network.sequence=bilstm model.network.head_norm=false",
        {"head": "two_linear", "sequence.mode": "LSTM", "head_norm": None},
    ),
    ("model=tagger model.network.head=linear model.network.sequence=bigru", {"head": "linear", "sequence.mode": "GRU"}),
    ("model=baseline_tagger", {"head": "linear", "frame_s": None, "backbone.frontend.sample_rate": 32000}),
    (
        "sample_rate=16000 microphones=2",
        {"separator.input_rate": 16000, "separator.microphones": 2, "sed.input_rate": 16000},
    ),
    ("sample_rate=44100 microphones=1 labels.names=[Bell,Dog,Rain]", {"separator.classes": 3, "sed.classes": 3}),
]


@pytest.mark.parametrize(("overrides", "expected"), OPTIONS, ids=[overrides for overrides, _ in OPTIONS])
def test_options_mean_what_they_say(composed: Compose, overrides: str, expected: dict[str, Any]) -> None:
    config = composed(*overrides.split())
    network = build(config)
    assert {name: attrgetter(name)(network) for name in expected} == expected
    check_answer(network, config)


def test_a_separator_without_labels_is_itself_whatever_is_composed_beside_it(composed: Compose) -> None:
    for overrides in (["experiment=self_guided"], ["model=unlabelled", "refinement=iterative"]):
        config = composed(*overrides)
        network = config.model if config.model.name == "unlabelled" else config.unlabelled
        made = instantiate(OmegaConf.to_container(network.network, resolve=True), _convert_="all")
        assert isinstance(made, UnlabelledSeparator)
        assert (made.sed, made.iters, made.outputs, made.classes) == (None, 0, 3, 18)
        assert made.eval().stems(noise(1, 4, 16000)).shape == (1, 3, 16000)


def test_a_folder_brings_its_own_classes(composed: Compose, shared: Path) -> None:
    config = composed("data=folder", f"data.root={shared / 'realmini'}")
    assert config.labels.count == 8
    assert "Tabla" in config.labels.names
