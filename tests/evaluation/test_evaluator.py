"""Two-stage evaluation, with a separator and a tagger whose answers are known, and the label cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from minis import CLASSES, LABELS, LENGTH, RATE, make_batch, make_guided, make_sed, shaken
from torch import Tensor, nn

from sedsep.evaluation.estimates import Estimates
from sedsep.evaluation.evaluator import Evaluator, FileEvaluator, MixtureResult
from sedsep.evaluation.label_sources import cached_labels, weights_key
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.separating import separate
from sedsep.labels import LabelRule, named_classes
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.rows import MixtureRow
from sedsep.metrics.sdri import score_mixture
from sedsep.types import Batch, SedOutput, Separation

BATCHES = [make_batch([[0, 2, None], [1, None, None]]), make_batch([[3, 4, 0]], seed=5)]
BATCHES[1].names[0] = "scene_2"
CPU = torch.device("cpu")
NAMES = LABELS.names
RULE = LabelRule(at_most=3)
TRUE = {"scene_0": [0, 2], "scene_1": [1], "scene_2": [3, 4, 0]}
# right; one right and one false alarm; two of three and in another order
TAGGER = {"scene_0": [2, 0], "scene_1": [1, 4], "scene_2": [0, 3]}
BASELINE = {"scene_0": [2], "scene_1": [3], "scene_2": [4, 3, 0]}
Table = dict[str, list[int]]


class Separator(nn.Module):
    """Answers every query with the reference channel at a gain of its class, a tenth more each pass; keeps what it was
    asked."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs, self.trained_passes = outputs, 1
        self.asked: list[Tensor] = []

    def forward(self, mixture: Tensor, query: Tensor, passes: int, guidance: SedOutput | None = None) -> Separation:
        assert not self.training
        self.asked.append(query)
        gains = 0.1 + torch.arange(CLASSES) / 10
        once = (query @ gains)[..., None] * mixture[:, :1]
        estimates = [(1 + 0.1 * done) * once for done in range(passes)]
        return Separation(estimates[-1], estimates)

    @staticmethod
    def answer(mixture: Tensor, index: int, passes: int = 1) -> Tensor:
        return (1 + 0.1 * (passes - 1)) * (0.1 + index / 10) * mixture[0]


