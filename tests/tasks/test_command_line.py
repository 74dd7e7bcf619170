"""What a person sees who mistypes something, or gives `run.py` a folder that is not a data set."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("model=separater", ["model", "separater", "separator_dprnn", "did you mean separator"]),
        ("modle=separator", ["modle", "did you mean model"]),
        ("refinement.itres=3", ["refinement", "itres", "did you mean iters"]),
        ("scale.tagger.training.epoch=3", ["epoch", "did you mean epochs"]),
        ("seed=one", ["seed=one", "number"]),
        ("data=folder", ["data.root"]),
        ("refinement.eval_iters=1,2", ["'refinement.eval_iters=[1,2]'", "add -m"]),
        ("data=floder", ["one of dcase2025, dcase2026, folder, synthetic, synthetic_large (did you mean folder?)."]),
        ("hydra/launcher=slrum", ["hydra/launcher has no option 'slrum'", "did you mean slurm"]),
        ("hydra.launcher.gpus=2", ["hydra.launcher has no entry 'gpus'"]),
        ("trainer.gradient_clip_val=much", ["trainer.gradient_clip_val=much", "number"]),
    ],
)
def test_a_typo_is_answered_with_the_valid_names(run_py: RunPy, argument: str, says: list[str]) -> None:
    done = run_py(argument)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    for part in says:
        assert part in sentence


def test_help_names_the_groups_and_gives_examples(run_py: RunPy) -> None:
    done = run_py("--help")
    assert done.returncode == 0
    for part in ("conditioning", "soundbeam_frozen", "refinement.iters=3", "python run.py data=folder"):
        assert part in done.stdout


@pytest.mark.parametrize("kind", ["missing", "empty", "no_layout", "a_file"])
def test_a_folder_that_is_no_data_set(run_py: RunPy, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "sounds"
    if kind == "a_file":
        root.write_text("x")
    elif kind != "missing":
        root.mkdir()
    if kind == "no_layout":
        (root / "music").mkdir()
    done = run_py("data=folder", f"data.root={root}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(root) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
