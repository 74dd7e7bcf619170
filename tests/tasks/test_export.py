"""Networks are exported by command, and used by another."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from minis import RATE, noise
from whole_systems import saved

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RunPy = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_what_is_exported_separates(run_py: RunPy, tmp_path: Path) -> None:
    for path in saved(tmp_path):
        done = run_py("task=export", f"ckpt={path}")
        assert done.returncode == 0, done.stderr
        assert "ONNX opset 20, float32" in done.stdout
        assert float(done.stdout.split("Agrees with PyTorch to ")[1].split()[0]) > 80
    soundfile.write(tmp_path / "x.wav", 0.02 * noise(3 * RATE, 2).numpy(), RATE)
    used = "ckpt=separator.onnx", "tagger.ckpt=tagger.onnx"
    done = run_py("task=separate", "audio=x.wav", *used, "task.threshold=0", "task.output=out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "x").glob("*.wav"))) > 1


def test_what_cannot_be_exported_is_refused(run_py: RunPy, tmp_path: Path) -> None:
    separator, _ = saved(tmp_path)
    for arguments, sentence in (
        ([], "task=export needs a trained network"),
        ([f"ckpt={separator}", "task.target=x.bin"], "is no name of an ONNX file"),
        ([f"ckpt={separator}", "task.seconds=0.001"], "is too short for this network"),
        ([f"ckpt={separator}", "task.iters=2"], "2 passes were asked of a separator without feedback"),
    ):
        done = run_py("task=export", *arguments)
        assert done.returncode == 1
        assert sentence in done.stderr
