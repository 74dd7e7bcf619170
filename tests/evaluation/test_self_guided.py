"""The loop closed, with parts whose answers are known, and with real networks where they must fit together."""

from __future__ import annotations

import torch
from minis import CLASSES, LABELS, MICROPHONES, RATE, make_batch, make_guided, make_sed, noise, shaken
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.conditioning import Soundbeam, TimeFilm
from sedsep.evaluation.evaluator import Evaluator
from sedsep.evaluation.self_guided import REST_DB, SelfGuided
from sedsep.evaluation.separating import one_hot_rows, true_sources
from sedsep.labels import LabelRule
from sedsep.metrics.registry import SELF_GUIDED, STEMS
from sedsep.models import GuidedSeparator, UnlabelledSeparator
from sedsep.types import Batch, SedOutput, Separation, Sources

RULE = LabelRule(threshold=0.4, at_least=0, at_most=3)
BATCH = make_batch([[3, 0, 3], [1, None, None], [None, None, None]])


class First(nn.Module):
    """A first stage with known stems."""

    microphones = MICROPHONES

    def __init__(self, stems: Tensor) -> None:
        super().__init__()
        self.known = stems

    def stems(self, mixture: Tensor) -> Tensor:
        return self.known


class Namer(nn.Module):
    """Knows the true sources of a batch, whatever their level; takes what is like none of them for a cough."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.sounds = batch.targets.flatten(0, 1)
        self.classes = batch.query.flatten(0, 1)

    def forward(self, recording: Tensor) -> SedOutput:
        assert not recording[:, 1:].any()
        alike = F.normalize(recording[:, 0], dim=-1) @ F.normalize(self.sounds, dim=-1).T
        known = alike.clamp_min(0) @ self.classes
        anything_else = 0.5 * F.one_hot(torch.tensor(1), CLASSES)
        return SedOutput(torch.where(known.amax(1, keepdim=True) > 0.3, known, anything_else))


class Identity(nn.Module):
    """Extracts what it is given."""

    iters = 3

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def listen(self, mixture: Tensor) -> None:
        return None

    def forward(self, mixture: Tensor, query: Tensor, passes: int, guide: None, before: Tensor) -> Separation:
        assert (passes, query.shape[:2]) == (1, before.shape[:2])
        return Separation(before * query.any(-1, keepdim=True), [])


def loop(stems: Tensor, separator: nn.Module | None = None, batch: Batch = BATCH) -> SelfGuided:
    return SelfGuided(First(stems), Namer(batch), LABELS, RULE, separator)  # type: ignore[arg-type]


def ordered(sources: Sources) -> list[tuple[str, list[float]]]:
    return sorted((label, wave.tolist()) for label, wave in sources)


def test_perfect_parts_give_the_references_after_any_number_of_rounds() -> None:
    stems = BATCH.targets[:, [2, 0, 1]]
    found = loop(stems, Identity(outputs=3))(BATCH.mixture, (1, 2, 5))
    truth = [ordered(sources) for sources in true_sources(BATCH, LABELS)]
    assert set(found) == {(source, rounds) for source in (STEMS, SELF_GUIDED) for rounds in (1, 2, 5)}
    for answers in found.values():
        assert [ordered(sources) for sources in answers] == truth  # a class twice, one alone, and none


def test_without_a_separator_the_first_stage_s_stems_are_named_as_they_are() -> None:
    stems = 0.5 * BATCH.targets
    found = loop(stems)(BATCH.mixture, (1,))
    assert list(found) == [(STEMS, 1)]
    bells, coughs, nothing = found[STEMS, 1]
    assert ordered(bells) == ordered([("Rain", stems[0, 0]), ("Bell", stems[0, 1]), ("Rain", stems[0, 2])])
    assert ordered(coughs) == ordered([("Cough", stems[1, 0])])
    assert nothing == []


def test_silent_stems_are_named_nothing() -> None:
    level = BATCH.mixture[:, :1].square().mean(-1, keepdim=True).sqrt()
    sound = F.normalize(noise(*BATCH.targets.shape, seed=7), dim=-1) * BATCH.targets.shape[-1] ** 0.5 * level
    for gain_db, count in ((-31.0, 0), (-29.0, 3)):
        (answers,) = loop(10 ** (gain_db / 20) * sound)(BATCH.mixture, (1,)).values()
        assert [len(sources) for sources in answers] == [count] * 3


def test_a_separator_with_one_answer_a_class_is_asked_for_each_class_once() -> None:
    found = loop(BATCH.targets, Identity(outputs=1))(BATCH.mixture, (1,))
    for answers in found.values():
        assert [sorted(label for label, _ in sources) for sources in answers] == [["Bell", "Rain"], ["Cough"], []]


def test_where_every_scene_holds_a_target_the_surest_stem_is_named_unless_all_are_silent() -> None:
    rule = LabelRule(threshold=0.9, at_least=1, at_most=3)
    stems = noise(*BATCH.targets.shape, seed=7)
    stems[1:] = 0
    answers = SelfGuided(First(stems), Namer(BATCH), LABELS, rule)(BATCH.mixture, (1,))[STEMS, 1]  # type: ignore[arg-type]
    assert [[label for label, _ in sources] for sources in answers] == [["Cough"], [], []]


# With networks.


def unlabelled(outputs: int = 3) -> UnlabelledSeparator:
    network = UnlabelledSeparator(lambda **sizes: make_guided(outputs=outputs).separator)
    assert isinstance(shaken(network), UnlabelledSeparator)
    return network


def guided(**changes: object) -> GuidedSeparator:
    network = shaken(make_guided(make_sed(), time_film=TimeFilm, injection=Soundbeam, **changes))
    assert isinstance(network, GuidedSeparator)
    return network


def test_a_class_is_guided_by_when_it_sounds_in_its_stems_and_others_as_in_the_mixture() -> None:
    separator = guided(outputs=3)
    stems = BATCH.targets
    with torch.inference_mode():
        heard = separator.listen(BATCH.mixture)
        guide = loop(stems, separator).guide(heard, stems, BATCH.mixture, BATCH.query)
        assert heard is not None and guide is not None
        recordings = torch.zeros(9, MICROPHONES, stems.shape[-1])
        rest = BATCH.mixture[:, :1] - stems
        recordings[:, 0] = (stems + 10 ** (REST_DB / 20) * rest).flatten(0, 1)
        alone = separator.listen(recordings).strong_logits.unflatten(0, (3, 3))
    rain, bell = torch.maximum(alone[0, 0, 3], alone[0, 2, 3]), alone[0, 1, 0]
    torch.testing.assert_close(guide.strong_logits[0, [3, 0]], torch.stack([rain, bell]))
    assert torch.equal(guide.strong_logits[0, [1, 2, 4]], heard.strong_logits[0, [1, 2, 4]])
    assert torch.equal(guide.strong_logits[2], heard.strong_logits[2])
    assert guide.layers is heard.layers


def test_a_round_is_a_pass_that_is_fed_the_named_stems_under_their_names() -> None:
    for outputs, iters in ((3, 2), (1, 2), (3, 0)):
        separator = guided(outputs=outputs, iters=iters)
        chain = loop(BATCH.targets, separator)
        found = chain(BATCH.mixture, (1,))[SELF_GUIDED, 1]
        with torch.inference_mode():
            stems, classes = chain.name(BATCH.targets, BATCH.mixture)
            query = one_hot_rows(classes, 3, CLASSES, stems.device)
            guide = chain.guide(separator.listen(BATCH.mixture), stems, BATCH.mixture, query)
            expected = separator(BATCH.mixture, query, 1, guide, before=stems if iters else None).estimates
        for item, sources in enumerate(found):
            assert [LABELS.index(label) for label, _ in sources] == classes[item]
            for slot, (_, wave) in enumerate(sources):
                assert torch.equal(wave, expected[item, slot])


def test_both_stages_are_scored_beside_the_tagger_s_and_the_true_labels() -> None:
    separator = guided(outputs=3, iters=2)
    chain = SelfGuided(unlabelled(), Namer(BATCH), LABELS, RULE, separator)
    evaluator = Evaluator(LABELS, RATE, {}, separator, (1, 2), self_guided=chain)
    rows = [(row.labels_from, row.passes) for row in evaluator(BATCH)[0].rows]
    assert sorted(rows) == sorted((source, count) for source in ("oracle", STEMS, SELF_GUIDED) for count in (1, 2))


def test_an_unlabelled_separator_is_scored_by_the_names_of_its_stems() -> None:
    first = unlabelled()
    evaluator = Evaluator(
        LABELS, RATE, {}, first, oracle=False, self_guided=SelfGuided(first, Namer(BATCH), LABELS, RULE)
    )
    assert [row.labels_from for row in evaluator(BATCH)[0].rows] == [STEMS]
