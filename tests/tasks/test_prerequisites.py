"""Which weights a training starts from, and that it says so before anything long begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from minis import refused
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from sedsep import checkpoints
from sedsep.checkpoints.published import PUBLISHED
from sedsep.composition import common, parts
from sedsep.evaluation.label_sources import options_among
from sedsep.models import GuidedSeparator
from sedsep.tasks import train
from sedsep.training.build import build_network
from sedsep.training.fit import Trainings
from sedsep.training.prerequisites import keep_for_others, needed_options, recipe_key

Compose = Callable[..., DictConfig]

SMALL = ("model=tagger", "scale.sed.depth=1", "scale.sed.width=16", "scale.sed.stem=[]")


BASELINE, TAGGER = f"baseline.ckpt={__file__}", f"tagger.ckpt={__file__}"  # there, but not read


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEDSEP_OFFLINE", "1")


def weights(config: DictConfig) -> dict[str, Tensor]:
    return build_network(parts.recipe(config), config.seed, Path(config.paths.cache)).state_dict()


def key(config: DictConfig) -> str:
    """Of what is trained on the spot, on a data set that stays the same."""
    layout: Any = SimpleNamespace(fingerprint=lambda split: split)
    trainings = parts.trainings(config, common.class_labels(config), lambda: layout)
    return recipe_key(parts.recipe(config), trainings, Path(config.paths.cache))


def test_a_tagger_that_is_trained_alone_lies_where_separators_look(composed: Compose, tmp_path: Path) -> None:
    config, directory = composed("model=tagger"), tmp_path / "run"
    directory.mkdir()
    (directory / "last.ckpt").write_text("weights")
    layout: Any = SimpleNamespace(fingerprint=lambda split: split)
    trainings = parts.trainings(config, common.class_labels(config), lambda: layout)
    for _ in range(2):  # the second finds it there
        keep_for_others(parts.recipe(config), trainings, directory, tmp_path)
    looked_for = recipe_key(parts.recipe(composed(), "tagger"), trainings, tmp_path)
    (kept,) = (path for path in (tmp_path / "models").iterdir() if path.is_dir())
    assert kept.name == f"tagger-{looked_for}"
    assert (kept / "last.ckpt").read_text() == "weights"


def test_what_is_overfitted_or_averaged_is_what_was_asked_for(composed: Compose) -> None:
    def trainings(*overrides: str) -> Trainings:
        config, layout = composed(*overrides), SimpleNamespace()
        return parts.trainings(config, common.class_labels(config), lambda: layout)  # type: ignore[arg-type, return-value]

    assert trainings("trainer=overfit").trainer["overfit_batches"] == 2
    assert trainings("trainer=overfit").ordinary().trainer == trainings().trainer == trainings().ordinary().trainer
    assert "average" in trainings("callbacks=ema").callbacks
    assert trainings("callbacks=ema").ordinary().callbacks == trainings().callbacks


def test_what_is_augmented_is_what_was_asked_for(composed: Compose) -> None:
    everything = "augment=[rotation,equaliser,joining,specaugment,filteraugment]"
    plain, changed = composed("model=tagger"), composed("model=tagger", everything)
    assert parts.recipe(changed, "tagger") == parts.recipe(plain, "tagger")
    assert list(parts.recipe(changed).plan.augment) == ["rotation", "equaliser", "joining"]
    assert list(parts.recipe(changed).system["augment"]) == ["specaugment", "filteraugment"]
    assert key(changed) != key(plain)
    assert "augment" not in str(parts.recipe(plain).fixed())  # known as before there was any
    with refused("augment=specaugment is for SED models, not for separator"):
        parts.recipe(composed("augment=specaugment"))


def needed(config: DictConfig) -> list[str]:
    recipe = parts.recipe(config)
    return needed_options(recipe, options_among(parts.label_sources(config, recipe)))


def network(config: DictConfig) -> Any:
    return instantiate(OmegaConf.to_container(config.model.network, resolve=True), _convert_="all")


@pytest.fixture
def m2d_file(composed: Compose, tmp_path: Path) -> Path:
    """Somebody's transformer of the small tagger's sizes: every weight is 0.5."""
    own = network(composed(*SMALL)).backbone.state_dict()
    state = {name.replace("patch_embed", "patch_embed.proj"): torch.full_like(own[name], 0.5) for name in own}
    torch.save(state, tmp_path / "m2d.pt")
    return tmp_path / "m2d.pt"


def test_a_model_starts_from_a_file(composed: Compose, m2d_file: Path) -> None:
    state = weights(composed(*SMALL, f"model.start={m2d_file}"))
    assert all((value == 0.5).all() for name, value in state.items() if name.startswith("backbone."))
    assert not (state["weak_head.weight"] == 0.5).any()


def test_without_a_start_the_seed_alone_decides(composed: Compose) -> None:
    one, other = weights(composed(*SMALL)), weights(composed(*SMALL))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not torch.equal(one["backbone.pos_embed"], weights(composed(*SMALL, "seed=1"))["backbone.pos_embed"])


def test_a_checkpoint_wins_over_a_start(composed: Compose, tmp_path: Path) -> None:
    config = composed(*SMALL)
    own, path = network(config), tmp_path / "own.ckpt"
    plain = OmegaConf.to_container(config.model.network, resolve=True)
    checkpoints.save(path, own, checkpoints.Description("sed", "mini", plain, tuple(config.labels.names)))
    state = weights(composed(*SMALL, f"model.ckpt={path}", "model.start=not_even_looked_at"))
    assert all(torch.equal(value, state[name]) for name, value in own.state_dict().items())


def test_what_is_trained_on_the_spot_is_kept_apart_by_what_it_started_from(composed: Compose, m2d_file: Path) -> None:
    config = composed(*SMALL, f"model.start={m2d_file}")
    before = key(config)
    assert key(config) == before
    torch.save({"another": torch.zeros(1)}, m2d_file)
    assert key(config) != before


@pytest.mark.parametrize(
    ("experiment", "start"),
    [
        ("m2d_tagging", "m2d_strong_1"),
        ("separator_baseline", "audiosep_base"),
        ("separator_iter_3", "audiosep_base"),
        ("baseline_tagger", "m2d_as_32k"),
        ("baseline_resunet", None),
        ("baseline_resunetk", None),
    ],
)
def test_the_published_recipes_start_where_they_did_and_small_ones_from_scratch(
    composed: Compose, experiment: str, start: str | None
) -> None:
    config = composed(f"experiment={experiment}", "scale=paper")
    assert config.model.start == start
    assert {config.tagger.published, config.baseline.published} <= set(PUBLISHED)
    small = composed(f"experiment={experiment}")
    assert {small.model.start, small.tagger.start, small.baseline.start} == {None}


@pytest.mark.parametrize("conditioning", ["none", "soundbeam", "soundbeam_only", "soundbeam_frozen", "time_film"])
def test_a_tagger_is_needed_for_labels_and_by_guided_separators(composed: Compose, conditioning: str) -> None:
    config = composed(f"conditioning={conditioning}", "task.label_sources=[oracle]")
    separator = network(config)
    assert isinstance(separator, GuidedSeparator)
    assert needed(config) == ([] if separator.sed is None else ["tagger"])
    assert needed(composed(f"conditioning={conditioning}")) == ["tagger"]
    assert needed(composed(f"conditioning={conditioning}", "scale=paper")) == ["baseline", "tagger"]
    assert needed(composed("model=tagger")) == []
    loop = "task.label_sources=[self_guided]"
    assert needed(composed(f"conditioning={conditioning}", loop)) == ["tagger", "unlabelled"]
    assert needed(composed(f"conditioning={conditioning}", loop, "model=unlabelled")) == ["tagger"]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ("experiment=separator_baseline",),
            r"The baseline_tagger has .* \(baseline\.ckpt=baseline_tagger\), .* baseline\.ckpt=PATH\.",
        ),
        (
            ("experiment=separator_baseline", BASELINE),
            r"\(tagger\.ckpt=m2d_tagging\), .* tagger\.ckpt=PATH\.",
        ),
        (
            ("experiment=separator_dprnn", BASELINE, TAGGER),
            r"get https://hugg\S+ckpt \(about 1\.26 GB\) elsewhere and put it at \S+/weights/audiosep_base\.ckpt",
        ),
        (
            ("experiment=separator_dprnn", BASELINE, "tagger.ckpt=x.ckpt"),
            r"no checkpoint at x\.ckpt",
        ),
        (("experiment=m2d_tagging",), r"M2D_strong_1\.pt elsewhere and put it at \S+/weights/m2d_strong_1\.pt"),
        (("experiment=baseline_tagger",), r"32k\S+\.zip elsewhere and put it at \S+/weights/m2d_as\S+\.zip"),
        (("experiment=m2d_tagging", "model.start=m2d_strong"), r"did you mean m2d_strong_1\?"),
    ],
)
def test_missing_weights_are_named_before_anything_is_made(
    composed: Compose, tmp_path: Path, overrides: tuple[str, ...], says: str
) -> None:
    with refused(says):
        train.run(composed("scale=paper", *overrides))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}
