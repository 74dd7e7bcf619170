"""A chain of systems, each the former with one thing put right, from what was scored to what no mask can pass.

    own labels, own guide  ->  with what was missed  ->  without what was invented  ->  with true names for what was
    swapped  ->  guided by the true activity  ->  after more passes  ->  the best mask that keeps the mixture's phase
    ->  the best mask that turns it, too: the ceiling

What a link scores more than the one before it is what that one thing costs; the differences add up to the whole way.

Axes: B batch, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from sedsep.devices import computing
from sedsep.dsp import snr_db
from sedsep.evaluation.ideal import ideal_estimates
from sedsep.evaluation.separating import separate, true_sources
from sedsep.labels import LabelSet, frame_labels
from sedsep.metrics.registry import LEDGER, REFERENCES
from sedsep.metrics.rows import MixtureRow, score_estimates
from sedsep.metrics.sdri import match
from sedsep.models.guided import GuidedSeparator
from sedsep.types import Batch, SedOutput, Sources

OWN = "own"
LINKS = (OWN, *LEDGER)
"""The system as it is, and after each thing that is put right."""

NAMES = ("missed", "invented", "swapped")
MASKS = {"separation": "real_mask", "phase": "complex_mask", **{name: name for name in REFERENCES}}
"""Ideal estimates of the last links, and of what stands beside the chain."""

MORE_PASSES = 5
"""Of refinement: as many as the paper takes of separators that were trained with fewer."""

CERTAIN = 4.0
"""Logit of a class in a frame in which it sounds, and with a minus where it does not."""

Chain = Mapping[str, MixtureRow]
"""Scores of a mixture by link, and of `REFERENCES`."""


def chains(
    network: GuidedSeparator,
    batch: Batch,
    labels: LabelSet,
    rows: Sequence[MixtureRow],
    classes: Sequence[Sequence[int]],
    estimates: Sequence[Sources],
    guidance: SedOutput | None,
    precision: str,
) -> Sequence[Chain]:
    """The chain of every mixture of a batch. Where nothing was to be put right, a link has the row of the one before.

    Args:
        network: the separator.
        batch: the mixtures.
        labels: the classes.
        rows: the scores of the system as it is, after as many passes as the separator was trained for.
        classes: indices of those that it names in each mixture.
        estimates: what was separated for them.
        guidance: what the Stage 2 SED model made of the batch; `None` for a separator without one.
        precision: of the networks (`computing`).
    """
    truth = true_sources(batch, labels)
    once = network.outputs == 1
    mended = [mend(*item, labels, once) for item in zip(classes, rows, estimates, truth, strict=True)]
    asked = {name: [item[name] for item in mended] for name in NAMES}
    right = {"right": asked["swapped"]}
    passes = network.trained_passes
    most = max(passes, MORE_PASSES) if network.iters else passes
    guide = true_guide(network, batch, guidance)
    with computing(batch.mixture.device, precision):
        named = separate(network, batch.mixture, asked, labels, (passes,), guidance)
        guided = separate(network, batch.mixture, right, labels, (passes, most), guide)
    table: list[Chain] = []
    for item, own in enumerate(rows):
        score = partial(
            score_estimates,
            own.name,
            own.labels_from,
            references=truth[item],
            mixture=batch.mixture[item, 0],
            passes=own.passes,
        )
        chain, last, before = {OWN: own}, own, list(classes[item])
        for name in NAMES:
            if asked[name][item] != before:
                last, before = score(named[name, passes][item]), asked[name][item]
            chain[name] = last
        chain["guidance"] = last if guide is guidance else score(guided["right", passes][item])
        chain["passes"] = chain["guidance"] if most == passes else score(guided["right", most][item])
        names, waves = [label for label, _ in truth[item]], [wave for _, wave in truth[item]]
        ideal = ideal_estimates(network.separator, batch.mixture[item], waves) if waves else {}
        for name, mask in MASKS.items():
            chain[name] = score(list(zip(names, ideal.get(mask, []), strict=True)))
        table.append(chain)
    return table


def mend(
    own: Sequence[int], row: MixtureRow, estimates: Sources, truth: Sources, labels: LabelSet, once: bool
) -> dict[str, list[int]]:
    """The classes of a mixture with what was missed, then without what was invented, then with what was swapped put
    right.

    Where sounds were missed and others invented, one was taken for the other: those that are most alike, in as many
    pairs as there are.

    Args:
        own: indices of the classes that were named.
        row: the score of what was separated for them.
        estimates: what was separated, in the order of the classes.
        truth: the dry sources.
        labels: names of the classes.
        once: whether no class is asked for twice, however often it sounds.
    """
    outcomes = [score.outcome for score in row.scores if score.outcome != "false_alarm"]
    by_label = sorted(truth, key=lambda source: source[0])  # as they were scored
    missed = [source for source, outcome in zip(by_label, outcomes, strict=True) if outcome == "miss"]
    if once:
        missed = [(label, wave) for label, wave in dict(missed).items() if labels.index(label) not in own]
    invented = [
        [place for place, index in enumerate(own) if labels.names[index] == score.label][score.estimate or 0]
        for score in row.scores
        if score.outcome == "false_alarm"
    ]
    alike = match([[snr_db(wave, estimates[place][1]).item() for _, wave in missed] for place in invented])
    swapped = {invented[estimate]: labels.index(missed[source][0]) for estimate, source in alike.items()}
    added = [labels.index(label) for source, (label, _) in enumerate(missed) if source not in alike.values()]
    all_named = [*own, *added]
    kept = [place for place in range(len(all_named)) if place not in invented or place in swapped]
    return {
        "missed": all_named,
        "invented": [all_named[place] for place in kept],
        "swapped": [swapped.get(place, all_named[place]) for place in kept],
    }


def true_guide(network: GuidedSeparator, batch: Batch, guidance: SedOutput | None) -> SedOutput | None:
    """The guidance of a batch with its frames as they truly are, where the separator reads any; else as it is."""
    if guidance is None or guidance.strong_logits is None or "frames" not in network.separator.reads:
        return guidance
    active_bns = frame_labels(batch, guidance.strong_logits.shape[-1])
    return replace(guidance, strong_logits=CERTAIN * (2 * active_bns - 1))
