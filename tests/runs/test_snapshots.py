"""The code that jobs run stays as it was when they were submitted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sedsep.runs.provenance import commit, take


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for file in (
        "run.py",
        "conf/config.yaml",
        "conf/local/default.yaml",
        "sedsep/a.py",
        "hydra_plugins/sedsep_sweeps/b.py",
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    (root / "sedsep" / "conf").symlink_to("../conf")
    for file in ("sedsep/__pycache__/a.pyc", "tests/test_a.py", "outputs/x"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    return root


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_snapshot_holds_what_jobs_need_and_your_own_configs(project: Path, tmp_path: Path) -> None:
    taken = take(project, tmp_path / "code")
    assert taken.parent == tmp_path / "code"
    assert files(taken) == {
        "COMMIT", "run.py", "sedsep/a.py", "sedsep/conf/config.yaml", "sedsep/conf/local/default.yaml",
        "hydra_plugins/sedsep_sweeps/b.py",
    }  # fmt: skip


def test_the_same_code_is_the_same_snapshot_and_other_code_another(project: Path, tmp_path: Path) -> None:
    first = take(project, tmp_path / "code")
    (project / "tests" / "test_a.py").write_text("changed")
    assert take(project, tmp_path / "code") == first
    (project / "sedsep" / "a.py").write_text("changed")
    second = take(project, tmp_path / "code")
    assert second != first
    assert (first / "sedsep" / "a.py").read_text() == "sedsep/a.py"
    assert sorted((tmp_path / "code").iterdir()) == sorted([first, second]), "nothing stays behind"
    assert take(second, tmp_path / "code") == second, "a snapshot's own snapshot"


@pytest.mark.parametrize("foreign", ["sedsep/a.py", "sedsep/torch.py", "sedsep/__pycache__/a.cpython-311.pyc", "link"])
def test_what_lies_under_a_snapshots_name_and_is_something_else_is_replaced(
    project: Path, tmp_path: Path, foreign: str
) -> None:
    known = take(project, tmp_path / "code")
    if foreign == "link":
        known.rename(tmp_path / "elsewhere")
        known.symlink_to(tmp_path / "elsewhere")
    else:
        (known / foreign).parent.mkdir(exist_ok=True)
        (known / foreign).write_text("somebody else's")
    assert take(project, tmp_path / "code") == known
    assert not known.is_symlink()
    assert all("somebody" not in path.read_text() for path in known.rglob("*") if path.is_file())
    assert list((tmp_path / "code").iterdir()) == [known]


def test_a_snapshot_knows_its_commit_wherever_it_lies(project: Path) -> None:
    assert commit(project) is None

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True)

    git("init")
    git("add", "-A")
    git("commit", "-m", "one")
    known = commit(project)
    assert known
    taken = take(project, project / "multirun" / "code")
    git("commit", "--allow-empty", "-m", "two")
    assert commit(taken) == known
