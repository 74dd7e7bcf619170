"""The wheel alone, outside the clone: all of the command, a sweep from a copy of the code, and the way from Python."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TINY, write_tiny_set

from sedsep.checkpoints.finding import BOX

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "run.py", "conf", "sedsep", "hydra_plugins")
NOT_FOR_SEPARATING = {
    *("dcase_util", "h5py", "hydra", "lightning", "matplotlib", "mlflow", "pandas", "pyroomacoustics", "requests"),
    *("scipy", "sed_scores_eval", "submitit"),
}
FROM_PYTHON = """
import sys
import sedsep
system = sedsep.load(sys.argv[1])
print(*sys.modules)
import soundfile
waveform, rate = soundfile.read(sys.argv[2], always_2d=True)
print(system.separate(waveform.T.astype("float32"), rate).residual.shape[-1])
"""

Call = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a clone with settings of somebody's own."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "clone").mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "local")
            shutil.copytree(ROOT / name, folder / "clone" / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy2(ROOT / name, folder / "clone")
    (folder / "clone" / "conf" / "local").mkdir()
    (folder / "clone" / "conf" / "local" / "default.yaml").write_text("seed: 5\n")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "clone")]
    subprocess.run(pip, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def call(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Runs a program of an environment that has the wheel, and the libraries of this one, in a directory of its own."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "env")
    python = home / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home / "env")}))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["SEDSEP_CACHE"] = str(home / "cache")

    def run(program: str, *arguments: str) -> str:
        command = [str(python.with_name(program)), *arguments]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    return run


def test_the_wheel_keeps_the_builders_settings_to_himself_and_fits_an_index(wheel: Path) -> None:
    assert wheel.stat().st_size < 6e6
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata = content.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {name for name in configs if "/local/" not in name} == {
        name.removeprefix("sedsep/") for name in names if name.startswith("sedsep/conf/")
    }
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"hydra_plugins", "sedsep"}
    assert {f"sedsep/box/{path.name}" for path in BOX.iterdir()} <= {*names}
    assert " @ " not in metadata, "no index takes a package with an address in its metadata"


def test_the_command_explains_trains_separates_and_sweeps(call: Call, tmp_path: Path) -> None:
    told = call("sedsep", "--help")
    assert "sedsep task=separate" in told
    assert "run.py" not in told
    assert call("python", "-m", "sedsep", "-h") == told

    root = write_tiny_set(tmp_path / "set")
    call("sedsep", *TINY, f"data.root={root}", "logger=csv", f"hydra.run.dir={tmp_path / 'run'}")
    assert (tmp_path / "run" / "report.html").is_file()
    scene = root / "noise" / "test" / "room_00_00.wav"
    call("sedsep", "task=separate", f"ckpt={tmp_path / 'run'}", f"audio={scene}", f"task.output={tmp_path / 'stems'}")
    assert list((tmp_path / "stems").rglob("*.wav"))
    call("sedsep", "task=separate", f"audio={scene}", f"task.output={tmp_path / 'boxed'}")
    assert list((tmp_path / "boxed").rglob("residual.wav"))
    loaded, samples = call("python", "-c", FROM_PYTHON, str(tmp_path / "run"), str(scene)).splitlines()
    assert int(samples) == 3 * 16000
    assert not NOT_FOR_SEPARATING & {name.split(".")[0] for name in loaded.split()}

    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 3\n")
    call(
        "sedsep", "-m", "task=verify", "data=folder", f"data.root={root}", "sample_rate=16000", "logger=none",
        "experiment=separator_baseline,mine", "--config-dir", str(tmp_path / "own"), "hydra/launcher=local",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )  # fmt: skip
    with (tmp_path / "sweep" / "jobs.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["finished", "finished"]
    assert "seed: 3" in (tmp_path / "sweep" / "1" / ".hydra" / "config.yaml").read_text()
    assert [path.name for path in (tmp_path / "sweep" / "code").glob("*/*/__main__.py")] == ["__main__.py"]
