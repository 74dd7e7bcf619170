"""A whole study through the command line, trained for two batches."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY, write_tiny_set

ROOT = Path(__file__).parents[2]
SMALL = ("data.root=set", *(text.replace(",", ", ") for text in TINY))  # a value with spaces among them
STUDY = f"""
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location

from sedsep.studies import main

spec = spec_from_file_location("study", "{ROOT}/experiments/table1/study.py")
module = module_from_spec(spec)
spec.loader.exec_module(module)
rows = tuple(row for row in module.STUDY.rows if row.experiment in ("separator_baseline", "separator_no_timefilm"))
main(replace(module.STUDY, rows=rows))
"""


@pytest.mark.slow
def test_a_study_trains_what_is_missing_and_no_more(tmp_path: Path) -> None:
    write_tiny_set(tmp_path / "set")
    (tmp_path / "study.py").write_text(STUDY)

    def study(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "study.py", *SMALL, "out=results", *arguments]
        env = {**os.environ, "SEDSEP_CACHE": str(tmp_path / "cache")}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    def sweeps() -> list[list[str]]:
        files = sorted((tmp_path / "multirun" / "studies" / "table1").glob("*/*/sweep.json"))
        return [[" ".join(job["overrides"][:2]) for job in json.loads(file.read_text())["jobs"]] for file in files]

    nothing = study("seed=0", "--collect")
    assert nothing.returncode == 1, nothing.stderr
    assert "separator_baseline, seed 0: not launched" in nothing.stdout
    assert not (tmp_path / "multirun").exists()

    failed = study("seed=0", "tagger.ckpt=later.ckpt")
    assert failed.returncode == 1
    assert "later.ckpt: check the path" in failed.stdout

    first = study("seed=0")
    assert first.returncode == 0, first.stdout + first.stderr
    both = ["experiment=separator_baseline seed={}", "experiment=separator_no_timefilm seed={}"]
    assert sweeps()[1:] == [[one.format(0) for one in both]]
    more = study("seed=0,1", "trainer.log_every_n_steps=2")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "2 of 4 cells have a run" in more.stdout
    assert sweeps()[2:] == [[one.format(1) for one in both]]
    again = study("seed=0,1")
    assert again.returncode == 0
    assert len(sweeps()) == 3

    with (tmp_path / "results" / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert len({cell["run"] for cell in cells}) == 4
    run_dir = next((tmp_path / "multirun" / "studies" / "table1").glob("*/*/0/metrics.json"))
    scores = {json.loads(p.read_text()).get("test/ca_sdri/oracle") for p in run_dir.parents[2].glob("*/*/metrics.json")}
    assert {float(cell["ca_sdri/oracle"]) for cell in cells} == {round(value, 4) for value in scores}
