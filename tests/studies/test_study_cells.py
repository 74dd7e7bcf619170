"""Which run is a cell's: the same settings, whoever launched it and however it was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from minis import refused
from small_study import CHOICES, scored

from sedsep.runs.tracking.finished import finished_runs
from sedsep.studies.cells import Cell, identity, make_cells, products
from sedsep.studies.progress import Progress
from sedsep.studies.study import Row, Study

CellsOf = Callable[..., list[Cell]]
Track = Callable[..., str]


@pytest.fixture
def look(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Cell]], Progress]:
    """How far the small study has come."""
    monkeypatch.chdir(tmp_path)
    config = {
        "logger": {"tracking_uri": uri, "experiment": "sedsep"},
        "data": {"module": {"test_split": "test"}},
    }
    return lambda cells: Progress("small", cells, config, CHOICES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a=1", "b=2"], ["b=2", "a=1"]),
        (["widths=[4, 8,8]", "lr=1e-3"], ["widths=[4,8,8]", "lr=0.001"]),  # a sweep writes down what it has read
        (["a=1"], ["a=1", "trainer=gpu", "trainer.benchmark=false", "speed.compile=false", "data.workers=4"]),
        (["a=1"], ["a=1", "logger.tracking_uri=http://there:5000", "paths.cache=/a b c", "hydra/launcher=slurm"]),
        (["a=1"], ["a=1", "refinement.eval_iters=[1,2,3]"]),
        (["a=1"], ["a=1", "scale=mini", "data=synthetic"]),  # said, and left to the default
    ],
)
def test_what_does_not_change_the_numbers_does_not_count(one: list[str], other: list[str]) -> None:
    assert identity(one, CHOICES) == identity(other, CHOICES)


@pytest.mark.parametrize(
    "other",
    [
        *("trainer=debug", "trainer.max_epochs=1", "trainer.precision=bf16-mixed", "trainer=ddp", "trainer.devices=2"),
        *("scale=paper", "data.root=/other", "a=2"),
    ],
)
def test_what_changes_the_numbers_counts(other: str) -> None:
    assert identity(["a=1"], CHOICES) != identity(["a=1", other], CHOICES)


def test_overrides_that_were_joined_by_spaces_are_told_apart(cells_of: CellsOf) -> None:
    overrides = ["data.root='a b'", "+x=c d", "list=[1, 2]"]
    written = {"data.root='a b'", "+x=c\\ d", "list=[1,2]"}
    assert identity(overrides, {}) == identity([" ".join(overrides)], {}) == identity(written, {}) == written


def test_the_newest_finished_run_with_all_numbers_is_found(cells_of: CellsOf, track: Track, look: Callable) -> None:
    track("experiment=plain seed=0", scored(1.0))
    newest = track("seed=0 trainer=gpu experiment=plain", scored(2.0))
    track("experiment=plain seed=0", scored(3.0), "FAILED")
    track("experiment=plain seed=0", scored(4.0), "KILLED")
    track("experiment=plain seed=0 a=1", scored(5.0))
    track("experiment=plain seed=0", {"test/ca_sdri/tagger": 6.0})  # of an evaluation that knew fewer sources
    by_default = track("experiment=plain", scored(7.0), seed="1")  # seed and all from the user's own config
    track("experiment=other seed=1", scored(8.0), **{"scale.name": "paper"})
    progress = look(cells_of())
    assert {str(cell): run.id for cell, run in progress.runs.items()} == {
        "plain, seed 0": newest,
        "plain, seed 1": by_default,
    }
    assert [str(cell) for cell in progress.missing] == ["other, seed 0", "other, seed 1"]
    assert {progress.why(cell) for cell in progress.missing} == {"not launched"}
    (run,) = (run for cell, run in progress.runs.items() if cell.seed == 0)
    assert (run.metric("test", "ca_sdri/tagger"), run.commit) == (2.0, "c0ffee-dirty")


def test_a_run_that_lacks_a_number_is_named(cells_of: CellsOf, track: Track, look: Callable) -> None:
    run = track("experiment=plain seed=0", {"test/ca_sdri/tagger": 1.0})
    progress = look(cells_of())
    assert progress.why(progress.missing[0]).startswith(f"run {run} has no ca_sdri/oracle")
    assert progress.missing[0] not in progress.to_launch  # to train it again would cost as much and lack it, too
    assert progress.missing[1:] == progress.to_launch


def test_scores_after_passes_are_found_by_the_names_that_mlflow_takes(track: Track, uri: str) -> None:
    track("experiment=plain", {"test/ca_sdri_at_10/tagger": 5.0})
    (run,) = finished_runs(uri, "sedsep")
    assert run.metric("test", "ca_sdri@10/tagger") == 5.0
    assert run.metric("test", "ca_sdri/tagger") is None


def test_more_runs_than_a_page_of_the_store_holds(track: Track, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    search = mlflow.MlflowClient.search_runs
    monkeypatch.setattr(
        mlflow.MlflowClient, "search_runs", lambda self, *given, **named: search(self, *given, max_results=2, **named)
    )
    ids = [track(f"seed={seed}", {}) for seed in range(5)]
    assert [run.id for run in finished_runs(uri, "sedsep")] == ids[::-1]


def test_a_store_that_is_not_there_has_no_runs_and_is_not_made(tmp_path: Path) -> None:
    assert finished_runs(f"sqlite:///{tmp_path}/none.db", "sedsep") == []
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("no database")
    with refused("odd.db cannot be read"):
        finished_runs(f"sqlite:///{tmp_path}/odd.db", "sedsep")


def test_jobs_that_mlflow_does_not_track_are_refused(cells_of: CellsOf) -> None:
    config = {"logger": {"_target_": "sedsep.runs.tracking.Csv"}, "data": {"module": {"test_split": "test"}}}
    with refused("logger=mlflow"):
        Progress("small", cells_of(), config, CHOICES)


def test_missing_cells_are_grouped_into_products(study: Study) -> None:
    rows = (*study.rows, Row("refined", "Refined", {}))
    overrides = {"plain": (), "other": (), "refined": ("refinement.eval_iters=[1,2]",)}
    cells = make_cells(rows, (0, 1, 2), overrides, CHOICES)

    def grouped(*gone: str) -> list[tuple[set[str], set[int]]]:
        groups = products(cell for cell in cells if str(cell) not in gone)
        for group in groups:
            assert len(group) == len({c.row.experiment for c in group}) * len({c.seed for c in group})
            assert len({cell.overrides for cell in group}) == 1
        return [({cell.row.experiment for cell in group}, {cell.seed for cell in group}) for group in groups]

    assert grouped() == [({"plain", "other"}, {0, 1, 2}), ({"refined"}, {0, 1, 2})]
    assert grouped("other, seed 1", "refined, seed 0", "refined, seed 2") == [
        ({"plain"}, {0, 1, 2}),
        ({"other"}, {0, 2}),
        ({"refined"}, {1}),
    ]
