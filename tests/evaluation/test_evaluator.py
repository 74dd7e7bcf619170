from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from minis import CLASSES, LABELS, make_batch, make_sed, shaken
from torch import Tensor, nn

from sedsep.evaluation import cached_probabilities, evaluate, labels_of, oracle_labels
from sedsep.evaluation.label_sources import LabelTable, weights_key
from sedsep.metrics import score_mixture
from sedsep.types import Batch, Separation

BATCHES = [make_batch([[0, 2, None], [1, None, None]]), make_batch([[3, 4, 0]], seed=5)]
BATCHES[1].names[0] = "scene_2"
CPU = torch.device("cpu")
TRUE = {"scene_0": [0, 2], "scene_1": [1], "scene_2": [3, 4, 0]}
# right; one right and one false alarm; two of three and in another order
TAGGER = {"scene_0": [2, 0], "scene_1": [1, 4], "scene_2": [0, 3]}
BASELINE = {"scene_0": [2], "scene_1": [3], "scene_2": [4, 3, 0]}


class Separator(nn.Module):
    """Answers every query with the reference channel at a gain of its class; keeps what it was asked."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.separator = SimpleNamespace(outputs=outputs)
        self.asked: list[Tensor] = []

    def forward(self, mixture: Tensor, query: Tensor) -> Separation:
        assert not self.training
        self.asked.append(query)
        gains = 0.1 + torch.arange(CLASSES) / 10
        estimates = (query @ gains)[..., None] * mixture[:, :1]
        return Separation(estimates, [estimates])

    @staticmethod
    def answer(mixture: Tensor, index: int) -> Tensor:
        return (0.1 + index / 10) * mixture[0]


def expected_scores(tables: LabelTable) -> list[float]:
    """Mean improvement of each scene: misses and false alarms count 0 dB."""
    means = []
    for batch in BATCHES:
        for name, mixture, targets in zip(batch.names, batch.mixture, batch.targets, strict=True):
            gains = [
                score_mixture({"x": Separator.answer(mixture, index)}, {"x": targets[slot]}, mixture[0])[0].improvement
                for slot, index in enumerate(TRUE[name])
                if index in tables[name]
            ]
            means.append(sum(gains) / len({*TRUE[name], *tables[name]}))
    return means


def test_the_oracle_names_what_sounds() -> None:
    assert oracle_labels(BATCHES) == TRUE


def test_every_source_is_scored_under_its_own_name() -> None:
    tables = {"oracle": TRUE, "tagger": TAGGER, "baseline": BASELINE}
    metrics = evaluate("test", BATCHES, LABELS, tables, Separator(), CPU).metrics()
    for source, table in tables.items():
        scores = expected_scores(table)
        assert metrics.pop(f"test/ca_sdri/{source}") == pytest.approx(sum(scores) / 3, abs=1e-6)
    assert metrics == {
        "test/label_accuracy/constant": pytest.approx(100 / 3),
        "test/label_accuracy/oracle": 100,
        "test/source_accuracy/oracle": 100,
        "test/label_accuracy/tagger": pytest.approx(100 / 3),
        "test/source_accuracy/tagger": pytest.approx(100 * 5 / 7),
        "test/label_accuracy/baseline": pytest.approx(100 / 3),
        "test/source_accuracy/baseline": pytest.approx(100 * 4 / 7),
    }


def test_a_class_asked_for_by_several_sources_is_separated_once() -> None:
    separator = Separator()
    evaluate("test", BATCHES, LABELS, {"oracle": TRUE, "tagger": TAGGER, "baseline": BASELINE}, separator, CPU)
    asked = [[sorted(row.argmax(-1)[row.any(-1)].tolist()) for row in query] for query in separator.asked]
    assert asked == [[[0, 2], [1, 3, 4]], [[0, 3, 4]]]


def test_a_separator_that_answers_together_is_asked_once_a_source() -> None:
    separator = Separator(outputs=3)
    tables = {"oracle": TRUE, "tagger": TAGGER}
    metrics = evaluate("test", BATCHES, LABELS, tables, separator, CPU).metrics()
    assert [tuple(query.shape) for query in separator.asked] == [(2, 3, CLASSES)] * 2 + [(1, 3, CLASSES)] * 2
    for source, table in tables.items():
        assert metrics[f"test/ca_sdri/{source}"] == pytest.approx(sum(expected_scores(table)) / 3, abs=1e-6)


def test_misses_and_false_alarms_count_nothing() -> None:
    nothing_right = {"scene_0": [1], "scene_1": [0], "scene_2": [1, 2]}
    evaluation = evaluate("test", BATCHES, LABELS, {"oracle": TRUE, "tagger": nothing_right}, Separator(), CPU)
    assert evaluation.metrics()["test/ca_sdri/tagger"] == 0
    outcomes = {s.label: s.outcome for s in evaluation.mixtures[0].scores["tagger"]}
    assert outcomes == {"Bell": "miss", "Cough": "false_alarm", "Dog": "miss"}
    assert all(s.outcome == "hit" for mixture in evaluation.mixtures for s in mixture.scores["oracle"])


def test_scores_of_a_class_are_gathered_over_the_mixtures() -> None:
    table = evaluate("test", BATCHES, LABELS, {"oracle": TRUE}, Separator(), CPU).by_class("oracle")
    assert {label: len(scores) for label, scores in table.items()} == {
        "Bell": 2,
        "Cough": 1,
        "Dog": 1,
        "Rain": 1,
        "Speech": 1,
    }


def test_labels_are_scored_without_a_separator() -> None:
    evaluation = evaluate("valid", BATCHES, LABELS, {"oracle": TRUE, "tagger": TAGGER}, None, CPU)
    assert set(evaluation.metrics()) == {
        "valid/label_accuracy/constant",
        *(
            f"valid/{metric}/{source}"
            for metric in ("label_accuracy", "source_accuracy")
            for source in ("oracle", "tagger")
        ),
    }


def test_a_batch_of_scenes_without_any_label_is_scored() -> None:
    batch = make_batch([[None, None, None]])
    evaluation = evaluate("test", [batch, BATCHES[0]], LABELS, {"oracle": {**TRUE, "scene_0": []}}, Separator(), CPU)
    assert evaluation.mixtures[0].scores["oracle"] == []


# Labels computed once.


class Counted:
    """Scenes that count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0

    def __iter__(self) -> Iterator[Batch]:
        self.reads += 1
        return iter(BATCHES)


