"""Several networks in the place of one: the mean is a mean, whoever comes first, and sources are matched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from minis import LABELS, LENGTH, MICROPHONES, RATE, make_batch, make_guided, make_sed, noise, one_hot, refused, shaken
from torch import Tensor
from whole_systems import SOUNDBEAM, TIME_FILM, make, saved, separator_config, system, tagger

import sedsep
from sedsep.evaluation.ensemble import SedEnsemble, SeparatorEnsemble, combined, matched, mean_tracks
from sedsep.evaluation.evaluator import Evaluator
from sedsep.evaluation.separating import separate
from sedsep.inference import SceneSeparator
from sedsep.types import SedOutput

MIXTURE = 0.02 * noise(2, MICROPHONES, LENGTH)
FEEDBACK = {"iters": 2, "time_film": TIME_FILM, "injection": SOUNDBEAM}


def close(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, FEEDBACK, {**FEEDBACK, "outputs": 2}], ids=["plain", "guided", "outputs"])
def test_the_mean_of_separators_is_theirs_whoever_comes_first(changes: dict[str, object]) -> None:
    a, b = (make(separator_config(**changes), seed) for seed in (0, 1))
    query, passes = one_hot([[0, 2], [1, None]]), 2 if "iters" in changes else 1
    with torch.inference_mode():
        alone = [network(MIXTURE, query, passes).passes for network in (a, b)]
        for members in ([a, b], [b, a]):
            both = SeparatorEnsemble(members)(MIXTURE, query, passes)
            for mean, left, right in zip(both.passes, *alone, strict=True):
                close(mean, (left + right) / 2)
        twice = SeparatorEnsemble([a, a])(MIXTURE, query, passes)
    close(twice.estimates, alone[0][-1])
    assert not twice.estimates[1, 1].any(), "silence stays silence"
    assert (alone[0][-1] - alone[1][-1]).abs().max() > 1e-3, "else nothing is shown"


def test_estimates_of_a_repeated_class_are_matched_and_others_never() -> None:
    first = noise(2, 3, LENGTH)
    query = one_hot([[0, 0, 1], [2, 3, None]])
    other = first[:, [1, 0, 2]] + 0.1 * noise(2, 3, LENGTH, seed=1)
    found = matched(first, other, query)
    close(found[0], other[0, [1, 0, 2]])
    close(found[1], other[1])  # their labels say what they are, whatever they sound like
    close(matched(other, first, query)[0], first[0, [1, 0, 2]])


def test_probabilities_are_averaged_before_the_labels_are_decided() -> None:
    a, b = tagger(), shaken(make_sed(), 2)
    with torch.inference_mode():
        one, two = a(MIXTURE), b(MIXTURE)
        for members in ([a, b], [b, a]):
            both = SedEnsemble(members)(MIXTURE)
            close(both.clip_probabilities, (one.clip_probabilities + two.clip_probabilities) / 2)
            close(both.strong_probabilities, (one.strong_probabilities + two.strong_probabilities) / 2)
        twice = SedEnsemble([a, a])(MIXTURE)
    close(twice.strong_logits, one.strong_logits)


def test_frames_that_are_certain_stay_finite() -> None:
    logits = torch.tensor([-80.0, 0.0, 80.0])[None, None]

    class Certain(torch.nn.Module):
        input_rate, shortest, longest = RATE, 1, None

        def forward(self, mixture: Tensor) -> SedOutput:
            return SedOutput(torch.ones(1, 1), logits)

    close(SedEnsemble([Certain(), Certain()])(MIXTURE).strong_logits, logits)


def test_tracks_are_matched_and_their_order_belongs_to_no_member() -> None:
    """Three tracks of two classes and silence: the second model says the same in another order, and less surely."""
    first = torch.tensor([[[4.0, 0, 0], [0, 4, 0], [0, 0, 4]]])
    second = 0.5 * first[:, [1, 2, 0]]
    mean = mean_tracks([first, second])
    close(mean, mean_tracks([second, first]))
    aligned = (first.softmax(-1) + (0.5 * first).softmax(-1)) / 2
    found = mean.exp()[0]
    assert sorted(found.argmax(-1).tolist()) == [0, 1, 2]
    for row in found:
        close(row, aligned[0, row.argmax()])
    close(mean_tracks([first, first]).exp(), first.softmax(-1))


def test_an_evaluator_scores_an_ensemble_as_it_scores_a_network() -> None:
    a, named = make(separator_config(time_film=TIME_FILM)), tagger()
    batch = make_batch([[0, 2, None], [1, None, None]])
    rows = []
    for copies in (1, 2):
        evaluator = Evaluator(LABELS, RATE, {"tagger": combined([named] * copies)}, combined([a] * copies))
        rows.append([row.record() for result in evaluator(batch) for row in result.rows])
    for alone, twice in zip(*rows, strict=True):
        assert alone == pytest.approx(twice, abs=1e-4)


def test_more_queries_than_outputs_listen_once_for_all() -> None:
    a, b = (make(separator_config(**FEEDBACK, outputs=2), seed) for seed in (0, 1))
    asked = {"tagger": [[0, 1, 2], [3]]}
    with torch.inference_mode():
        found = separate(SeparatorEnsemble([a, b]), MIXTURE, asked, LABELS, (2,))["tagger", 2]
        each = [separate(network, MIXTURE, asked, LABELS, (2,))["tagger", 2] for network in (a, b)]
    assert [[label for label, _ in item] for item in found] == [["Bell", "Cough", "Dog"], ["Rain"]]
    for mean, left, right in zip(found, *each, strict=True):
        for (_, wave), (_, one), (_, two) in zip(mean, left, right, strict=True):
            close(wave, (one + two) / 2)


@pytest.mark.parametrize("frames", [4000, 24_000])  # one chunk; several, each guided by what is heard in all
def test_recordings_and_streams_take_an_ensemble(frames: int) -> None:
    mixture = 0.02 * noise(MICROPHONES, frames)
    alone = system(0.5, tagger(), time_film=TIME_FILM, injection=SOUNDBEAM)
    twice = SceneSeparator(
        combined([alone.network] * 2), LABELS, combined([alone.tagger] * 2), 0.5, threshold=alone.threshold
    )
    expected, found = (one.separate(mixture, RATE, ["Dog", "Rain"]) for one in (alone, twice))
    for label in expected.labels:
        close(found.waveforms[label], expected.waveforms[label])
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    streams = (one.stream([mixture], RATE) for one in (alone, twice))
    close(*(torch.cat([torch.from_numpy(stems) for stems, _ in stream]) for stream in streams))


def test_files_are_loaded_as_one_system(tmp_path: Path) -> None:
    separator, named_by = saved(tmp_path)
    alone, twice = (
        sedsep.load(one, two, device="cpu") for one, two in ((separator, named_by), ([separator] * 2, [named_by] * 2))
    )
    mixture = 0.02 * noise(MICROPHONES, 4000)
    expected, found = (one.separate(mixture, RATE, threshold=0.2) for one in (alone, twice))
    assert found.labels == expected.labels
    assert len(found.labels) > 0
    for label in expected.labels:
        close(found.waveforms[label], expected.waveforms[label])
    assert twice.tagger_files == (named_by, named_by)


def test_networks_that_have_no_mean_are_refused(tmp_path: Path) -> None:
    with refused("need the same number of outputs, and these have 1, 2"):
        SeparatorEnsemble([make_guided(), make_guided(outputs=2)])
    with refused("same sample rate, and these have 8000, 16000"):
        SeparatorEnsemble([make_guided(), make_guided(input_rate=16000)])
    with refused("same number of refinement passes"):
        SeparatorEnsemble([make_guided(), make_guided(iters=3)])
    with refused("same sample rate"):
        SedEnsemble([make_sed(), make_sed(16000)])
    with refused("name sources one by one have no mean with others"):
        SedEnsemble([make_sed(), make_sed(head="tracks", microphones=MICROPHONES, track_width=8, track_hidden=8)])
    others, _ = saved(tmp_path)
    (tmp_path / "b").mkdir()
    renamed = sedsep.checkpoints.load(others, "separator")
    description = sedsep.checkpoints.Description(
        "separator", "mini", renamed.description.network, ("Owl", *LABELS.names[1:])
    )
    sedsep.checkpoints.save(tmp_path / "b" / "owl.ckpt", renamed.network, description)
    with refused(r"have no mean, for their classes differ \(Bell, Owl\)"):
        sedsep.load([others, tmp_path / "b" / "owl.ckpt"], device="cpu")
