"""What a study says: numbers over seeds by hand, what compares with the publication and what does not."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sedsep.runs.tracking.finished import Run
from sedsep.studies import writing
from sedsep.studies.results import Results, score
from sedsep.studies.study import Study

ROOT = Path(__file__).parents[2]
STUDIES = ("table1", "refinement_curve")
CAUSE = "failed (multirun/studies/small/1/3): Out of memory."


def run(tagger: float, oracle: float, **others: float) -> Run:
    metrics = {"test/ca_sdri/tagger": tagger, "test/ca_sdri/oracle": oracle, **others}
    return Run("id", "", {}, metrics, "c0ffee", 1_700_000_000_000)


def results_of(study: Study, runs: Mapping[tuple[str, int], Run], comparable: bool = False) -> Results:
    return Results(study, (0, 1, 2), runs, {"other, seed 2": CAUSE}, "test", comparable)


@pytest.fixture
def results(study: Study) -> Results:
    """Seeds differ by much, rows of a seed by little; other has no seed 2."""
    runs = {
        ("plain", 0): run(10.0, 14.0),
        ("plain", 1): run(12.0, 16.0),
        ("plain", 2): run(17.0, 18.0),
        ("other", 0): run(9.5, 14.1, **{"test/label_accuracy/tagger": 50.0}),
        ("other", 1): run(11.3, 16.1, **{"test/label_accuracy/tagger": 60.0}),
    }
    return results_of(study, runs)


@pytest.fixture
def lines_of(tmp_path: Path) -> Callable[[str], list[dict[str, str]]]:
    return lambda name: list(csv.DictReader((tmp_path / "out" / name).read_text().splitlines()))


def test_mean_and_sample_deviation() -> None:
    found = score([10.0, 12.0, 17.0])
    assert found is not None
    assert (found.mean, found.count) == (13.0, 3)
    assert found.deviation == pytest.approx(13**0.5)  # (9 + 1 + 16) / (3 - 1)
    single = score([10.0])
    assert single is not None
    assert (single.mean, single.deviation) == (10.0, None)
    assert score([]) is None


def test_an_effect_is_taken_seed_by_seed(results: Results) -> None:
    plain, other = results.study.rows
    effect = results.effect(other, "tagger")
    assert effect is not None
    assert (effect.mean, effect.count) == (pytest.approx(-0.6), 2)  # -0.5 and -0.7, though seeds lie 2 dB apart
    assert effect.deviation == pytest.approx(0.02**0.5)
    assert results.effect(plain, "tagger") is None
    assert results.study.published_effect("other", "tagger") == pytest.approx(-0.5)
    assert results.study.published_effect("other", "oracle") is None


def test_at_another_scale_only_effects_stand_beside_published_ones(results: Results) -> None:
    text = writing.markdown(results, ["experiments/small/study.py", "data.root=a b"])
    assert "`python experiments/small/study.py 'data.root=a b'`" in text
    assert "| Plain | 13.00 ± 3.61 | 16.00 ± 2.00 |" in text
    assert "| Other | 10.40 ± 1.27 (2 of 3) | 15.10 ± 1.41 (2 of 3) |" in text
    assert "| Other | -0.60 ± 0.14 (2 of 3) | +0.10 ± 0.00 (2 of 3) |\n| *published* | -0.50 |  |" in text
    assert "they do not compare with these" in text
    assert "difference*" not in text
    assert f"- other, seed 2: {CAUSE}" in text


def test_at_the_published_scale_the_difference_is_printed(results: Results) -> None:
    text = writing.markdown(replace(results, comparable=True), ["study.py"])
    assert (
        "| Plain | 13.00 ± 3.61 | 16.00 ± 2.00 |\n"
        "| *published* | 13.00 ± 0.10 | 15.00 |\n"
        "| *difference* | +0.00 | +1.00 |\n" in text
    )
    assert "do not compare" not in text


def test_a_row_without_any_run_is_shown_as_missing(study: Study) -> None:
    text = writing.markdown(results_of(study, {("plain", 0): run(1.0, 2.0)}), ["study.py"])
    assert "| Plain | 1.00 (1 of 3) | 2.00 (1 of 3) |\n| Other | missing | missing |" in text


def test_files(results: Results, tmp_path: Path, lines_of: Callable[[str], list[dict[str, str]]]) -> None:
    writing.write(replace(results, comparable=True), tmp_path / "out", ["study.py"])
    cells = lines_of("cells.csv")
    assert len(cells) == 6
    assert cells[0] | {"experiment": "plain", "seed": "0", "ca_sdri/tagger": "10.0", "run": "id"} == cells[0]
    assert cells[0]["ended"] == "2023-11-14T22:13:20Z"
    assert (cells[3]["label_accuracy/tagger"], cells[3]["commit"]) == ("50.0", "c0ffee")
    assert (cells[5]["seed"], cells[5]["ca_sdri/tagger"], cells[5]["run"]) == ("2", "", "")
    summary = {(line["experiment"], line["column"]): line for line in lines_of("summary.csv")}
    tagger = summary["other", "tagger"]
    numbers = {"seeds": "2", "mean": "10.4", "deviation": "1.2728", "published": "12.5", "published_deviation": "0.05"}
    more = {"difference": "-2.1", "effect": "-0.6", "effect_deviation": "0.1414", "published_effect": "-0.5"}
    assert tagger | numbers | more == tagger
    assert summary["other", "label_accuracy/tagger"]["mean"] == "55.0"
    assert (tmp_path / "out" / "figure.svg").read_text().startswith("<svg")
    assert "![Small](figure.svg)" in (tmp_path / "out" / "table.md").read_text()


def test_other_settings_have_another_folder() -> None:
    choices = {"scale": "mini", "data": "folder"}

    def name(*overrides: str, weights: Path | None = None) -> str:
        return writing.folder_name(choices, overrides, weights)

    assert name() == name("scale=mini", "trainer=gpu", "logger.tracking_uri=http://there") == "mini-folder"
    assert name("a=1", "b=[1, 2]") == name("b=[1,2]", "a=1") != name("a=1", "b=[1,3]")
    assert name("data.root=/sets/real one").startswith("mini-folder-realone-")
    assert name("data.root=/sets/real") != name("data.root=/other/real")
    assert name(weights=Path("w/paper")).startswith("mini-folder-weights-paper-")


def load(name: str) -> Study:
    file = ROOT / "experiments" / name / "study.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.STUDY


@pytest.mark.parametrize("name", STUDIES)
def test_a_studys_rows_are_experiments_and_its_published_numbers_are_of_them(name: str) -> None:
    study = load(name)
    assert study.run_py == ROOT / "run.py"
    rows = {row.experiment: row for row in study.rows}
    assert study.reference in rows
    for experiment in rows:
        assert (ROOT / "conf" / "experiment" / f"{experiment}.yaml").is_file()
    for experiment, column in study.published:
        assert column in rows[experiment].columns


def test_the_published_numbers_are_those_of_the_experiments_headers() -> None:
    for name in STUDIES:
        for (experiment, _), (mean, _) in load(name).published.items():
            header = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
            assert f"{mean:.2f}" in header, (experiment, mean)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("comparable", [True, False])
def test_figures_of_whole_and_empty_studies(name: str, comparable: bool) -> None:
    study = load(name)
    metrics = {row.experiment: [metric.replace("@", "_at_") for metric in row.columns.values()] for row in study.rows}
    runs = {
        (row, seed): Run("id", "", {}, dict.fromkeys((f"test/{name}" for name in names), 1.0), "", 0)
        for row, names in metrics.items()
        for seed in (0, 1)
    }
    for found in (runs, {}):
        svg = study.draw(results_of(study, found, comparable)).decode()
        assert all(row.title in svg for row in study.rows)
        assert "published" in svg