def test_probabilities_are_computed_once_for_the_same_weights_and_split(tmp_path: Path) -> None:
    scenes, sed = Counted(), shaken(make_sed())
    first = cached_probabilities(sed.train(), scenes, CPU, tmp_path, "split-a")
    assert scenes.reads == 1
    with torch.no_grad():
        expected = sed.eval()(BATCHES[0].mixture).clip_probabilities
    torch.testing.assert_close(torch.tensor([first["scene_0"], first["scene_1"]]), expected)
    twin = make_sed()
    twin.load_state_dict(sed.state_dict())
    assert cached_probabilities(twin, scenes, CPU, tmp_path, "split-a") == first
    assert scenes.reads == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


def test_probabilities_are_computed_anew_for_other_weights_or_another_split(tmp_path: Path) -> None:
    scenes, sed = Counted(), shaken(make_sed())
    first = cached_probabilities(sed, scenes, CPU, tmp_path, "split-a")
    cached_probabilities(sed, scenes, CPU, tmp_path, "split-b")
    assert scenes.reads == 2
    with torch.no_grad():
        sed.weak_head.bias[0] += 1
    assert cached_probabilities(sed, scenes, CPU, tmp_path, "split-a") != first
    assert scenes.reads == 3


def test_statistics_count_as_weights() -> None:
    sed = make_sed()
    before = weights_key(sed)
    sed.head_norm.running_mean[0] += 1
    assert weights_key(sed) != before


def test_weights_in_half_precision_have_a_key_too() -> None:
    assert weights_key(make_sed().bfloat16()) != weights_key(make_sed().half())


def test_probabilities_become_query_labels() -> None:
    table = {"a": [0.9, 0.2, 0.6, 0.0, 0.7], "b": [0.1, 0.3, 0.2, 0.0, 0.0]}
    assert labels_of(table, threshold=0.5, at_most=2) == {"a": [0, 4], "b": [1]}
    assert labels_of({}, 0.5, 3) == {}
