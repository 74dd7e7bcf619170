from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

RunPy = Callable[..., subprocess.CompletedProcess[str]]


def test_the_task_writes_what_it_prints(run_py: RunPy, tmp_path: Path) -> None:
    done = run_py("task=benchmark", "task.queries=[1]", "task.repeats=1", "task.iters=[0,2]", "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "here" / "metrics.json").read_text())
    assert metrics["benchmark/separator/fp32/ratio"] > 1
    assert metrics["benchmark/separator/bf16/iters_2/passes_2/seconds"] > 0
    table = (tmp_path / "here" / "benchmark.md").read_text()
    assert table.count("\n|") == 2 + 6  # heading, rule; two precisions of 1 pass, of 1 and of 2 with refinement
    assert f"{metrics['benchmark/separator/fp32/ratio']:.2f}" in table
    assert not (tmp_path / "cache").exists()
    refused_model = run_py("task=benchmark", "model=tagger")
    assert refused_model.returncode == 1
    assert "not tagger" in refused_model.stderr
