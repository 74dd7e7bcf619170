"""Comparisons of scores: read as they were written, paired mixture by mixture, and refused where they cannot be."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minis import refused

from sedsep.evaluation.comparison import Comparison, System
from sedsep.evaluation.differences import write_changes
from sedsep.evaluation.evaluator import MixtureResult
from sedsep.evaluation.reading import has_scores, read_scores
from sedsep.evaluation.report.comparison import write_comparison
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.writing import write_scores
from sedsep.metrics.rows import MixtureRow
from sedsep.metrics.sdri import ClassScore

LABELS = ("Bell", "C++", "Dog")  # a label may hold what joins them


def evaluation(
    gain: float, sources: Sequence[str] = ("tagger", "oracle"), mixtures: int = 12, noise: int = 0, **changes: Any
) -> Evaluation:
    """Mixtures of one to two events; one event in six is missed, one mixture in four has a false alarm."""
    generator = np.random.default_rng(noise)
    results = []
    for index in range(mixtures):
        true = tuple(LABELS[(index + k) % 3] for k in range(1 + index % 2))
        rows = []
        for source in sources:
            scores = []
            for k, label in enumerate(true):
                level = -3.0 * index + k
                if index % 6 == 0 and source != "oracle":
                    scores.append(ClassScore(label, "miss", input_sdr=level))
                else:
                    own = gain + float(generator.normal())
                    scores.append(ClassScore(label, "hit", own, own - 1, own + level, own, level, estimate=0))
            if index % 4 == 3 and source != "oracle":
                other = next(label for label in LABELS if label not in true)
                scores.append(ClassScore(other, "false_alarm", level=-7.0, estimate=0))
            named = tuple(score.label for score in scores if score.outcome != "miss")
            mean = sum(score.improvement for score in scores) / len(scores)
            rows.append(MixtureRow(f"m{index:02}", source, true, named, 1, tuple(scores), mean, mean - 0.5))
        results.append(MixtureResult(f"m{index:02}", rows))
    return replace(Evaluation("test", LABELS, results, 1), **changes)


def written(folder: Path, of: Evaluation) -> Path:
    folder.mkdir(exist_ok=True)
    write_scores(folder, of, {})
    return folder


def system(letter: str, folder: Path) -> System:
    return System(letter, folder.name, *read_scores(folder))


@pytest.fixture
def pair(tmp_path: Path) -> Comparison:
    a, b = written(tmp_path / "first", evaluation(5.0)), written(tmp_path / "second", evaluation(6.0, noise=1))
    return Comparison([system("A", a), system("B", b)])


@pytest.mark.parametrize("ranking", ["ca_sdri", "capi_sdri"])
def test_scores_are_read_as_they_were_written(tmp_path: Path, ranking: str) -> None:
    made = evaluation(5.0, ranking=ranking)
    assert not has_scores(tmp_path)
    found, metrics = read_scores(written(tmp_path, made))
    assert has_scores(tmp_path)
    assert found.rows == made.rows
    assert (found.labels, found.passes, found.ranking, found.split) == (made.labels, 1, ranking, "test")
    assert {name: one.value for name, one in made.metrics.items()} == pytest.approx(
        {name: math.nan if value is None else value for name, value in metrics.items()}, nan_ok=True
    )


def test_differences_are_those_of_the_metrics_in_every_table(pair: Comparison) -> None:
    a, b = (one.evaluation for one in pair.systems)
    assert {change.table for change in pair.changes} == {"all", "class", "sources", "level"}
    for change in pair.changes:
        if change.table == "all":
            name = str(replace(change.score, split="test", source=change.labels))
            before, after = a.metrics[name].value, b.metrics[name].value
        elif change.table == "class":
            before, after = (one.by_class[change.labels][change.part].value for one in (a, b))
        else:
            continue
        assert change.difference.value == pytest.approx(after - before, nan_ok=True)
        assert (change.difference.a, change.difference.b) == pytest.approx((before, after), nan_ok=True)
    main = {change.score.metric: change for change in pair.main_changes}
    assert main["ca_sdri"].better > 0.9
    assert main["ca_sdri"].difference.low < main["ca_sdri"].difference.value < main["ca_sdri"].difference.high
    assert [place.rank for place in pair.places] == [2, 1]
    spreads = [contrast.spread for contrast in pair.contrasts]
    assert spreads == sorted(spreads, reverse=True)
    assert len(spreads) == 12


def test_the_same_thing_twice_gives_exactly_nothing_everywhere(tmp_path: Path) -> None:
    folder = written(tmp_path / "one", evaluation(5.0))
    same = Comparison([system("A", folder), system("B", folder)])
    assert len(same.changes) > 20
    for change in same.changes:
        one = change.difference
        assert one.value == 0
        assert one.low == one.high == 0 or math.isnan(one.low)
        assert change.better == 0.5 or math.isnan(change.better)
    assert {contrast.spread for contrast in same.contrasts} == {0}


def test_labels_that_users_have_are_paired_whoever_named_them(tmp_path: Path) -> None:
    tagger = written(tmp_path / "a", evaluation(5.0))
    files = written(tmp_path / "b", evaluation(5.0, sources=["files"]))
    found = Comparison([system("A", tagger), system("B", files)])
    assert found.label_sources == {"tagger/files": ("tagger", "files")}
    assert {change.labels for change in found.changes} == {"tagger/files"}
    assert {change.score.metric for change in found.main_changes} >= {"ca_sdri", "label_accuracy"}


def test_other_mixtures_other_events_and_other_sounds_are_refused(tmp_path: Path) -> None:
    a = system("A", written(tmp_path / "a", evaluation(5.0)))
    fewer = system("B", written(tmp_path / "fewer", evaluation(5.0, mixtures=11)))
    with refused("m11 is in A alone, 11 are in both"):
        Comparison([a, fewer])
    louder = evaluation(5.0)
    for mixture in louder.mixtures[4:5]:
        for index, row in enumerate(mixture.rows):
            scores = tuple(replace(score, input_sdr=(score.input_sdr or 0) + 0.5) for score in row.scores)
            mixture.rows[index] = replace(row, scores=scores)
    with refused("in m04 other events"):
        Comparison([a, system("B", written(tmp_path / "louder", louder))])
    other = evaluation(5.0)
    other.mixtures[2].rows[0] = replace(other.mixtures[2].rows[0], true=("Bell",), scores=())
    other.mixtures[2].rows[1] = replace(other.mixtures[2].rows[1], true=("Bell",), scores=())
    with refused("in m02 other events"):
        Comparison([a, system("B", written(tmp_path / "other", other))])


def test_files_hold_all_of_it_and_the_page_fetches_nothing(pair: Comparison, tmp_path: Path) -> None:
    write_changes(tmp_path, pair)
    account = json.loads((tmp_path / "comparison.json").read_text())
    assert account["systems"] == {"A": "first", "B": "second"}
    assert account["ranking"]["B"]["rank"]["value"] == 1
    assert len(account["changes"]) == len(pair.changes)
    with (tmp_path / "comparison.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["part"] for row in rows if row["table"] == "class" and row["labels"] == "tagger"] == list(LABELS)
    with (tmp_path / "comparison_mixtures.csv").open() as lines:
        mixtures = list(csv.DictReader(lines))
    assert float(mixtures[0]["spread"]) == pair.contrasts[0].spread
    page = tmp_path / "comparison.html"
    write_comparison(page, pair, title="<A> and B", notes=["no sounds"])
    text = page.read_text()
    assert "&lt;A&gt; and B" in text
    assert "B is better than A" in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("http-equiv", "").replace("http%3A//www.w3", "")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("mixtures.csv", "m03", "m02", "twice"),
        ("mixtures.csv", "Bell+C++", "Bell+Cow", "are no classes"),
        ("sources.csv", "Dog", "Cow", "Cow is no class"),
        ("sources.csv", "m03", "m99", "lacks mixtures"),
        ("sources.csv", ",hit,", ",won,", "outcome"),
        ("sources.csv", ",-7.0,", ",inf,", "not finite"),
        ("evaluation.json", '"ca_sdri"', '"rm"', "ranks by rm"),
    ],
)
def test_damaged_scores_are_told(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    path = written(tmp_path, evaluation(5.0)) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with refused(says):
        read_scores(tmp_path)
