"""Where numbers come from, and what tracking brings along."""

from __future__ import annotations

import ast
import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

import sedsep.runs.tracking
from sedsep.runs import provenance

PACKAGE = Path(sedsep.runs.tracking.__file__).parent


def test_the_facts_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "seed=1", "data.root=my sounds"])
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    facts = provenance.facts("0123-dirty", ["seed=1"])
    assert facts["sedsep.command"] == "python run.py seed=1 'data.root=my sounds'"
    assert facts["mlflow.source.git.commit"] == "0123"
    assert facts["sedsep.uncommitted_changes"] == "true"
    assert facts["sedsep.slurm_job"] == "17"
    assert "mlflow.source.git.commit" not in provenance.facts(None, [])


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert provenance.user().isdigit()


def test_the_environment_names_what_is_installed() -> None:
    lines = provenance.environment().splitlines()
    assert any(line.startswith("torch==") for line in lines)
    assert lines == sorted(lines, key=str.lower)


def imported_at_once(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def test_mlflow_comes_with_logger_mlflow_alone() -> None:
    """Its import takes seconds: only the store does it, and nobody imports the store before it is wanted."""
    for file in PACKAGE.glob("*.py"):
        names = set(imported_at_once(file))
        assert "sedsep.runs.tracking.store" not in names
        assert file.stem == "store" or not any(name.split(".")[0] == "mlflow" for name in names)
