"""What a study says: numbers over seeds by hand, what compares with the publication and what does not."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.results import Evaluation
from sedsep.labels import LabelSet
from sedsep.metrics.rows import MixtureRow
from sedsep.studies.results import Results, markdown, write
from sedsep.studies.study import Study

ROOT = Path(__file__).parents[2]
STUDIES = ("table1", "refinement_curve", "feedback", "separators")
CAUSE = "failed (multirun/studies/small/1/3): Out of memory."


def results_of(study: Study, numbers: Mapping[tuple[str, int], Sequence[float]], comparable: bool = False) -> Results:
    """Results by row and seed: under the tagger's labels, the true ones, and the tagger's accuracy."""
    names = ["ca_sdri/tagger", "ca_sdri/oracle", "label_accuracy/tagger"]
    code = {"run": "id", "commit": "c0ffee", "ended": pd.Timestamp("2023-11-14T22:13:20Z")}
    lines = []
    for row in study.rows:
        for seed in (0, 1, 2):
            own = numbers.get((row.experiment, seed))
            scores = {**dict(zip(names, own, strict=False)), **code} if own else {}
            lines.append({"experiment": row.experiment, "seed": seed, **scores})
    cells = pd.DataFrame(lines, columns=["experiment", "seed", *study.metrics, *code])
    return Results(study, cells, {"other, seed 2": CAUSE}, "test", comparable)


@pytest.fixture
def results(study: Study) -> Results:
    """Seeds differ by much, rows of a seed by little; other has no seed 2."""
    numbers = {
        ("plain", 0): (10.0, 14.0),
        ("plain", 1): (12.0, 16.0),
        ("plain", 2): (17.0, 18.0),
        ("other", 0): (9.5, 14.1, 50.0),
        ("other", 1): (11.3, 16.1, 60.0),
    }
    return results_of(study, numbers)


@pytest.fixture
def lines_of(tmp_path: Path) -> Callable[[str], list[dict[str, str]]]:
    return lambda name: list(csv.DictReader((tmp_path / "out" / name).read_text().splitlines()))


def test_an_effect_is_taken_seed_by_seed(results: Results) -> None:
    plain, other = (results.summary.loc[row.experiment, "tagger"] for row in results.study.rows)
    assert (plain["mean"], plain["seeds"]) == (13.0, 3)
    assert plain["deviation"] == pytest.approx(13**0.5)  # (9 + 1 + 16) / (3 - 1)
    assert pd.isna(plain["effect"])
    assert (other["effect"], other["effects"]) == (pytest.approx(-0.6), 2)  # -0.5 and -0.7, though seeds lie 2 dB apart
    assert other["effect_deviation"] == pytest.approx(0.02**0.5)
    assert other["published_effect"] == pytest.approx(-0.5)
    assert pd.isna(results.summary.loc["other", "oracle"]["published_effect"])


def evaluation(scores: Sequence[float]) -> Evaluation:
    """Mixtures with these scores under the tagger's labels."""
    rows = [MixtureRow(str(number), "tagger", (), (), 1, ca_sdri=score) for number, score in enumerate(scores)]
    return Evaluation("test", LabelSet(("Bell",)).names, [MixtureResult(row.name, [row]) for row in rows], 1)


def test_an_effect_has_the_interval_of_other_mixtures_when_seeds_are_taken_together(results: Results) -> None:
    plain, gains = [3.0, 8.0, 1.0, 6.0, 2.0, 9.0], [0.5, 0.7, 0.6, 0.4, 0.8, 0.6]
    seeds = {0: 1.0, 1: -1.0}  # of the gain: they cancel, and mixtures do not
    scored = {("plain", seed): evaluation(plain) for seed in seeds}
    for seed, more in seeds.items():
        scored["other", seed] = evaluation([score + gain + more for score, gain in zip(plain, gains, strict=True)])
    of_mixtures = replace(results, evaluations={**scored, ("plain", 2): evaluation(plain)})
    other = of_mixtures.summary.loc["other"]
    assert 0.4 < other.loc["tagger", "low"] < 0.6 < other.loc["tagger", "high"] < 0.8
    assert pd.isna(other.loc["oracle", "low"])  # nothing was scored by it
    low, high = (f"{other.loc['tagger', bound]:+.2f}" for bound in ("low", "high"))
    assert f"| Other | -0.60 ± 0.14 (2 of 3) [{low}, {high}] |" in markdown(of_mixtures, ["study.py"])


