"""What a sweep's directory says about it."""

from __future__ import annotations

from pathlib import Path

from minis import refused

from sedsep.runs.sweeps import Job, Manifest
from sedsep.runs.sweeps.manifest import differing


def make(root: Path, *overrides: tuple[str, ...]) -> Manifest:
    jobs = [Job(number, given, directory=str(number)) for number, given in enumerate(overrides)]
    return Manifest(root, jobs, "python run.py -m seed=1,2", "/here", 1.0, ["hydra/launcher=slurm"])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = make(tmp_path, ("seed=1",), ("seed=2",))
    manifest.record(1, id="7_1", log="slurm/7_1/log", code="abc")
    manifest.write()
    assert Manifest.read(tmp_path) == manifest
    assert manifest.ids == ["7_1"]
    assert manifest.log(manifest.jobs[1]) == tmp_path / "slurm/7_1/log"
    assert manifest.log(manifest.jobs[0]) is None


def test_a_directory_without_one_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        assert not Manifest.is_in(root)
        with refused(f"{root.name} holds no sweep"):
            Manifest.read(root)


def test_only_what_differs_is_told(tmp_path: Path) -> None:
    jobs = make(tmp_path, ("model=tagger", "seed=1"), ("model=tagger", "seed=2")).jobs
    assert differing(jobs) == {0: ("seed=1",), 1: ("seed=2",)}
    assert differing(jobs[:1]) == {0: ("model=tagger", "seed=1")}
