"""Which run is a cell's: the one of its row, seed and settings, however those were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import mlflow
import pytest
from minis import refused
from small_study import CHOICES, config_of, scored

from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.writing import write_scores
from sedsep.metrics.registry import MetricName
from sedsep.metrics.rows import MixtureRow
from sedsep.studies.progress import Progress, evaluation_of, finished_runs
from sedsep.studies.study import Cell, Row, Study, products, settings_name

CellsOf = Callable[..., list[Cell]]
Track = Callable[..., str]


@pytest.fixture
def look(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Cell]], Progress]:
    """How far the small study has come."""
    monkeypatch.chdir(tmp_path)
    config = config_of(tracking_uri=uri, experiment="sedsep")
    return lambda cells: Progress("small", cells, config)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a=1", "b=2"], ["b=2", "a=1"]),
        (["widths=[4, 8,8]", "lr=1e-3"], ["widths=[4,8,8]", "lr=0.001"]),
        (["a=1"], ["a=1", "trainer=gpu", "trainer.benchmark=false", "speed.compile=false", "data.workers=4"]),
        (["a=1"], ["a=1", "logger.tracking_uri='http://there:5000'", "paths.cache='/a b c'"]),
        (["a=1"], ["a=1", "refinement.eval_iters=[1,2,3]"]),
        (["a=1"], ["a=1", "scale=mini", "data=synthetic"]),  # said, and left to the default
    ],
)
def test_what_does_not_change_the_numbers_does_not_count(one: list[str], other: list[str]) -> None:
    assert settings_name(CHOICES, one) == settings_name(CHOICES, other)


@pytest.mark.parametrize(
    "other",
    [
        *("trainer=debug", "trainer.max_epochs=1", "trainer.precision=bf16-mixed", "trainer=ddp", "trainer.devices=2"),
        *("data.root=/other", "a=2"),
    ],
)
def test_what_changes_the_numbers_counts(other: str) -> None:
    assert settings_name(CHOICES, ["a=1"]) != settings_name(CHOICES, ["a=1", other])


def test_settings_are_named_after_scale_data_and_what_goes_further() -> None:
    assert settings_name(CHOICES, ["trainer=gpu"]) == "mini-synthetic"
    assert settings_name(CHOICES, ["data.root='/sets/real one'"]).startswith("mini-synthetic-realone-")
    assert settings_name(CHOICES, ["data.root=/sets/real"]) != settings_name(CHOICES, ["data.root=/other/real"])
    assert settings_name(CHOICES, [], Path("w/paper")).startswith("mini-synthetic-weights-paper-")


def test_the_newest_finished_run_with_all_numbers_is_found(cells_of: CellsOf, track: Track, look: Callable) -> None:
    track("plain", 0, scored(1.0))
    newest = track("plain", 0, scored(2.0))
    track("plain", 0, scored(3.0), "FAILED")
    track("plain", 0, scored(4.0), "KILLED")
    track("plain", 0, scored(5.0), settings="mini-synthetic-c0ffee")
    track("plain", 0, {"test/ca_sdri/tagger": 6.0})  # of an evaluation that knew fewer sources
    track("other", 2, scored(7.0))
    progress = look(cells_of())
    assert {str(cell): run["run"] for cell, run in progress.runs.items()} == {"plain, seed 0": newest}
    assert [str(cell) for cell in progress.missing] == ["plain, seed 1", "other, seed 0", "other, seed 1"]
    assert {progress.why(cell) for cell in progress.missing} == {"not launched"}
    (run,) = progress.runs.values()
    assert (run["ca_sdri/tagger"], run["commit"]) == (2.0, "c0ffee-dirty")


def test_a_run_that_lacks_a_number_is_named(cells_of: CellsOf, track: Track, look: Callable) -> None:
    run = track("plain", 0, {"test/ca_sdri/tagger": 1.0})
    progress = look(cells_of())
    assert progress.why(progress.missing[0]).startswith(f"run {run} has no ca_sdri/oracle")
    assert progress.missing[0] not in progress.to_launch  # to train it again would cost as much and lack it, too
    assert progress.missing[1:] == progress.to_launch


def test_scores_after_passes_are_found_by_the_names_that_mlflow_takes(track: Track, uri: str) -> None:
    track("plain", 0, {"test/ca_sdri_at_10/tagger": 5.0})
    runs = finished_runs(uri, "sedsep", "mini-synthetic", "test", ["ca_sdri@10/tagger", "ca_sdri/tagger"])
    assert list(runs["ca_sdri@10/tagger"]) == [5.0]
    assert runs["ca_sdri/tagger"].isna().all()


def test_a_store_that_is_not_there_has_no_runs_and_is_not_made(tmp_path: Path) -> None:
    assert finished_runs(f"sqlite:///{tmp_path}/none.db", "sedsep", "mini-synthetic", "test", []).empty
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("no database")
    with refused("odd.db cannot be read"):
        finished_runs(f"sqlite:///{tmp_path}/odd.db", "sedsep", "mini-synthetic", "test", [])


def test_jobs_that_mlflow_does_not_track_are_refused(cells_of: CellsOf) -> None:
    config = config_of(_target_="sedsep.runs.tracking.Csv")
    with refused("logger=mlflow"):
        Progress("small", cells_of(), config)


def test_missing_cells_are_grouped_into_products(study: Study) -> None:
    rows = (*study.rows, Row("refined", "Refined", {}))
    overrides = {"plain": (), "other": (), "refined": ("refinement.eval_iters=[1,2]",)}
    cells = [Cell(row, seed, overrides[row.experiment], "mini") for row in rows for seed in (0, 1, 2)]

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


def test_rows_of_one_experiment_are_told_apart_by_what_they_vary() -> None:
    rows = (Row("plain", "Plain", {}), Row("plain", "Slow", {}, ("lr=1",), variant="slow"))
    cells = [Cell(row, 0, row.overrides, settings_name(CHOICES, row.overrides)) for row in rows]
    assert [str(cell) for cell in cells] == ["plain, seed 0", "plain-slow, seed 0"]
    assert len({cell.key for cell in cells}) == 2
    assert [[cell.overrides for cell in group] for group in products(cells)] == [[()], [("lr=1",)]]


def test_what_a_run_scored_in_each_mixture_is_read_back(uri: str, track: Track, tmp_path: Path) -> None:
    run, client = track("plain", 0, scored()), mlflow.MlflowClient(uri)
    assert evaluation_of(uri, run) is None
    rows = [MixtureRow(name, "tagger", ("Bell",), ("Bell",), 1, ca_sdri=2.5) for name in ("one", "two")]
    made = Evaluation("test", ("Bell",), [MixtureResult(row.name, [row]) for row in rows], 1)
    for file in write_scores(tmp_path / "scores", made, {}):
        client.log_artifact(run, str(file))
    found = evaluation_of(uri, run)
    assert found is not None
    assert [row.ca_sdri for row in found.of_score(MetricName.parse("test/ca_sdri/tagger"))] == [2.5, 2.5]
    assert found.of_score(MetricName.parse("test/ca_sdri@1/tagger")) == found.rows["tagger", 1]
    assert found.of_score(MetricName.parse("test/ca_sdri@2/tagger")) == []
