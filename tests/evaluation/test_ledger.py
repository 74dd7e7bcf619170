"""The ledger: its parts add up to the distance, and each moves with what it is named for and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from minis import CLASSES, LABELS, LENGTH, RATE, make_batch, make_guided, make_sed, make_separator, noise, shaken
from torch import Tensor, nn

from sedsep.conditioning import TimeFilm
from sedsep.evaluation.chain import CERTAIN, LINKS
from sedsep.evaluation.evaluator import Evaluator, MixtureResult
from sedsep.evaluation.ideal import ideal_estimates
from sedsep.evaluation.ledger import lost_in
from sedsep.evaluation.results import Evaluation
from sedsep.labels import LabelRule, LabelSet, frame_labels
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.metrics.registry import LEDGER
from sedsep.metrics.rows import PARTS
from sedsep.scenes.dataset import collate
from sedsep.scenes.recorded import RecordedScenes
from sedsep.types import Batch, SedOutput, Separation

FRAMES = 100
PARTS_OF = tuple(LEDGER)
Named = Sequence[Sequence[int]]


class Known(nn.Module):
    """Answers a query with the class's true sound, where its guide says that the class sounds, with an error that each
    pass halves; what it is asked for in vain it answers with the mixture."""

    def __init__(self, batch: Batch, shift: int = 0, scale: float = 1.0, iters: int = 0, outputs: int = 1) -> None:
        super().__init__()
        self.batch, self.shift, self.scale = batch, shift, scale
        self.iters, self.outputs, self.trained_passes = iters, outputs, max(1, iters)
        self.separator = make_separator(time_film=TimeFilm)
        self.sounds = list(zip(batch.query, batch.targets, 0.1 * noise(*batch.targets.shape, seed=3), strict=True))

    def listen(self, mixture: Tensor) -> SedOutput:
        active = frame_labels(self.batch, FRAMES).roll(self.shift, -1)
        return SedOutput(torch.zeros(len(mixture), CLASSES), CERTAIN * (2 * active - 1))

    def forward(self, mixture: Tensor, query: Tensor, passes: int, guidance: SedOutput | None = None) -> Separation:
        guidance = guidance or self.listen(mixture)
        assert guidance.strong_logits is not None
        open_bkl = torch.einsum("bkn,bns->bks", query, (guidance.strong_logits > 0).float())
        open_bkl = open_bkl.repeat_interleave(LENGTH // FRAMES, -1)
        true, error = torch.zeros(2, *query.shape[:2], LENGTH)
        for item, rows in enumerate(query):
            free = list(zip(*self.sounds[item], strict=True))
            for slot, row in enumerate(rows):
                place = next((p for p, (one, *_) in enumerate(free) if row.any() and torch.equal(one, row)), None)
                if place is None:
                    true[item, slot] = mixture[item, 0]
                else:
                    _, true[item, slot], error[item, slot] = free.pop(place)
        estimates = [self.scale * open_bkl * (true + error / 2**done) for done in range(passes)]
        return Separation(estimates[-1], estimates)


class Tagger(nn.Module):
    """Names what it was told."""

    def __init__(self, named: Named, classes: int = CLASSES) -> None:
        super().__init__()
        self.named, self.classes = named, classes

    def forward(self, mixture: Tensor) -> SedOutput:
        silence = [self.classes] * 3
        tracks = torch.tensor([[*own, *silence][:3] for own in self.named])
        return SedOutput(torch.zeros(len(mixture), self.classes), tracks=torch.eye(self.classes + 1)[tracks])


def evaluated(batch: Batch, named: Named, ranking: str = "ca_sdri", resamples: int = 0, **system: Any) -> Evaluation:
    separator: Any = Known(batch, **system)
    evaluator = Evaluator(LABELS, RATE, {"tagger": Tagger(named)}, separator, rule=LabelRule(at_most=3), ledger=True)
    evaluator.passes = (separator.trained_passes,)
    results = evaluator(batch)
    bootstrap = Bootstrap(resamples)
    return Evaluation("test", LABELS.names, results, separator.trained_passes, bootstrap=bootstrap, ranking=ranking)


def parts(evaluation: Evaluation) -> dict[str, float]:
    assert evaluation.ledger is not None
    return {name: lost.value for name, lost in evaluation.ledger.overall.lost.items()}


def moved(one: Evaluation, other: Evaluation) -> set[str]:
    """The parts that differ between two systems."""
    before, after = parts(one), parts(other)
    return {name for name in PARTS_OF if abs(before[name] - after[name]) > 1e-6}


def assert_adds_up(evaluation: Evaluation) -> None:
    """The whole, every class and every mixture, to 1e-6 dB; and the whole begins with the score itself."""
    ledger = evaluation.ledger
    assert ledger is not None
    for account in (ledger.overall, *ledger.by_class.values()):
        total = sum(lost.value for lost in account.lost.values())
        assert total == pytest.approx(account.ceiling.value - account.score.value, abs=1e-6)
    own = evaluation.score(evaluation.ranking, ledger.source)
    assert own is not None
    assert ledger.overall.score.value == own.value
    for mixture, row in zip(evaluation.mixtures, evaluation.of(ledger.source), strict=True):
        *lost, ceiling = lost_in(mixture.chain, evaluation.ranking).values()
        score, counted = PARTS[evaluation.ranking](row)
        if ceiling is not None:
            assert counted
            assert sum(value or 0.0 for value in lost) == pytest.approx(ceiling - score, abs=1e-6)


SCENES = make_batch([[0, 2, None], [1, None, None], [3, 4, 0], [2, 1, None], [0, 4, None]])
RIGHT = [[2, 0], [1], [0, 3, 4], [1, 2], [0, 4]]


def test_labels_that_are_all_wrong_move_their_part_and_no_other() -> None:
    right = evaluated(SCENES, RIGHT)
    assert parts(right)["missed"] == parts(right)["invented"] == parts(right)["swapped"] == 0
    assert moved(right, evaluated(SCENES, [[], [], [], [], []])) == {"missed"}
    assert moved(right, evaluated(SCENES, [[2, 0, 1], [1, 3], *RIGHT[2:]])) == {"invented"}
    assert moved(right, evaluated(SCENES, [[1, 3], [0], [1, 2], [0, 3], [1, 2]])) == {"missed", "swapped"}
    assert moved(right, evaluated(SCENES, [[1, 3], [0], [0, 3, 4], [0, 3], [1, 2]])) == {"swapped"}


def test_a_guide_that_is_late_moves_its_part_and_no_other() -> None:
    in_time, late = evaluated(SCENES, RIGHT), evaluated(SCENES, RIGHT, shift=FRAMES // 4)
    assert parts(in_time)["guidance"] == 0
    assert parts(late)["guidance"] > 1
    assert moved(in_time, late) == {"guidance"}


def test_estimates_that_are_too_quiet_move_the_part_of_separation_and_no_other() -> None:
    right, quiet = evaluated(SCENES, RIGHT), evaluated(SCENES, RIGHT, scale=0.5)
    assert moved(right, quiet) == {"separation"}
    assert parts(quiet)["separation"] > parts(right)["separation"]


def test_passes_that_were_not_taken_move_their_part_and_no_other() -> None:
    assert parts(evaluated(SCENES, RIGHT))["passes"] == 0  # without feedback there are no more
    few, many = evaluated(SCENES, RIGHT, iters=2), evaluated(SCENES, RIGHT, iters=4)
    assert parts(few)["passes"] > parts(many)["passes"] > 0
    assert moved(few, many) == {"passes"}


@pytest.mark.parametrize("named", [RIGHT, [[1, 3], [0, 2], [], [4], [0, 4]], [[0], [1, 2], [3, 2], [1, 2], [3]]])
@pytest.mark.parametrize("ranking", ["ca_sdri", "capi_sdri"])
def test_parts_add_up(named: Named, ranking: str) -> None:
    assert_adds_up(evaluated(SCENES, named, ranking, shift=9, scale=0.9, iters=2))


def test_parts_add_up_where_classes_repeat_and_where_nothing_sounds() -> None:
    batch = make_batch([[0, 0, 2], [None] * 3, [None] * 3, [1, 1, 1], [4, None, None]])
    named = [[0, 2, 2], [3], [], [1], [4]]  # one taken for another; invented in silence; nothing; two missed; right
    for outputs in (3, 1):
        evaluation = evaluated(batch, named, "capi_sdri", outputs=outputs)
        assert_adds_up(evaluation)
        swapped, silent, empty, missed, right = (lost_in(one.chain, "capi_sdri") for one in evaluation.mixtures)
        assert silent["ledger_ceiling"] is None
        assert set(empty.values()) == {None}
        assert (right["ledger_missed"], right["ledger_invented"], right["ledger_swapped"]) == (0, 0, 0)
        if outputs == 3:
            assert swapped["ledger_swapped"] > 0 == swapped["ledger_missed"]  # type: ignore[operator]
            assert missed["ledger_missed"] > 0  # type: ignore[operator]
        else:  # it answers a class once, however often it is asked
            assert missed["ledger_missed"] == 0
        alarms = parts(evaluation)["invented"]
        assert evaluation.ledger is not None
        assert alarms > 0  # what is named in silence brings the mean down


def test_a_network_of_ours_adds_up() -> None:
    guided: Any = shaken(make_guided(make_sed(), iters=2))
    evaluator = Evaluator(LABELS, RATE, {"tagger": Tagger(RIGHT)}, guided, (1, 2), ledger=True)
    evaluation = Evaluation("test", LABELS.names, evaluator(SCENES), 2, bootstrap=Bootstrap(100))
    assert_adds_up(evaluation)
    assert evaluation.metrics["test/ledger_ceiling/tagger"].value > evaluation.metrics["test/ca_sdri/tagger"].value
    plain = Evaluator(LABELS, RATE, {"tagger": Tagger(RIGHT)}, guided, (1, 2))(SCENES)
    for row, own in zip(plain, evaluation.mixtures, strict=True):
        assert row.rows == own.rows  # the ledger changes no score


def test_real_recordings_add_up(shared: Path) -> None:
    labels = LabelSet(tuple(json.loads((shared / "realmini" / "labels.json").read_text())))
    scenes = RecordedScenes(shared / "realmini" / "test", labels, 32000, 4)
    batch = collate([scenes[0], scenes[2], scenes[4]], labels)  # of one, two and three sounds
    rates: dict[str, Any] = {"input_rate": 32000, "classes": len(labels)}
    guided: Any = shaken(make_guided(make_sed(**rates), iters=2, **rates))
    named = [[4], [0, 1], [4, 5]]  # right; one taken for another; one missed
    tagger = Tagger(named, len(labels))
    evaluator = Evaluator(labels, 32000, {"tagger": tagger}, guided, (2,), ledger=True)
    evaluation = Evaluation("test", labels.names, evaluator(batch), 2, bootstrap=Bootstrap(0))
    assert_adds_up(evaluation)
    right, swapped, missed = (lost_in(one.chain, "ca_sdri") for one in evaluation.mixtures)
    assert right["ledger_missed"] == right["ledger_invented"] == right["ledger_swapped"] == 0
    assert swapped["ledger_swapped"] != 0 == swapped["ledger_missed"] == swapped["ledger_invented"]
    assert missed["ledger_missed"] != 0 == missed["ledger_swapped"] == missed["ledger_invented"]


def test_intervals_are_of_differences_over_the_same_mixtures() -> None:
    evaluation = evaluated(SCENES, RIGHT, shift=9, resamples=200)
    ledger = evaluation.ledger
    assert ledger is not None
    ceiling, separation = ledger.overall.ceiling, ledger.overall.lost["phase"]
    assert separation.low < separation.value < separation.high
    assert separation.high - separation.low < ceiling.high - ceiling.low + 1
    again = Evaluation("test", LABELS.names, list(evaluation.mixtures) * 4, 1, bootstrap=Bootstrap(200)).ledger
    assert again is not None
    narrow = again.overall.lost["phase"]
    assert narrow.value == pytest.approx(separation.value)
    assert narrow.high - narrow.low < separation.high - separation.low


def test_without_a_chain_there_is_no_ledger() -> None:
    evaluation = evaluated(SCENES, RIGHT)
    without = [MixtureResult(one.name, one.rows, one.outputs) for one in evaluation.mixtures]
    bare = replace(evaluation, mixtures=without)
    assert bare.ledger is None
    assert not any("ledger" in name for name in bare.metrics)


# What knows the truth.


def snr(reference: Tensor, estimate: Tensor) -> float:
    return float(10 * torch.log10(reference.square().sum() / (reference - estimate).square().sum()))


def test_a_mask_that_may_do_more_does_better() -> None:
    batch = make_batch([[0, 2, 4]], length=8000)
    sources = list(batch.targets[0])
    ideal = ideal_estimates(make_separator(), batch.mixture[0], sources)
    for index, source in enumerate(sources):
        scores = {name: snr(source, waves[index]) for name, waves in ideal.items()}
        assert scores["complex_mask"] > scores["real_mask"] > scores["ratio_mask"] > snr(source, batch.mixture[0, 0])


def test_masks_give_back_a_source_that_is_alone() -> None:
    source = noise(8000)
    mixture = torch.stack([source] * 4)
    for name, waves in ideal_estimates(make_separator(), mixture, [source]).items():
        assert snr(source, waves[0]) > 50, name


def test_a_wiener_filter_takes_apart_in_space_what_is_alike_in_time_and_frequency() -> None:
    one, other = noise(16000, seed=1), noise(16000, seed=2)
    directions = torch.tensor([[1.0, 0.9, 0.1, 0.3], [1.0, -0.8, 0.5, 0.1]])
    mixture = directions.T @ torch.stack([one, other]) + 0.001 * noise(4, 16000, seed=3)
    ideal = ideal_estimates(make_separator(), mixture, [one, other])
    for index, source in enumerate((one, other)):
        assert snr(source, ideal["wiener"][index]) > 30 > snr(source, ideal["real_mask"][index]) + 15


def test_a_source_that_is_silent_stays_so() -> None:
    for waves in ideal_estimates(make_separator(), noise(4, 8000), [torch.zeros(8000)]).values():
        assert np.isfinite(waves.numpy()).all()
        assert waves.square().mean() < 1e-6


def test_links_are_the_parts_in_their_order() -> None:
    assert LINKS[1:] == PARTS_OF
