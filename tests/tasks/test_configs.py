"""Every published row is a config: it composes, and its network can be built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sedsep.models import GuidedSeparator, SedModel

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
Compose = Callable[..., DictConfig]


def build(config: DictConfig) -> GuidedSeparator | SedModel:
    return instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds(composed: Compose, experiment: str) -> None:
    network = build(composed(f"experiment={experiment}"))
    assert isinstance(network, SedModel if "tagg" in experiment else GuidedSeparator)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_at_paper_scale(composed: Compose, experiment: str) -> None:
    network = build(composed(f"experiment={experiment}", "scale=paper"))
    # 310 patches of 768 values, 18 classes, widths up to 384: the published sizes.
    if isinstance(network, SedModel):
        assert network.backbone.pos_embed.shape == (1, 311, 768)
    else:
        assert network.separator.unet.bottleneck.conv1.weight.shape == (384, 384, 3, 3)


def test_groups_mean_what_they_say(composed: Compose) -> None:
    paper = build(composed("conditioning=soundbeam", "refinement.iters=3"))
    assert isinstance(paper, GuidedSeparator)
    assert paper.separator.iters == 3
    assert paper.separator.time_film is not None
    assert paper.separator.injection is not None
    assert paper.sed_trainable

    frozen = build(composed("conditioning=soundbeam_frozen"))
    assert isinstance(frozen, GuidedSeparator)
    assert frozen.sed is not None
    assert not any(p.requires_grad for p in frozen.sed.parameters())

    plain = build(composed("conditioning=none"))
    assert isinstance(plain, GuidedSeparator)
    assert plain.sed is None
    assert not plain.separator.needs_sed

    both = build(composed("model=separator_dprnn", "conditioning=time_film", "refinement=iterative"))
    assert isinstance(both, GuidedSeparator)
    assert both.separator.dprnn is not None
    assert both.separator.injection is None
    assert both.separator.iters == 3


def test_the_sample_rate_is_stated_once(composed: Compose) -> None:
    network = build(composed("sample_rate=16000", "microphones=2"))
    assert isinstance(network, GuidedSeparator)
    assert network.separator.input_rate == 16000
    assert network.separator.microphones == 2
    assert network.sed is not None
    assert network.sed.input_rate == 16000


def test_a_folder_brings_its_own_classes(composed: Compose, shared: Path) -> None:
    config = composed("data=folder", f"data.root={shared / 'realmini'}")
    assert config.labels.count == 8
    assert "Tabla" in config.labels.names
