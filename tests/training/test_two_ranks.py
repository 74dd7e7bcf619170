"""Several processes that train one network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_two_ranks_draw_the_same_passes_and_keep_the_same_weights(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "training" / "two_ranks.py"), str(tmp_path)]
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert set(one["passes"]) == {1, 2, 3, 4}
    assert one == other
