"""The loop closed: sounds are separated without labels, each is named, and each is extracted once more, guided by its
name, by when it sounds and by itself; as often as wanted.

    unlabelled separator  ->  stems  ->  tagger: names  ->  separator, told the names, guided by its SED model, which
    hears each stem by itself, and fed the stems as a pass of refinement is fed its estimates  ->  stems  ->  ...

Axes: B mixtures, M microphones, L samples, K stems of a mixture, N classes, S SED frames.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from sedsep.evaluation.separating import one_hot_rows
from sedsep.labels import LabelRule, LabelSet, choose_labels
from sedsep.losses import SILENT_DB
from sedsep.metrics.registry import SELF_GUIDED, STEMS
from sedsep.models.guided import GuidedSeparator
from sedsep.models.unlabelled import UnlabelledSeparator
from sedsep.types import SedOutput, Sources

REST_DB = -20.0
"""Level at which the rest of the mixture stays beside a stem for SED models, which never learned from a sound without
surroundings: of clean sounds, a mini tagger names a tenth more so than alone."""


class SelfGuided(nn.Module):
    """Names what an unlabelled separator makes, and has it extracted again under these names.

    Args:
        unlabelled: the first stage.
        tagger: a SED model that names stems, each by itself.
        labels: the classes.
        rule: how stems are named from its probabilities: at most one class each, and none where they are silent.
        separator: extracts what was named; `None` to name the first stage's stems alone.
    """

    def __init__(
        self,
        unlabelled: UnlabelledSeparator,
        tagger: nn.Module,
        labels: LabelSet,
        rule: LabelRule,
        separator: GuidedSeparator | None = None,
    ) -> None:
        super().__init__()
        self.unlabelled, self.tagger, self.separator = unlabelled, tagger, separator
        self.labels, self.rule = labels, rule
        self.eval()

    @torch.inference_mode()
    def forward(self, mixture: Tensor, rounds: Collection[int]) -> dict[tuple[str, int], list[Sources]]:
        """Named stems of mixtures [B, M, L] by label source and number of rounds, each a pass of refinement: `stems` of
        the first stage, alike after any number, and what was extracted in the last of them, `self_guided`."""
        stems, classes = self.name(self.unlabelled.stems(mixture), mixture)
        found = dict.fromkeys([(STEMS, count) for count in rounds], self._sources(stems, classes))
        if self.separator is not None:
            heard = self.separator.listen(mixture)
            for count in range(1, max(rounds) + 1):
                if count > 1:
                    stems, classes = self.name(stems, mixture)
                query = one_hot_rows(classes, stems.shape[1], len(self.labels), mixture.device)
                guide = self.guide(heard, stems, mixture, query)
                before = stems if self.separator.iters else None
                stems = self.separator(mixture, query, 1, guide, before=before).estimates
                if count in rounds:
                    found[SELF_GUIDED, count] = self._sources(stems, classes)
        return found

    def name(self, stems: Tensor, mixture: Tensor) -> tuple[Tensor, list[list[int]]]:
        """The stems of mixtures that are named, the surest first, and their classes; for a separator with one answer a
        class each class once.

        Args:
            stems: [B, K, L].
            mixture: [B, M, L].

        Returns:
            As many as the separator is asked for at once, zeros where fewer are named, [B, K, L]; class indices.
        """
        heard = self.tagger(self.beside(stems, mixture, self.tagger)).clip_probabilities.unflatten(0, stems.shape[:2])
        softest = 10 ** (SILENT_DB / 10) * mixture[:, :1].square().sum(-1)
        sounds = stems.square().sum(-1) > softest
        surest = (heard * sounds[..., None]).max(-1)
        once = self.separator is not None and self.separator.outputs == 1
        slots = stems.shape[1] if self.separator is None or once else self.separator.outputs
        named, classes = stems.new_zeros(len(stems), slots, stems.shape[-1]), []
        for item, chosen in enumerate(choose_labels(surest.values, self.rule)):
            kept = dict[int, int]()
            for stem in chosen:
                if sounds[item, stem]:
                    kept.setdefault(int(surest.indices[item, stem]) if once else stem, stem)
            places = list(kept.values())[:slots]
            classes.append(surest.indices[item, places].tolist())
            named[item, : len(places)] = stems[item, places]
        return named, classes

    def guide(self, heard: SedOutput | None, stems: Tensor, mixture: Tensor, query: Tensor) -> SedOutput | None:
        """What guides the separator, with the frames of each class that is asked for as they are in its stems alone.

        Args:
            heard: what the Stage 2 SED model says of the mixtures; `None` where there is none.
            stems: [B, K, L].
            mixture: [B, M, L].
            query: their classes, one-hot [B, K, N]; zeros for silence.
        """
        assert self.separator is not None
        if heard is None or heard.strong_logits is None or "frames" not in self.separator.separator.reads:
            return heard
        alone = self.separator.listen(self.beside(stems, mixture, self.separator.sed))
        assert alone is not None and alone.strong_logits is not None
        of_stems = alone.strong_logits.unflatten(0, stems.shape[:2])
        asked = of_stems.masked_fill(query[..., None] == 0, -torch.inf).amax(1)
        return replace(heard, strong_logits=torch.where(asked.isfinite(), asked, heard.strong_logits))

    def beside(self, stems: Tensor, mixture: Tensor, listener: nn.Module | None) -> Tensor:
        """Stems [B, K, L] as recordings of one sound each, [B * K, M, L], the rest of the mixture far below it: on the
        channel that a SED model listens to, or that the omnidirectional one is for those that listen to all, and
        nothing on the others."""
        rest = 10 ** (REST_DB / 20) * (mixture[:, :1] - stems)
        recordings = stems.new_zeros(len(stems) * stems.shape[1], self.unlabelled.microphones, stems.shape[-1])
        recordings[:, getattr(listener, "reference_channel", 0)] = (stems + rest).flatten(0, 1)
        return recordings

    def _sources(self, stems: Tensor, classes: list[list[int]]) -> list[Sources]:
        return [
            [(self.labels.names[index], wave) for index, wave in zip(row, waves, strict=False)]
            for row, waves in zip(classes, stems, strict=True)
        ]
