"""Every experiment trains as published: its numbers at paper scale, and some real steps at mini scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tiny import write_tiny_set
from torch import Tensor, nn

from sedsep.composition import common, parts
from sedsep.models import GuidedSeparator
from sedsep.scenes.dataset import GeneratedScenes
from sedsep.training.build import build_network
from sedsep.training.groups import sed_groups, separator_groups

Compose = Callable[..., DictConfig]

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
TAGGERS = [name for name in EXPERIMENTS if "tagg" in name]
BASELINES = ["baseline_resunet", "baseline_resunetk", "dcase2026_resunetk"]

# Paper scale.

ALL = {"duration": 10.0, "keep": "best", "pool": None, "events": None, "augment": {}}
SEPARATOR = {"epochs": 36, "epoch_size": 100_000, "validate_every": 1, "channels": None, **ALL}
TAGGER = {"epochs": 70, "epoch_size": 10_000, "validate_every": 2, "channels": 1, **ALL}
# What 2026's plans have of their own: of its separator's mixtures the challenge counts no epochs.
STEP_2 = {"epochs": 300, "epoch_size": 640, "validate_every": 1}
STEP_1 = {**STEP_2, "epoch_size": 25_088}
OWN = {
    "box": {"epochs": 20, "epoch_size": 208, "validate_every": 4},
    "dcase2026_guided": {"events": [1, 3]},
    "dcase2026_resunetk": {"events": [1, 3]},
    "self_guided": {"events": [1, 3]},
    "dcase2026_tagger_1c": STEP_2,
    "dcase2026_tagger_1c_head": STEP_1,
    "dcase2026_tagger_4c": {**STEP_2, "channels": 4},
    "dcase2026_tagger_4c_head": {**STEP_1, "channels": 4},
}
# Batch, validation batch, warm-up steps and schedule.
BATCHES = {
    "baseline_resunet": (4, 4, 0, "constant"),
    "baseline_resunetk": (4, 4, 0, "constant"),
    "baseline_tagger": (128, 32, 0, "constant"),
    "baseline_tagger_head": (128, 32, 0, "constant"),
    "box": (4, 4, 12_000, "cosine"),
    "dcase2026_guided": (4, 4, 12_000, "cosine"),
    "dcase2026_resunetk": (4, 4, 0, "constant"),
    **{f"dcase2026_tagger_{name}": (32, 16, 0, "constant") for name in ("1c", "1c_head", "4c", "4c_head")},
    "m2d_tagging": (32, 32, 4_000, "cosine"),
    "separator_baseline": (4, 4, 12_000, "cosine"),
    "separator_dprnn": (4, 1, 12_000, "cosine"),
    "separator_iter_2": (2, 1, 12_000, "cosine"),
    "separator_iter_3": (1, 1, 12_000, "cosine"),
    "separator_iter_4": (1, 1, 12_000, "cosine"),
    "separator_no_soundbeam": (4, 4, 12_000, "cosine"),
    "separator_no_timefilm": (4, 4, 12_000, "cosine"),
    "separator_soundbeam_frozen": (4, 4, 12_000, "cosine"),
    "self_guided": (1, 4, 12_000, "cosine"),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_paper_scale_has_the_published_recipe(composed: Compose, experiment: str) -> None:
    config = composed(f"experiment={experiment}", "scale=paper")
    OmegaConf.resolve(config)
    model = config.model
    batch, eval_batch, warmup, schedule = BATCHES[experiment]
    expected = {**(TAGGER if experiment in TAGGERS else SEPARATOR), **OWN.get(experiment, {})}
    assert asdict(parts.recipe(config).plan) == expected | {"batch_size": batch, "eval_batch_size": eval_batch}
    assert model.optim.schedule._target_ == f"sedsep.training.warmup_{schedule}"
    assert model.optim.schedule.warmup_steps == warmup
    assert (config.seed, config.trainer.gradient_clip_val, config.trainer.accumulate_grad_batches) == (0, 0.5, 1)
    optimizer = instantiate(model.optim.optimizer)([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    settings = optimizer.defaults
    assert (settings["betas"], settings["eps"], settings["amsgrad"]) == ((0.9, 0.999), 1e-8, True)
    assert model.optim.weight_decay == 0
    if experiment in TAGGERS:
        weights = (0.5, 0.5) if experiment == "m2d_tagging" else (1.0, 0.0)
        assert (model.system.clip_weight, model.system.frame_weight) == weights
    if experiment == "m2d_tagging":
        assert model.system.thresholds == [0.1, 0.3, 0.5, 0.7, 0.9]
        assert (model.system.mixup.probability, model.system.frequency_warp.probability) == (0, 0)
        assert model.system.mixup.alpha == 0.2


def test_a_batch_size_given_by_hand_wins(composed: Compose) -> None:
    def batch_size(*overrides: str) -> int:
        return parts.recipe(composed(*overrides)).plan.batch_size

    for option in ("model.training.batch_size=3", "scale.separator.training.batch_size=3"):
        assert batch_size("experiment=separator_iter_2", "scale=paper", option) == 3
    assert batch_size("scale=paper", "refinement.iters=7") == 1
    assert batch_size("experiment=separator_iter_4") == 4  # the mini scale has its own


FILM = 4_509_760 - 274_432  # label conditioning less its embedding
PRETRAINED = 21_386_400 + FILM
DPRNN = 9_614_209
BLOCK = 12 * 768**2 + 13 * 768
EMBEDDINGS = 311 * 768 + 768 + 768 * 256 + 768
LAST_NORM = 2 * 768
TRACKS = 3 * (1024 * 512 + 3 * 512 + 512 * 19 + 19)
# Learning rate and parameters of each group: what is left of a separator after pretrained parts and recurrence is new.
NEW = {
    "box": 26_461_346 - PRETRAINED,
    "dcase2026_guided": 26_481_594 - PRETRAINED,
    "separator_baseline": 26_461_346 - PRETRAINED,
    "separator_dprnn": 36_075_555 - PRETRAINED - DPRNN,
    "separator_iter_2": 36_077_637 - PRETRAINED - DPRNN,
    "separator_iter_3": 36_077_637 - PRETRAINED - DPRNN,
    "separator_iter_4": 36_077_637 - PRETRAINED - DPRNN,
    "separator_no_soundbeam": 26_164_499 - PRETRAINED,
    "separator_no_timefilm": 26_195_618 - PRETRAINED,
    "separator_soundbeam_frozen": 26_461_346 - PRETRAINED,
    "self_guided": 26_483_740 - PRETRAINED,
}


def blocks(rate: float, decay: float, prefix: str = "", last_norm: int = LAST_NORM) -> dict[str, tuple[float, int]]:
    """Twelve blocks, the first with the embeddings, the last with the final norm."""
    extra = {0: EMBEDDINGS, 11: last_norm}
    return {f"{prefix}block{i}": (rate * decay ** (12 - i), BLOCK + extra.get(i, 0)) for i in range(12)}


def published_groups(experiment: str) -> dict[str, tuple[float, int]]:
    if experiment in BASELINES:
        return {}  # one rate for all: see the test
    if experiment == "m2d_tagging":
        return {**blocks(1e-3, 0.8), "heads": (1e-3, 2 * (3840 * 18 + 18))}
    if experiment in TAGGERS:
        heads = 3840 * 18 + 18
        if experiment.startswith("dcase2026"):
            heads = 3840 * (4 if "4c" in experiment else 1) * 3072 + 3 * 3072 + TRACKS
        if experiment.endswith("head"):
            return {"heads": (1e-3, heads)}
        return {"block10": (1e-5, BLOCK), "block11": (1e-5, BLOCK + LAST_NORM), "heads": (1e-5, heads)}
    groups = {"pretrained": (2e-4, PRETRAINED), "new": (1e-3, NEW[experiment])}
    if "dprnn" in experiment or "iter" in experiment:
        groups["dprnn"] = (5e-4, DPRNN)
    if "frozen" not in experiment:
        # Embedding injection reads the layers before the last norm: that one learns through Time-FiLM alone.
        last_norm = 0 if experiment == "separator_no_timefilm" else LAST_NORM
        groups |= blocks(4e-4, 0.9, "sed/", last_norm)
    return groups


def groups_of(config: DictConfig, network: nn.Module) -> list[dict[str, Any]]:
    rates = instantiate(config.model.system.rates)
    make = separator_groups if isinstance(network, GuidedSeparator) else sed_groups
    return make(network, rates, config.model.optim.weight_decay)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_part_learns_at_its_published_rate(composed: Compose, experiment: str) -> None:
    config = composed(f"experiment={experiment}", "scale=paper")
    with torch.device("meta"):
        network = instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")
    groups = groups_of(config, network)
    found = {group["name"]: (group["lr"], sum(p.numel() for p in group["params"])) for group in groups}
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    if experiment in BASELINES:
        assert {rate for rate, _ in found.values()} == {1e-4}
        assert sum(count for _, count in found.values()) == sum(p.numel() for p in network.parameters())
    else:
        expected = published_groups(experiment)
        assert {name: count for name, (_, count) in found.items()} == {name: n for name, (_, n) in expected.items()}
        for name, (rate, _) in expected.items():
            assert found[name][0] == pytest.approx(rate), name


# Three steps at mini scale, on scenes of a tiny data set.

SMALL = (
    "data=folder",
    "data.workers=0",
    "sample_rate=16000",
    "duration=1.0",
    "scale.sed.unit_frames=51",
    "scale.sed.f_max=8000",
    "scale.baseline.unit_frames=51",
    "scale.baseline.sample_rate=16000",
    "scale.baseline.f_max=8000",
    "scale.sed.track_width=16",
    "model.training.duration=1.0",
    "model.training.batch_size=2",
    "model.training.eval_batch_size=2",
    "model.training.epoch_size=6",
    "model.training.epochs=1",
    "model.training.validate_every=1",
)


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("data") / "set", seconds=1.0)


@pytest.fixture
def small(composed: Compose, tiny_set: Path) -> Compose:
    """A config on the tiny data set, with overrides of its own."""
    return lambda *overrides: composed(*SMALL, f"data.root={tiny_set}", *overrides)


def fit(config: DictConfig, directory: Path) -> tuple[nn.Module, dict[str, Tensor], pandas.DataFrame]:
    """Train the configured model: the network, its state before, and what was logged, step by step."""
    recipe, layout = parts.recipe(config), common.data_set(config)
    network = build_network(recipe, config.seed, directory)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parts.trainings(config, common.class_labels(config), lambda: layout).fit(recipe, network, directory)
    logged = pandas.read_csv(directory / "metrics.csv").pivot(index="step", columns="name", values="value")
    return network, before, logged


def moved(network: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    return {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains(small: Compose, tmp_path: Path, experiment: str) -> None:
    config = small(f"experiment={experiment}")
    network, before, logged = fit(config, tmp_path / "checkpoints")
    assert logged["train/loss_epoch"].dropna().map(math.isfinite).all()
    assert logged["valid/loss"].dropna().map(math.isfinite).all()
    assert logged.index.max() == 2
    names = {id(p): name for name, p in network.named_parameters()}
    grouped = [{names[id(p)] for p in group["params"]} for group in groups_of(config, network)]
    changed = moved(network, before)
    assert all(group & changed for group in grouped)
    assert changed <= set.union(*grouped)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("experiment", "part", "head"),
    [("baseline_tagger", "baseline", "weak_head"), ("dcase2026_tagger_4c", "tracks", "tracks")],
)
def test_the_challenge_s_tagger_goes_on_from_its_head_at_a_rate_of_its_own(
    small: Compose, tmp_path: Path, experiment: str, part: str, head: str
) -> None:
    plain = ("scale.sed.depth=4", "scale.sed.stem=[]")
    first, _, _ = fit(small(f"experiment={experiment}_head", *plain), tmp_path / "head")
    own = (f"scale.{part}.trained_blocks=2", f"scale.{part}.lr=2e-5", f"scale.{part}.lr_heads=2e-5")
    given = (*plain, *own, f"model.ckpt={tmp_path / 'head' / 'last.ckpt'}")
    second, before, _ = fit(small(f"experiment={experiment}", *given), tmp_path / "second")
    assert all(torch.equal(before[name], value) for name, value in first.state_dict().items())
    names = moved(second, before)
    last = {f"backbone.blocks.{index}" for index in (2, 3)}
    assert {".".join(name.split(".")[:3]) for name in names if "blocks" in name} == last
    assert {name.split(".")[0] for name in names if "blocks" not in name} == {"backbone", head}
    assert {name for name in names if name.startswith("backbone") and "blocks" not in name} == {
        "backbone.norm.weight",
        "backbone.norm.bias",
    }
    assert (
        max((p - before[name]).abs().max() for name, p in second.named_parameters()) < 3.1 * 2e-5
    )  # three steps of it


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options",
    [
        "experiment=separator_iter_2 trainer.precision=bf16-mixed speed.fused=true",
        "model=tagger trainer.precision=bf16-mixed model.system.mixup.probability=1",
        "model=tagger model.system.mixup.probability=0.5 model.system.frequency_warp.probability=0.5",
        "model=tagger optim@model.optim=sgd schedule@model.optim.schedule=linear model.optim.weight_decay=0.01",
        "experiment=separator_dprnn optim@model.optim=adamw_constant trainer.accumulate_grad_batches=3",
        "model=tagger optim@model.optim=sgd speed.fused=true",
        "model=tagger augment=[specaugment,filteraugment,equaliser,joining] callbacks=ema",
        "augment=[rotation,equaliser,joining] callbacks=swa data.render=device",
    ],
)
def test_every_way_to_train_trains(small: Compose, tmp_path: Path, options: str) -> None:
    network, before, logged = fit(small(*options.split()), tmp_path / "checkpoints")
    assert logged["train/loss_epoch"].dropna().map(math.isfinite).all()
    assert moved(network, before)


@pytest.mark.filterwarnings("ignore")
def test_overfitting_repeats_its_batches_and_lowers_the_loss(
    small: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = GeneratedScenes.draw
    monkeypatch.setattr(GeneratedScenes, "draw", lambda self, item: drawn.append(item) or draw(self, item))
    options = ("model=tagger", "trainer=overfit", "trainer.max_epochs=20", "model.training.validate_every=20")
    anew = ("model.optim.warmup_steps=0", "scale.tagger.training.pool=null")
    _, _, logged = fit(small(*options, *anew), tmp_path / "checkpoints")
    losses = logged["train/loss_epoch"].dropna().tolist()
    assert drawn == [0, 1, 2, 3] * 20
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.filterwarnings("ignore")
def test_a_profile_says_where_the_time_goes(small: Compose, tmp_path: Path) -> None:
    fit(small("trainer=profile", "model=tagger"), tmp_path / "checkpoints")
    assert "run_training_batch" in (tmp_path / "checkpoints" / "fit-profile.txt").read_text()
