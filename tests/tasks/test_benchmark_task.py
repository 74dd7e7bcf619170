from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sedsep.training.meters import PHASES

RunPy = Callable[..., subprocess.CompletedProcess[str]]


def test_the_task_writes_what_it_prints(run_py: RunPy, tmp_path: Path) -> None:
    tiny = [f"task.set.{key}" for key in ("rooms=2", "positions=2", "taps=800", "labels=3", "source_seconds=[0.2,0.5]")]
    tiny += ["task.set.background_seconds=1", "task.set.scene_seconds=1", "task.scenes=4"]
    small = ["task.queries=[1]", "task.repeats=1", "task.iters=[0,2]"]
    done = run_py("task=benchmark", *tiny, *small, "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "here" / "metrics.json").read_text())
    assert metrics["benchmark/separator/fp32/ratio"] > 0
    assert metrics["benchmark/separator/bf16/iters_2/passes_2/seconds"] > 0
    table = (tmp_path / "here" / "benchmark.md").read_text()
    # Scenes: heading, rule, worker, device; separator: two precisions of 1 pass, of 1 and of 2 with refinement.
    assert table.count("\n|") == 4 + 2 + 6
    assert metrics["benchmark/scenes/ratio"] > 0
    assert f"{metrics['benchmark/separator/fp32/ratio']:.2f}" in table
    refused_model = run_py("task=benchmark", "task.parts=[separator]", "model=tagger")
    assert refused_model.returncode == 1
    assert "not tagger" in refused_model.stderr


@pytest.mark.slow
def test_training_steps_are_split_into_phases(run_py: RunPy, tmp_path: Path) -> None:
    small = [f"task.sets.mini.{key}" for key in ("rooms=1", "positions=2", "taps=800", "source_seconds=[0.2,0.5]")]
    small += ["task.sets.mini.background_seconds=1", "task.training.steps=2", "task.training.warm_up=1"]
    small += ["model.training.duration=1", "model.training.batch_size=2", "trainer.accumulate_grad_batches=2"]
    training = ("task=benchmark", "task.parts=[training]", "conditioning=none", *small)
    done = run_py(*training, "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "here" / "metrics.json").read_text())
    for scenes in ("", "ready/", "plain/"):
        cost = {key: metrics[f"benchmark/training/{scenes}{key}"] for key in ("step_seconds", "mixtures_per_second")}
        parts = [metrics[f"benchmark/training/{scenes}{phase}_seconds"] for phase in PHASES]
        assert min(parts) > 0
        assert sum(parts) == pytest.approx(cost["step_seconds"])
        assert cost["mixtures_per_second"] == pytest.approx(2 * 2 / cost["step_seconds"])
    assert (tmp_path / "here" / "benchmark.md").read_text().count("\n|") == 5
    assert metrics["benchmark/training/kept_gb"] < 0.6 * metrics["benchmark/training/plain/kept_gb"]
    too_short = run_py(*training, "trainer=debug", "task.training.warm_up=2")
    assert too_short.returncode == 1
    assert "task.training.warm_up=2" in too_short.stderr
