"""task=compare through the command line: runs, a checkpoint and a submission's zip, and what is refused."""

from __future__ import annotations

import csv
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import TINY, write_tiny_set

Job = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def job(run_py_in: Callable[[Path], Job], home: Path) -> Job:
    """Runs a job where two trainings, with other seeds, lie in `one` and `two`, and `zip` is what `one` made."""
    run = run_py_in(home)
    data = write_tiny_set(home / "set")

    def call(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
        return run(*overrides, "logger=none", f"hydra.run.dir={home / name}")

    estimates = "task.write_estimates=true"
    for name, *more in (("one", "seed=1", estimates), ("two", "seed=2")):
        done = call(name, *TINY, f"data.root={data}", "task.label_sources=[tagger,oracle]", *more)
        assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(home / "made.zip", "w") as archive:
        for file in (home / "one" / "estimates" / "tagger").glob("*.wav"):
            archive.write(file, file.name)
    return call


def changes(folder: Path, **of: str) -> list[dict[str, str]]:
    with (folder / "comparison.csv").open() as lines:
        return [row for row in csv.DictReader(lines) if all(row[name] == value for name, value in of.items())]


def test_trainings_with_other_seeds_a_checkpoint_and_a_zip_are_ranked_on_the_data_of_the_first(
    job: Job, home: Path
) -> None:
    checkpoint = next((home / "one" / "checkpoints").glob("separator/last.ckpt"))
    systems = f"b=['{home / 'two'}','{checkpoint}','{home / 'made.zip'}']"
    done = job("compared", "task=compare", f"a={home / 'one'}", systems, "task.examples=1")
    assert done.returncode == 0, done.stderr
    before, now = (json.loads((home / name / "metrics.json").read_text()) for name in ("one", "two"))
    (main,) = changes(home / "compared", table="all", metric="ca_sdri", system="B")
    change = now["test/ca_sdri/tagger"] - before["test/ca_sdri/tagger"]
    assert float(main["difference"]) == pytest.approx(change, abs=1e-9)
    for letter in "CD":  # the same weights, and what they made
        for row in changes(home / "compared", system=letter):
            assert not row["difference"] or float(row["difference"]) == pytest.approx(0, abs=1e-4), row
    ranking = json.loads((home / "compared" / "comparison.json").read_text())["ranking"]
    assert list(ranking) == ["A", "B", "C", "D"]
    page = (home / "compared" / "comparison.html").read_text()
    assert "<audio" in page
    assert (home / "compared" / "C" / "mixtures.csv").is_file()
    assert not (home / "compared" / "B" / "mixtures.csv").exists(), "what was scored is not scored again"


def test_a_run_and_itself_differ_by_exactly_nothing(job: Job, home: Path) -> None:
    done = job("same", "task=compare", f"a={home / 'one'}", f"b={home / 'one'}")
    assert done.returncode == 0, done.stderr
    assert {row["difference"] for row in changes(home / "same")} <= {"0.0", ""}
    assert "In no mixture do the systems differ" in (home / "same" / "comparison.html").read_text()


def test_what_cannot_be_paired_is_told_before_it_is_scored(job: Job, home: Path) -> None:
    alone = job("refused", "task=compare", f"a={home / 'one'}")
    assert "add a=PATH b=PATH" in alone.stderr.strip().splitlines()[-1]
    other = write_tiny_set(home / "other", scenes_per_split={"valid": 2, "test": 2})
    checkpoint = next((home / "one" / "checkpoints").glob("separator/last.ckpt"))
    done = job("refused", "task=compare", f"a={home / 'one'}", f"b={checkpoint}", f"data.root={other}")
    assert done.returncode == 1
    assert "2 are the same" in done.stderr.strip().splitlines()[-1]
    nothing = job("refused", "task=compare", f"a={home / 'one'}", "b=nowhere.zip")
    assert "There is nothing at nowhere.zip" in nothing.stderr.strip().splitlines()[-1]