class Tagger(nn.Module):
    """Knows scenes by their sound, and names for each what it was told; of frames it says the same all along."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = {mixture: table[name] for b in BATCHES for name, mixture in zip(b.names, _keys(b), strict=True)}
        self.heard = 0

    def forward(self, mixture: Tensor) -> SedOutput:
        assert not self.training
        self.heard += len(mixture)
        clip = torch.full((len(mixture), CLASSES), 0.2)
        for item, key in enumerate(mixture[:, 0, 7].tolist()):
            for rank, index in enumerate(self.table[key]):
                clip[item, index] = 0.9 - 0.05 * rank
        return SedOutput(clip, torch.logit(clip)[..., None].expand(-1, -1, 10))


def _keys(batch: Batch) -> list[float]:
    return batch.mixture[:, 0, 7].tolist()


def evaluated(
    separator: nn.Module | None = None,
    passes: Sequence[int] = (1,),
    oracle: bool = True,
    batches: Sequence[Batch] = tuple(BATCHES),
    **taggers: Table,
) -> Evaluation:
    tables = {source: Tagger(table) for source, table in taggers.items()}
    evaluator = Evaluator(LABELS, RATE, tables, separator, passes, oracle, RULE)  # type: ignore[arg-type]
    results = [one for batch in batches for one in evaluator(batch)]
    return Evaluation("test", NAMES, results, None if separator is None else passes[0], RULE, bootstrap=Bootstrap(50))


def expected_scores(tables: Table, passes: int = 1) -> list[float]:
    """Mean improvement of each scene: misses and false alarms count 0 dB."""
    means = []
    for batch in BATCHES:
        for name, mixture, targets in zip(batch.names, batch.mixture, batch.targets, strict=True):
            gains = []
            for slot, index in enumerate(TRUE[name]):
                if index in tables[name]:
                    answer = {"x": Separator.answer(mixture, index, passes)}
                    gains.append(score_mixture(answer, {"x": targets[slot]}, mixture[0])[0].improvement)
            means.append(sum(gains) / len({*TRUE[name], *tables[name]}))
    return means


def value(evaluation: Evaluation, metric: str) -> float:
    return evaluation.metrics[f"test/{metric}"].value


def test_every_source_is_scored_under_its_own_name() -> None:
    evaluation = evaluated(Separator(), tagger=TAGGER, baseline=BASELINE)
    for source, table in {"oracle": TRUE, "tagger": TAGGER, "baseline": BASELINE}.items():
        scores = expected_scores(table)
        found = evaluation.metrics[f"test/ca_sdri/{source}"]
        assert found.value == pytest.approx(sum(scores) / 3, abs=1e-5)
    assert value(evaluation, "label_accuracy/constant") == pytest.approx(100 / 3)
    assert value(evaluation, "label_accuracy/tagger") == pytest.approx(100 / 3)
    assert value(evaluation, "source_accuracy/tagger") == pytest.approx(100 * 5 / 7)
    assert value(evaluation, "label_accuracy/baseline") == pytest.approx(100 / 3)
    assert value(evaluation, "source_accuracy/baseline") == pytest.approx(100 * 4 / 7)
    assert "test/label_accuracy/oracle" not in evaluation.metrics


def test_a_tagger_hears_each_mixture_once_and_a_class_is_separated_once() -> None:
    separator, tagger, baseline = Separator(), Tagger(TAGGER), Tagger(BASELINE)
    evaluator = Evaluator(LABELS, RATE, {"tagger": tagger, "baseline": baseline}, separator)  # type: ignore[arg-type,dict-item]
    for batch in BATCHES:
        evaluator(batch)
    asked = [[sorted(row.argmax(-1)[row.any(-1)].tolist()) for row in query] for query in separator.asked]
    assert asked == [[[0, 2], [1, 3, 4]], [[0, 3, 4]]]
    assert tagger.heard == baseline.heard == 3


def test_a_separator_that_answers_together_is_asked_once_a_source() -> None:
    separator = Separator(outputs=3)
    evaluation = evaluated(separator, tagger=TAGGER)
    assert [tuple(query.shape) for query in separator.asked] == [(2, 3, CLASSES)] * 2 + [(1, 3, CLASSES)] * 2
    for source, table in {"oracle": TRUE, "tagger": TAGGER}.items():
        assert value(evaluation, f"ca_sdri/{source}") == pytest.approx(sum(expected_scores(table)) / 3, abs=1e-5)


def test_all_passes_come_from_one_run_of_the_longest() -> None:
    separator = Separator()
    evaluation = evaluated(separator, passes=(2, 1, 4), tagger=TAGGER)
    assert len(separator.asked) == len(BATCHES)
    for passes in (1, 2, 4):
        expected = pytest.approx(sum(expected_scores(TAGGER, passes)) / 3, abs=1e-5)
        assert value(evaluation, f"ca_sdri@{passes}/tagger") == expected
    assert value(evaluation, "ca_sdri/tagger") == value(evaluation, "ca_sdri@2/tagger")
    assert "test/ca_sdri@3/tagger" not in evaluation.metrics


def test_an_unrolled_pass_scores_as_a_separator_run_for_as_many_passes() -> None:
    guided = shaken(make_guided(iters=3)).eval()
    batch = BATCHES[0]
    evaluator = Evaluator(LABELS, RATE, {}, guided, (1, 2, 3))
    rows = {row.passes: row for row in evaluator(batch)[0].rows}
    for passes in (1, 2, 3):
        alone = Evaluator(LABELS, RATE, {}, guided, (passes,))(batch)[0].rows[0]
        assert rows[passes].ca_sdri == pytest.approx(alone.ca_sdri, abs=1e-4)
    assert rows[1].ca_sdri != pytest.approx(rows[3].ca_sdri, abs=1e-4)


def test_misses_and_false_alarms_count_nothing() -> None:
    evaluation = evaluated(Separator(), tagger={"scene_0": [1], "scene_1": [0], "scene_2": [1, 2]})
    assert value(evaluation, "ca_sdri/tagger") == 0
    outcomes = {s.label: s.outcome for s in evaluation.of("tagger")[0].scores}
    assert outcomes == {"Bell": "miss", "Cough": "false_alarm", "Dog": "miss"}
    assert all(s.outcome == "hit" for row in evaluation.of("oracle") for s in row.scores)


def test_labels_are_scored_without_a_separator() -> None:
    evaluation = evaluated(tagger=TAGGER, oracle=False)
    assert evaluation.sources == ["tagger"]
    assert not evaluation.separated
    assert not any("sdr" in name for name in evaluation.metrics)
    assert value(evaluation, "label_accuracy@0.5/tagger") == value(evaluation, "label_accuracy/tagger")
    # at 0.1 all classes are named, and the three likeliest of them kept
    assert value(evaluation, "label_accuracy@0.1/tagger") == 0
    assert 0 <= value(evaluation, "segment_pauroc/tagger") <= 1
    assert evaluation.by_count["tagger"][2].value == 100


def test_mixtures_without_any_event_are_scored() -> None:
    silent = make_batch([[None, None, None]])
    evaluation = evaluated(Separator(), batches=[silent, BATCHES[1]])
    assert evaluation.of("oracle")[0].scores == ()
    assert evaluation.metrics["test/ca_sdri/oracle"].count == 1


def test_sources_named_one_by_one_are_scored_as_those_of_2026() -> None:
    class Tracks(nn.Module):
        """Names the bell twice in one scene, nothing in another, and a dog in one that is silent."""

        def forward(self, mixture: Tensor) -> SedOutput:
            silence = CLASSES
            named = torch.tensor([[0, silence, 0], [silence] * 3, [silence, 2, silence]])
            return SedOutput(torch.zeros(3, CLASSES), tracks=torch.eye(CLASSES + 1)[named])

    batch = make_batch([[0, None, 0], [None] * 3, [None] * 3])
    with TemporaryDirectory() as folder:
        separator = Separator(outputs=3)
        evaluator = Evaluator(LABELS, RATE, {"tagger": Tracks()}, separator, rule=RULE, folder=Path(folder))  # type: ignore[arg-type]
        results = evaluator(batch)
        kept = Estimates(Path(folder) / "tagger", batch.names, LABELS, RATE)
        assert [[label for label, _ in kept.of(name, LENGTH)] for name in batch.names] == [["Bell"] * 2, [], ["Dog"]]
    evaluation = Evaluation("test", NAMES, results, 1, RULE, bootstrap=Bootstrap(0), ranking="capi_sdri")
    bells, quiet, alarm = evaluation.of("tagger")
    assert (bells.true, bells.predicted, quiet.scores) == (("Bell", "Bell"), ("Bell", "Bell"), ())
    mean = sum(score.improvement for score in bells.scores) / 2
    assert value(evaluation, "capi_sdri/tagger") == pytest.approx(mean / 2)  # not counted: silence left empty
    assert value(evaluation, "capi_sdri@repeated/tagger") == pytest.approx(mean)
    assert value(evaluation, "capi_sdri@none/tagger") == 0
    assert value(evaluation, "label_accuracy@none/tagger") == 50
    assert value(evaluation, "silence_precision/tagger") == 100
    assert value(evaluation, "leakage/tagger") == pytest.approx(20 * math.log10(0.3), abs=1e-3)
    assert not any("@0." in name or "ca_sdri@" in name.replace("capi", "") for name in evaluation.metrics)
    assert not any("silence" in name or "leakage" in name for name in evaluation.metrics if "oracle" in name)
    assert [row.name for row in evaluation.ranked("tagger")] == [bells.name, alarm.name]
    assert evaluation.confusion("tagger")[:, :-1].sum(0).tolist() == [2, 0, 1, 0, 0]


def test_estimates_are_written_as_they_are_scored(tmp_path: Path) -> None:
    separator = Separator()
    evaluator = Evaluator(LABELS, RATE, {"tagger": Tagger(TAGGER)}, separator, (1, 2), folder=tmp_path)  # type: ignore[arg-type]
    evaluator(BATCHES[0])
    for source, names in {"tagger": {"Cough", "Speech"}, "oracle": {"Cough"}}.items():
        sources = Estimates(tmp_path / source, BATCHES[0].names, LABELS, RATE).of("scene_1", LENGTH)
        assert {label for label, _ in sources} == names
        for label, waveform in sources:
            assert torch.equal(waveform, Separator.answer(BATCHES[0].mixture[1], LABELS.index(label)))


def test_a_separator_that_answers_together_gives_each_of_its_queries_its_own_waveform() -> None:
    for outputs in (3, 2):  # of two outputs, it is asked twice
        network: Any = Separator(outputs).eval()
        network.listen = lambda mixture: None
        (sources,) = separate(network, BATCHES[0].mixture[:1], {"x": [[2, 0, 2]]}, LABELS)["x", 1]
        assert [label for label, _ in sources] == [NAMES[2], NAMES[0], NAMES[2]]
        for label, waveform in sources:
            torch.testing.assert_close(waveform, Separator.answer(BATCHES[0].mixture[0], LABELS.index(label)))


def test_another_system_is_scored_as_ours_with_the_same_sounds() -> None:
    def made(name: str, length: int) -> list[tuple[str, Tensor]]:
        (mixture,) = (b.mixture[i] for b in BATCHES for i, known in enumerate(b.names) if known == name)
        assert length == mixture.shape[-1]
        return [(NAMES[index], Separator.answer(mixture, index)) for index in TAGGER[name]]

    evaluator = FileEvaluator(LABELS, RATE, made)
    evaluation = Evaluation("test", NAMES, [one for batch in BATCHES for one in evaluator(batch)])
    ours = evaluated(Separator(), tagger=TAGGER)
    for metric in ("ca_sdri", "capi_sdri", "label_accuracy"):
        assert value(evaluation, f"{metric}/files") == pytest.approx(value(ours, f"{metric}/tagger"), abs=1e-5)


def test_a_class_that_sounds_twice_needs_two_estimates() -> None:
    batch = make_batch([[0, 0, 2]])
    mixture = batch.mixture[0, 0]
    evaluator = FileEvaluator(LABELS, RATE, lambda name, length: [("Bell", mixture), ("Dog", mixture)])
    row = evaluator(batch)[0].rows[0]
    assert sorted((s.label, s.outcome) for s in row.scores) == [("Bell", "hit"), ("Bell", "miss"), ("Dog", "hit")]


def confused(true: Sequence[str], said: Sequence[str]) -> np.ndarray:
    return Evaluation("test", NAMES, [MixtureResult("m", [MixtureRow("m", "s", tuple(true), tuple(said))])]).confusion(
        "s"
    )


def test_what_is_missed_is_paired_with_what_is_wrongly_said() -> None:
    table = confused(["Bell", "Dog"], ["Bell", "Rain"])
    assert table[0, 0] == table[2, 3] == 1
    assert table.sum() == 2
    table = confused(["Bell", "Dog", "Speech"], ["Bell", "Rain"])  # Dog or Speech was taken for Rain
    assert table[2, 3] == table[4, 3] == table[2, -1] == table[4, -1] == 0.5
    assert confused([], ["Rain"])[-1, 3] == 1
    assert confused(["Rain"], [])[3, -1] == 1


def test_a_confusion_adds_up_to_what_sounds_and_what_is_said() -> None:
    draws = np.random.default_rng(0)
    for _ in range(50):
        true, said = (draws.choice(NAMES, draws.integers(0, 4), replace=False) for _ in range(2))
        table = confused(true, said)
        assert table[:-1].sum(1) == pytest.approx([float(label in true) for label in NAMES])
        assert table[:, :-1].sum(0) == pytest.approx([float(label in said) for label in NAMES])


def test_mixtures_are_ranked_by_what_they_gained() -> None:
    evaluation = evaluated(Separator(), tagger=TAGGER)
    scores = dict(zip(TRUE, expected_scores(TAGGER), strict=True))
    assert [row.name for row in evaluation.ranked("tagger")] == sorted(scores, key=scores.__getitem__, reverse=True)


# Labels computed once.


class Counted:
    """Scenes that count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0

    def __iter__(self) -> Iterator[Batch]:
        self.reads += 1
        return iter(BATCHES)


