"""experiment=self_guided through the command line: trained with what it leans on, scored, and scored again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from minis import LABELS, make_guided, make_sed, refused
from omegaconf import DictConfig
from tiny import TINY, write_tiny_set

from sedsep.composition import parts

ROUNDS = ("refinement.eval_iters=[1,2,3]", "task.write_estimates=true")


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_the_loop_is_trained_and_scored_under_its_own_labels(run_py: Callable[..., object], tmp_path: Path) -> None:
    data = write_tiny_set(tmp_path / "set")

    def job(name: str, *overrides: str) -> object:
        small = [override for override in TINY if "label_sources" not in override]
        return run_py(*small, f"data.root={data}", "logger=none", f"hydra.run.dir={tmp_path / name}", *overrides)

    done = job("trained", "experiment=self_guided")
    assert done.returncode == 0, done.stderr
    assert "stems" in (tmp_path / "trained" / "report.html").read_text()

    done = job("rounds", "task=evaluate", f"ckpt={tmp_path / 'trained'}", "task.threshold=0", *ROUNDS)
    assert done.returncode == 0, done.stderr
    before, now = metrics(tmp_path / "trained"), metrics(tmp_path / "rounds")
    assert now["test/capi_sdri/oracle"] == pytest.approx(before["test/capi_sdri/oracle"], abs=1e-4)
    for source in ("tagger", "stems", "self_guided", "oracle"):
        assert {f"test/capi_sdri@{rounds}/{source}" for rounds in (1, 2, 3)} <= set(now)
        assert list((tmp_path / "rounds" / "estimates" / source).glob("*.wav"))
    assert now["test/capi_sdri@1/stems"] == now["test/capi_sdri@3/stems"]
    assert now["test/capi_sdri@1/self_guided"] != now["test/capi_sdri@3/self_guided"]

    (first,) = (tmp_path / "cache" / "models").glob("unlabelled-*/last.ckpt")
    (tagger,) = (tmp_path / "cache" / "models").glob("tagger-*/last.ckpt")
    given = (f"ckpt={first}", f"tagger.ckpt={tagger}", "edition=dcase2026", "task.threshold=0")
    done = job("first", "task=evaluate", "model=unlabelled", *given)
    assert done.returncode == 0, done.stderr
    alone = metrics(tmp_path / "first")
    assert alone["test/capi_sdri/stems"] == pytest.approx(now["test/capi_sdri/stems"], abs=1e-4)
    assert not any(name.endswith(("/tagger", "/oracle")) for name in alone)


def test_a_first_stage_that_is_told_labels_and_an_ensemble_are_refused(composed: Callable[..., DictConfig]) -> None:
    told = make_guided(outputs=3)
    models: Any = {"unlabelled": [SimpleNamespace(network=told)], "tagger": [SimpleNamespace(network=make_sed())]}
    with refused(r"unlabelled\.ckpt is a separator that is told labels"):
        parts.self_guided(composed("experiment=self_guided"), LABELS, models, told)
    with refused("ckpt is a separator that is told labels"):
        parts.self_guided(composed("model=unlabelled"), LABELS, models, told)
    with refused("names an ensemble"):
        config = composed("experiment=self_guided", "ckpt=[a,b]")
        parts.label_sources(config, parts.recipe(config))
    assert parts.self_guided(composed("experiment=dcase2026_guided"), LABELS, models, told) is None