def test_other_mixtures_are_not_paired(results: Results) -> None:
    scored = {("plain", 0): evaluation([1.0] * 6), ("other", 0): evaluation([1.0] * 7)}
    assert replace(results, evaluations=scored).summary["low"].isna().all()
    elsewhere = evaluation([1.0] * 6)
    elsewhere = replace(
        elsewhere,
        mixtures=[replace(m, rows=[replace(r, name=f"b{r.name}") for r in m.rows]) for m in elsewhere.mixtures],
    )
    of_seeds = {
        (row, seed): one for row in ("plain", "other") for seed, one in ((0, evaluation([1.0] * 6)), (1, elsewhere))
    }
    assert replace(results, evaluations=of_seeds).summary["low"].isna().all()


def test_at_another_scale_only_effects_stand_beside_published_ones(results: Results) -> None:
    text = markdown(results, ["experiments/small/study.py", "data.root=a b"])
    assert "`python experiments/small/study.py 'data.root=a b'`" in text
    assert "| Plain | 13.00 ± 3.61 | 16.00 ± 2.00 |" in text
    assert "| Other | 10.40 ± 1.27 (2 of 3) | 15.10 ± 1.41 (2 of 3) |" in text
    assert "| Other | -0.60 ± 0.14 (2 of 3) | +0.10 ± 0.00 (2 of 3) |\n| *published* | -0.50 |  |" in text
    assert "they do not compare with these" in text
    assert "difference*" not in text
    assert f"- other, seed 2: {CAUSE}" in text


def test_at_the_published_scale_the_difference_is_printed(results: Results) -> None:
    text = markdown(replace(results, comparable=True), ["study.py"])
    assert (
        "| Plain | 13.00 ± 3.61 | 16.00 ± 2.00 |\n"
        "| *published* | 13.00 ± 0.10 | 15.00 |\n"
        "| *difference* | +0.00 | +1.00 |\n" in text
    )
    assert "do not compare" not in text


def test_a_row_without_any_run_is_shown_as_missing(study: Study) -> None:
    text = markdown(results_of(study, {("plain", 0): (1.0, 2.0)}), ["study.py"])
    assert "| Plain | 1.00 (1 of 3) | 2.00 (1 of 3) |\n| Other | missing | missing |" in text


def test_files(results: Results, tmp_path: Path, lines_of: Callable[[str], list[dict[str, str]]]) -> None:
    write(replace(results, comparable=True), tmp_path / "out", ["study.py"])
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
    rows = {row.name: row for row in study.rows}
    assert study.reference in rows
    assert len(rows) == len(study.rows)
    for row in study.rows:
        assert (ROOT / "conf" / "experiment" / f"{row.experiment}.yaml").is_file()
    for experiment, column in study.published.index:
        assert column in rows[experiment].columns


def test_the_published_numbers_are_those_of_the_experiments_headers() -> None:
    for name in STUDIES:
        for (experiment, _), mean in load(name).published["mean"].items():
            header = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
            assert f"{mean:.2f}" in header, (experiment, mean)


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("comparable", [True, False])
def test_figures_of_whole_and_empty_studies(name: str, comparable: bool) -> None:
    study = load(name)
    for numbers in (dict.fromkeys(study.metrics, 1.0), {}):
        lines = [{"experiment": row.name, "seed": seed, **numbers} for row in study.rows for seed in (0, 1)]
        cells = pd.DataFrame(lines, columns=["experiment", "seed", *study.metrics, "run", "commit", "ended"])
        svg = study.draw(study, Results(study, cells, {}, "test", comparable).summary, comparable).decode()
        assert all(row.title in svg for row in study.rows)
        assert "published" in svg