def test_labels_are_computed_once_for_the_same_weights_rule_and_split(tmp_path: Path) -> None:
    scenes, sed = Counted(), shaken(make_sed())
    first = cached_labels(sed.train(), scenes, RULE, CPU, tmp_path, "split-a")
    assert scenes.reads == 1
    with torch.no_grad():
        assert list(first.values())[:2] == named_classes(sed.eval()(BATCHES[0].mixture), RULE)
    twin = make_sed()
    twin.load_state_dict(sed.state_dict())
    assert cached_labels(twin, scenes, RULE, CPU, tmp_path, "split-a") == first
    assert scenes.reads == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


def test_labels_are_computed_anew_for_other_weights_another_rule_or_split(tmp_path: Path) -> None:
    scenes, sed = Counted(), shaken(make_sed())
    cached_labels(sed, scenes, RULE, CPU, tmp_path, "split-a")
    cached_labels(sed, scenes, RULE, CPU, tmp_path, "split-b")
    assert scenes.reads == 2
    every = cached_labels(sed, scenes, LabelRule(0.0), CPU, tmp_path, "split-a")
    assert {len(labels) for labels in every.values()} == {CLASSES}
    assert scenes.reads == 3
    with torch.no_grad():
        sed.weak_head.bias[0] += 1
    cached_labels(sed, scenes, RULE, CPU, tmp_path, "split-a")
    assert scenes.reads == 4


def test_statistics_count_as_weights() -> None:
    sed = make_sed()
    before = weights_key(sed)
    sed.head_norm.running_mean[0] += 1
    assert weights_key(sed) != before


def test_weights_in_half_precision_have_a_key_too() -> None:
    assert weights_key(make_sed().bfloat16()) != weights_key(make_sed().half())
