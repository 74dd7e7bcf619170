"""Two-stage evaluation: every label source and number of passes scored from one look at each mixture.

Axes: B batch, M microphones, L samples, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from sedsep.checkpoints.exported import ExportedSeparator
from sedsep.devices import computing
from sedsep.errors import UserError
from sedsep.evaluation.chain import Chain, chains
from sedsep.evaluation.ear import Ear, HeardStem, listen
from sedsep.evaluation.ensemble import AnySeparator, SeparatorEnsemble
from sedsep.evaluation.estimates import write_estimates
from sedsep.evaluation.self_guided import SelfGuided
from sedsep.evaluation.separating import separate, true_classes, true_sources
from sedsep.labelling import Expected, PerClass
from sedsep.labels import LabelRule, LabelSet, each_once, named_classes, named_sources
from sedsep.metrics.registry import FILES, ORACLE, main_source
from sedsep.metrics.rows import MixtureRow, score_estimates
from sedsep.metrics.sed import SedScene, sed_scenes
from sedsep.types import Batch, SedOutput, Sources


@dataclass(frozen=True)
class TaggerOutput:
    """What a tagger makes of a mixture.

    Attributes:
        probabilities: of each class, that it sounds; `None` for a tagger that names sources one by one, whatever the
            threshold.
        scene: those of frames with the true events; `None` for a tagger of clips.
        named: the probability of each event that is named, in their order.
    """

    probabilities: list[float] | None
    scene: SedScene | None
    named: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class MixtureResult:
    """Results of one mixture.

    Attributes:
        name: of the mixture.
        rows: one for each label source and number of passes.
        outputs: by the taggers' label sources.
        heard: stems that an ear listened to.
        chain: for the ledger, of the label source that a user has; empty where none was asked for.
    """

    name: str
    rows: list[MixtureRow]
    outputs: dict[str, TaggerOutput] = field(default_factory=dict)
    heard: list[HeardStem] = field(default_factory=list)
    chain: Chain = field(default_factory=dict)


class Evaluator(nn.Module):
    """Scores mixtures.

    Args:
        labels: the classes.
        rate: Hz, of the mixtures.
        taggers: SED models that name the events, by label source.
        separator: `None` scores labels alone.
        passes: numbers of refinement passes to score.
        oracle: whether a separator is asked for the true labels, too.
        rule: how labels are chosen from the taggers' probabilities.
        labelling: in its threshold's place, by label source.
        folder: for the estimates after as many passes as the separator was trained for, in a folder a label source;
            `None` keeps none.
        precision: of the networks, whatever they are trained in (`computing`).
        ear: listens to the estimates after as many passes as the separator was trained for; `None` for none.
        ledger: whether to follow the chain from each mixture's score to its ceiling.
        self_guided: gives stems with names of its own, for label sources beside those of taggers; `None` for none.
    """

    def __init__(
        self,
        labels: LabelSet,
        rate: int,
        taggers: Mapping[str, nn.Module],
        separator: AnySeparator | None = None,
        passes: Sequence[int] = (1,),
        oracle: bool = True,
        rule: LabelRule = LabelRule(),  # noqa: B008
        folder: Path | None = None,
        precision: str = "fp32",
        ear: Ear | None = None,
        ledger: bool = False,
        labelling: Mapping[str, PerClass | Expected] = MappingProxyType({}),
        self_guided: SelfGuided | None = None,
    ) -> None:
        super().__init__()
        self.labels, self.rate, self.passes, self.folder = labels, rate, tuple(passes), folder
        self.precision, self.ledger = precision, ledger
        self.labelling = dict(labelling)
        self.rules = {source: replace(rule, labelling=labelling.get(source)) for source in taggers}
        self.oracle = oracle and separator is not None
        self.trained_passes = None if separator is None else separator.trained_passes
        self.taggers = nn.ModuleDict(taggers)
        self.separator, self.ear, self.self_guided = separator, ear, self_guided
        self.eval()

    @torch.inference_mode()
    def forward(self, batch: Batch) -> list[MixtureResult]:
        """Score a batch on the device where it is."""
        with computing(batch.mixture.device, self.precision):
            outputs = {source: tagger(batch.mixture) for source, tagger in self.taggers.items()}
            classes = self.classes(batch, outputs)
            estimates: dict[tuple[str, int], list[Sources]] = {}
            guidance = None
            if self.separator is not None:
                guidance = self.separator.listen(batch.mixture) if self.ledger else None
                estimates = separate(self.separator, batch.mixture, classes, self.labels, self.passes, guidance)
            if self.self_guided is not None:
                estimates |= self.self_guided(batch.mixture, self.passes)
        tables: dict[str, list[TaggerOutput]] = {}
        for source, output in outputs.items():
            none, frames = [None] * len(batch.names), output.strong_probabilities
            clips = output.clip_probabilities.tolist() if output.tracks is None else none
            scenes = none if frames is None else sed_scenes(frames, batch, self.rate)
            heard = named_sources(output, self.rules[source])
            if self.separator is not None and self.separator.outputs == 1:
                heard = [each_once(clip) for clip in heard]
            named = [[probability for _, probability in clip] for clip in heard]
            tables[source] = [TaggerOutput(*item) for item in zip(clips, scenes, named, strict=True)]
        truth = true_sources(batch, self.labels)
        results = []
        for item, name in enumerate(batch.names):
            rows, stems = [], list[HeardStem]()
            if self.separator is None:
                true = tuple(label for label, _ in truth[item])
                for source, indices in classes.items():
                    rows.append(MixtureRow(name, source, true, tuple(self.labels.names[i] for i in indices[item])))
            for (source, passes), sources in estimates.items():
                if self.folder is not None and self.separator is not None and passes == self.trained_passes:
                    once = self.separator.outputs == 1 or (source in outputs and outputs[source].tracks is None)
                    form = "2025" if once else "2026"  # where a label may repeat
                    write_estimates(self.folder / source, name, sources[item], self.rate, form)
                mixture = batch.mixture[item, 0]
                rows.append(score_estimates(name, source, sources[item], truth[item], mixture, passes))
                if self.ear is not None and passes == self.trained_passes:
                    stems += listen(self.ear, rows[-1], sources[item], mixture, self.rate)
            answers = {source: table[item] for source, table in tables.items()}
            results.append(MixtureResult(name, rows, answers, stems))
        if self.ledger and self.separator is not None:
            assert not isinstance(self.separator, SeparatorEnsemble | ExportedSeparator)
            assert not isinstance(guidance, list)
            source, passes = main_source(classes), self.separator.trained_passes
            own = [row for one in results for row in one.rows if (row.labels_from, row.passes) == (source, passes)]
            made = classes[source], estimates[source, passes], guidance, self.precision
            followed = chains(self.separator, batch, self.labels, own, *made)
            results = [replace(one, chain=chain) for one, chain in zip(results, followed, strict=True)]
        return results

    def classes(self, batch: Batch, outputs: Mapping[str, SedOutput]) -> dict[str, list[list[int]]]:
        """Label source to the classes that it names in each mixture, from the outputs of the taggers; for a separator
        with one answer a class each once, however often it is named."""
        classes = {source: named_classes(output, self.rules[source]) for source, output in outputs.items()}
        if self.oracle:
            classes[ORACLE] = true_classes(batch)
        if self.separator is not None and self.separator.outputs == 1:
            return {source: [list(dict.fromkeys(item)) for item in items] for source, items in classes.items()}
        return classes


class FileEvaluator(nn.Module):
    """Scores another system's estimates of the mixtures.

    Args:
        labels: the classes.
        rate: Hz, of the mixtures.
        estimates: gives labels with waveforms [L] of the mixture of some name and length.
        ear: listens to them; `None` for none.
    """

    folder = trained_passes = None
    labelling: Mapping[str, PerClass | Expected] = MappingProxyType({})

    def __init__(
        self, labels: LabelSet, rate: int, estimates: Callable[[str, int], Sources], ear: Ear | None = None
    ) -> None:
        super().__init__()
        self.labels, self.rate, self.estimates, self.ear = labels, rate, estimates, ear

    def forward(self, batch: Batch) -> list[MixtureResult]:
        """Score a batch."""
        results = []
        for name, mixture, truth in zip(batch.names, batch.mixture, true_sources(batch, self.labels), strict=True):
            sources = [(label, wave.to(mixture.device)) for label, wave in self.estimates(name, mixture.shape[-1])]
            row = score_estimates(name, FILES, sources, truth, mixture[0])
            stems = [] if self.ear is None else listen(self.ear, row, sources, mixture[0], self.rate)
            results.append(MixtureResult(name, [row], heard=stems))
        return results


AnyEvaluator = Evaluator | FileEvaluator


def passes_to_score(passes: int | Sequence[int] | None, separator: AnySeparator) -> tuple[int, ...]:
    """The numbers of passes that are asked for, and in any case the one that the separator was trained for.

    Args:
        passes: `refinement.eval_iters`, a number or a list of them; `None` asks for no others.
        separator: that does them.

    Raises:
        UserError: several passes of a separator without feedback.
    """
    trained = separator.trained_passes
    if passes is None:
        return (trained,)
    counts = [passes] if isinstance(passes, int) else list(passes)
    if max(counts) > 1 and not separator.iters:
        raise UserError(
            "refinement.eval_iters asks for several passes of a separator without feedback: leave it out, or train one "
            "with refinement.iters of at least 1."
        )
    return tuple(sorted({*counts, trained}))
