"""A second ear, with taggers whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from minis import LABELS, MICROPHONES, RATE, make_batch, make_sed, noise, refused
from scipy.stats import spearmanr
from torch import Tensor, nn

from sedsep.evaluation.ear import Ear, HeardStem, load, worth
from sedsep.evaluation.evaluator import FileEvaluator
from sedsep.evaluation.results import Evaluation
from sedsep.evaluation.writing import write_scores
from sedsep.metrics.bootstrap import Bootstrap
from sedsep.types import SedOutput, Sources


class Loudness(nn.Module):
    """Hears `Bell` as likely as a clip is loud on average, `Dog` as its first sample is; keeps what it heard."""

    input_rate, microphones, reference_channel, shortest = RATE, 1, 0, 100

    def __init__(self, longest: int | None = None) -> None:
        super().__init__()
        self.longest = longest
        self.heard: list[Tensor] = []

    def forward(self, mixture: Tensor) -> SedOutput:
        self.heard.append(mixture)
        level = mixture[:, 0].abs()
        return SedOutput(torch.stack([level.mean(1), level[:, 0]], dim=1).clamp(0, 1))


def ear(tagger: Loudness, labels: tuple[str, ...] = ("Bell", "Dog")) -> Ear:
    return Ear(Path("ear.ckpt"), labels, tagger)  # type: ignore[arg-type]


def test_a_mono_sound_is_heard_as_w_by_a_tagger_of_foa() -> None:
    tagger = Loudness()
    tagger.microphones = MICROPHONES
    sound = 0.1 * noise(500)
    found = ear(tagger).hear(sound, RATE)
    (heard,) = tagger.heard
    assert heard.shape == (1, MICROPHONES, 500)
    torch.testing.assert_close(heard[0, 0], sound)
    assert not heard[0, 1:].any()
    assert found == pytest.approx({"Bell": sound.abs().mean().item(), "Dog": abs(sound[0].item())})


def test_a_long_sound_is_heard_in_pieces_and_counts_where_it_is_likeliest() -> None:
    tagger = Loudness(longest=400)
    listener = ear(tagger)
    sound = torch.zeros(1000)
    sound[750:800] = 0.8
    assert listener.pieces(1000) == [(0, 400), (400, 800), (600, 1000)]
    assert listener.hear(sound, RATE)["Bell"] == pytest.approx(0.1)
    assert [piece.shape[-1] for piece in tagger.heard] == [400] * 3
    assert listener.pieces(30) == [(0, 30)]  # and zeros after it
    listener.hear(sound[:30], RATE)
    assert tagger.heard[-1].shape[-1] == tagger.shortest


def test_another_rate_is_the_ear_s_before_it_listens() -> None:
    tagger = Loudness()
    ear(tagger).hear(noise(2000), 2 * RATE)
    assert tagger.heard[0].shape[-1] == 1000


def scored(tagger: Loudness, labels: tuple[str, ...] = ("Bell", "Dog")) -> Evaluation:
    """Bell at a twentieth of what it is, and Cough where there is Dog, of two mixtures with Bell and Dog."""
    batch = make_batch([[0, 2, None], [0, 2, None]])
    truth = dict(zip(batch.names, batch.targets, strict=True))

    def made(name: str, length: int) -> Sources:
        return [("Bell", 0.05 * truth[name][0]), ("Cough", truth[name][1])]

    results = FileEvaluator(LABELS, RATE, made, ear(tagger, labels))(batch)
    return Evaluation("test", LABELS.names, results, bootstrap=Bootstrap(0))


def test_stems_and_residual_of_another_system_are_judged(tmp_path: Path) -> None:
    batch = make_batch([[0, 2, None], [0, 2, None]])
    evaluation = scored(Loudness())
    bells = [stem for mixture in evaluation.mixtures for stem in mixture.heard]
    assert [(stem.label, stem.outcome, stem.labels_from) for stem in bells] == [
        ("Bell", "hit", "files")
    ] * 2  # no Cough
    for stem, mixture, targets in zip(bells, batch.mixture[:, 0], batch.targets, strict=True):
        left = mixture - 0.05 * targets[0] - targets[1]
        assert stem.stem == pytest.approx(0.05 * targets[0].abs().mean().item(), rel=1e-4)
        assert stem.residual == pytest.approx(left.abs().mean().item(), rel=1e-4)
        assert stem.score == pytest.approx(stem.stem * (1 - stem.residual))
    assert evaluation.score("ear_stem", "files").value == pytest.approx(np.mean([stem.stem for stem in bells]))  # type: ignore[union-attr]
    lines = write_scores(tmp_path, evaluation, {})[-1].read_text().splitlines()
    assert lines[0] == "mixture,labels_from,label,outcome,improvement,stem,residual"
    assert len(lines) == 3


def test_an_ear_that_knows_no_class_is_refused_and_one_that_knows_other_stems_says_nothing() -> None:
    assert scored(Loudness(), ("Speech", "Rain")).score("ear_stem", "files") is None
    with refused("knows none of the classes Bell, Dog"):
        ear(Loudness(), ("Cat", "Cow")).check(("Bell", "Dog"))


def stems(scores: list[float], gains: list[float]) -> list[list[HeardStem]]:
    return [
        [HeardStem(str(n), "tagger", "Dog", "hit", gain, score, 0.0)]
        for n, (score, gain) in enumerate(zip(scores, gains, strict=True))
    ]


def test_worth_is_the_rank_correlation_with_the_improvement() -> None:
    drawn = np.random.default_rng(0).normal(size=(2, 40))
    scores, gains = drawn[0], 3 * drawn[0] + drawn[1]
    mixtures = stems(scores.tolist(), gains.tolist())
    alarm = HeardStem("0", "tagger", "Rain", "false_alarm", 0.0, 0.9, 0.9)
    found = worth([*mixtures, [alarm]], Bootstrap())["ear_spearman"]
    assert found.value == pytest.approx(spearmanr(scores, gains).statistic)
    assert 0 < found.low < found.value < found.high <= 1
    assert found.count == 40
    backwards = worth(stems(scores.tolist(), (-gains).tolist()), Bootstrap())["ear_spearman"]
    assert backwards.value == pytest.approx(-found.value)


def test_what_has_no_ranks_has_no_correlation() -> None:
    assert worth([[]], Bootstrap()) == {}
    same = worth(stems([0.5] * 8, list(range(8))), Bootstrap())
    assert np.isnan(same["ear_spearman"].value)
    assert same["ear_stem"].value == 0.5
    assert np.isnan(worth(stems([0.1, 0.2, 0.3], [1, 2, 3]), Bootstrap())["ear_spearman"].low)  # too few


def test_our_taggers_listen_and_others_are_told_what_they_need(tmp_path: Path) -> None:
    sed = make_sed().eval()
    sound = 0.02 * noise(4000)
    with torch.inference_mode():
        expected = sed(sound[None, None]).clip_probabilities[0].tolist()
    assert list(Ear(Path("x"), LABELS.names, sed).hear(sound, RATE).values()) == pytest.approx(expected, abs=1e-6)
    (tmp_path / "theirs.onnx").write_bytes(b"")
    with refused("a network of other people needs task.ear_labels"):
        load(str(tmp_path / "theirs.onnx"), tmp_path)
    with refused("task.ear_rate is for networks of other people"):
        load("anything", tmp_path, rate=32_000)
