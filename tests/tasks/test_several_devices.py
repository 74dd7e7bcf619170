"""trainer=ddp through the command line, on the CPU."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from short_training import SHORT, write_set

ROOT = Path(__file__).parents[2]
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "speed.compile=false", "speed.fused=false")


def start(where: Path, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "run.py"), *SHORT, "logger=none", f"hydra.run.dir={where}", *arguments]
    env = {**os.environ, "SEDSEP_CACHE": str(where.parent / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=where.parent, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test scores") == 1  # the first process alone reports


def run(where: Path, *arguments: str) -> dict[str, list[float]]:
    """The history of a training: values of each metric, step by step."""
    start(where, *arguments)
    history: dict[str, list[float]] = {}
    (file,) = where.glob("checkpoints/*/metrics.csv")
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            history.setdefault(row["name"], []).append(float(row["value"]))
    return history


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", valid_scenes=3)  # one process validates two of them, the other one
    # A BatchNorm would see half of the batch: no process of its own on a CPU can know the other's statistics.
    # Nor do its draws know how scenes are dealt out: nothing is warped.
    plain = ("model.network.head_norm=false", "scale.sed.stem=[]", "scale.tagger.warp.probability=0")
    job = (f"data.root={root}", "model=tagger", *plain)
    one = run(tmp_path / "one", *job)
    two = run(tmp_path / "two", *job, *TWO, "scale.tagger.training.batch_size=2")
    for metric in ("train/loss_step", "train/loss_epoch", "valid/loss", "valid/label_accuracy@0.5"):
        assert len(one[metric]) == len(two[metric]) > 0
        assert two[metric] == pytest.approx(one[metric], abs=1e-5), metric


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", valid_scenes=3)
    run(tmp_path / "one", f"data.root={root}", "model=tagger")
    job = (f"data.root={root}", "data.module.test_split=valid", "model=tagger", f"ckpt={tmp_path / 'one'}")
    start(tmp_path / "alone", "task=evaluate", *job)
    start(tmp_path / "shared", "task=evaluate", *job, *TWO)
    alone, shared = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("alone", "shared"))
    assert shared == pytest.approx(alone, abs=1e-5)
    assert alone["valid/label_accuracy/tagger"] is not None
    rows = [(tmp_path / name / "mixtures.csv").read_text() for name in ("alone", "shared")]
    assert rows[0] == rows[1]  # in the order of the scenes


@pytest.mark.slow
def test_a_process_without_a_scene_to_validate_keeps_nobody_waiting(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", valid_scenes=1)
    job = (f"data.root={root}", "model=separator", "refinement.iters=2", "task.label_sources=[baseline,oracle]")
    history = run(tmp_path / "two", *job, *TWO, "scale.separator.score_every=2")
    assert all(len(history[metric]) == 1 for metric in ("valid/loss", "valid/ca_sdri/baseline"))
