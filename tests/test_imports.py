"""The way imports point, read from the source: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "sedsep"

GROUND = {
    "console", "errors", "signals", "events", "labels", "types", "dsp", "memory", "files", "fingerprint", "devices",
    "downloads", "labelling", "losses", "wiring",
}  # fmt: skip
PARTS = GROUND | {"modules", "metrics", "scenes"}
NETWORKS = PARTS | {"conditioning", "models"}
LOADED = NETWORKS | {"checkpoints"}
JOBS = LOADED | {"evaluation", "inference", "demo", "training", "benchmarks", "datasets", "runs", "composition"}
ROOT, ENTRY = "", "__main__"  # sedsep/__init__.py: the version

MAY_IMPORT = {
    ROOT: {"inference"},  # when it is asked for
    "console": set(),
    "errors": set(),
    "events": {"errors", "types"},
    "memory": set(),
    "signals": {"errors"},
    "files": {"errors"},
    "fingerprint": set(),
    "devices": {"errors"},
    "labelling": {"errors"},
    "labels": {"errors", "labelling", "types"},
    "types": {"errors"},
    "dsp": {"errors"},
    "downloads": {"errors", "files"},
    "losses": {"dsp", "types"},
    "wiring": {"errors"},
    "modules": GROUND,
    "metrics": GROUND,
    "scenes": GROUND,
    "datasets": GROUND | {"scenes", "evaluation"},  # scenes are inspected on a page of the report
    "runs": GROUND | {"metrics"},
    "conditioning": PARTS,
    "models": PARTS | {"conditioning"},
    "checkpoints": NETWORKS | {"runs"},  # what composes the networks of converted weights
    "evaluation": LOADED,
    "inference": LOADED | {"evaluation"},
    "demo": LOADED | {"evaluation", "inference"},
    "training": LOADED | {"evaluation", "runs"},
    "composition": LOADED | {"evaluation", "training", "runs"},
    "benchmarks": LOADED | {"training", "datasets"},
    "studies": GROUND | {"runs", "evaluation", "metrics"},
    "tasks": JOBS,
    ENTRY: {"tasks", "runs"},
}

MAY_USE = {
    "hydra": {"tasks", "studies", "runs"},
    "omegaconf": {"tasks", "runs", "composition"},
    "lightning": {"scenes", "training", "benchmarks", "tasks", "runs"},
    "mlflow": {"runs", "studies"},
    "gradio": {"demo"},
}


def room_of(path: Path) -> str:
    """The module or package below `sedsep` that a file belongs to."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ROOT if parts == ("__init__",) else parts[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, relative imports spelled out."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    package = ["sedsep", *path.relative_to(PACKAGE).parts[:-1]] if path.is_relative_to(PACKAGE) else []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("sedsep.")}
    return {name for name in names if name in ROOMS}  # the rest are the package's own attributes


SOURCES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {room_of(path) for path in SOURCES} - {ROOT}


def test_every_module_has_its_place_in_the_order() -> None:
    assert set(MAY_IMPORT) >= ROOMS, f"say in the design and here what may import {ROOMS - set(MAY_IMPORT)}"


def test_the_order_has_no_circle() -> None:
    placed: set[str] = set()
    while ready := {room for room, below in MAY_IMPORT.items() if below <= placed} - placed:
        placed |= ready
    assert placed == set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_point_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = {
        f"{path.relative_to(PROJECT)} imports {other}"
        for path in SOURCES
        if room_of(path) == room
        for other in rooms_imported(path) - allowed
    }
    assert not wrong


@pytest.mark.parametrize("library", sorted(MAY_USE))
def test_a_framework_is_seen_only_where_it_is_meant_to_be(library: str) -> None:
    users = {room_of(path) for path in SOURCES if library in {name.split(".")[0] for name in imported(path)}}
    assert users <= MAY_USE[library]


def test_the_library_does_not_know_its_experiments_tests_or_entry() -> None:
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imported(path)} & {"experiments", "tests", "run"}, path


def test_the_entry_calls_tasks_alone() -> None:
    names = {name for name in imported(PROJECT / "run.py") if name.startswith("sedsep")}
    assert names == {"sedsep.__main__.command"}
    names = {name for name in imported(PACKAGE / "__main__.py") if name.startswith("sedsep")}
    assert names == {"sedsep.tasks.main", "sedsep.runs.command_line.configs"}, "and the text of --help"
