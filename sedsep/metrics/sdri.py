"""SDR improvement by class: the ranking metrics of DCASE 2025 (CA-SDRi) and 2026 (CAPI-SDRi) Task 4. Beside them, by
source: `matched_sdri`.

SDR is plain SNR, as in the challenge; SI-SDR stands beside it. A silent estimate is at 0 dB in both.

Axes: E estimates and R references, of one class where nothing else is said, L samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sedsep.dsp import snr_db
from sedsep.errors import UserError

Outcome = Literal["hit", "miss", "false_alarm"]
Waveforms = Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]
"""Waveforms [L] by label, without silence; pairs where a label may repeat."""


@dataclass(frozen=True)
class ClassScore:
    """What one entry of a class adds to a mixture's score, in dB.

    Attributes:
        label: the class.
        outcome: an estimate with its reference, a reference without estimate, an estimate without reference.
        improvement: SDR(estimate) - SDR(mixture) of a hit, else 0.
        si_improvement: the same of SI-SDR.
        sdr: of a hit's estimate.
        si_sdr: of a hit's estimate.
        input_sdr: SDR of the mixture: how loud the source is beside everything else. `None` for a false alarm.
        level: of a false alarm's estimate, dB relative to the mixture.
        estimate: which of the class's estimates it is, in their order. `None` for a miss.
    """

    label: str
    outcome: Outcome
    improvement: float = 0.0
    si_improvement: float = 0.0
    sdr: float | None = None
    si_sdr: float | None = None
    input_sdr: float | None = None
    level: float | None = None
    estimate: int | None = None


def pairs(sources: Waveforms) -> list[tuple[str, Tensor]]:
    """Labels with their waveforms."""
    return list(sources.items() if isinstance(sources, Mapping) else sources)


def score_mixture(estimates: Waveforms, references: Waveforms, mixture: Tensor) -> list[ClassScore]:
    """Score one mixture, on the device where its waveforms are, as the challenge does (DCASE 2025 and 2026, Task 4).

    Within a class, estimates and references are matched so that the mean SDR is highest. `ca_sdri` of the result is
    CAPI-SDRi, and CA-SDRi too where no label repeats.

    Args:
        estimates: separated waveforms.
        references: dry sources.
        mixture: the reference channel [L].

    Returns:
        The entries by class: min(E, R) hits and |E - R| misses in the order of the references, or false alarms.

    Raises:
        UserError: a waveform is not as long as the mixture, or holds values that are not finite.
    """
    by_label: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    for side, sources in enumerate((estimates, references)):
        for label, waveform in pairs(sources):
            by_label.setdefault(label, ([], []))[side].append(waveform)
    return [score for label in sorted(by_label) for score in _score_class(label, *by_label[label], mixture)]


def _score_class(label: str, estimates: list[Tensor], references: list[Tensor], mixture: Tensor) -> list[ClassScore]:
    sdr, si_sdr = _levels(label, estimates, references, mixture) if references else ([], [])
    matched = match([row[:-1] for row in sdr])
    scores = []
    for r, (level, si_level) in enumerate(zip(sdr, si_sdr, strict=True)):
        if r in matched:
            own, si_own = level[matched[r]], si_level[matched[r]]
            gains = own - level[-1], si_own - si_level[-1]
            scores.append(ClassScore(label, "hit", *gains, own, si_own, input_sdr=level[-1], estimate=matched[r]))
        else:
            scores.append(ClassScore(label, "miss", input_sdr=level[-1]))
    for e, estimate in enumerate(estimates):
        if e not in matched.values():
            loudness = level_db(estimate.float(), mixture.float()).item()
            _check_finite(label, [loudness])
            scores.append(ClassScore(label, "false_alarm", level=loudness, estimate=e))
    return scores


def _levels(
    label: str, estimates: list[Tensor], references: list[Tensor], mixture: Tensor
) -> tuple[list[list[float]], list[list[float]]]:
    """SDR and SI-SDR in dB of every estimate and, last, of the mixture against every reference: R rows of E + 1."""
    for waveform in (*estimates, *references):
        if waveform.shape != mixture.shape:
            raise UserError(
                f"A waveform of {label} has {waveform.shape[-1]} samples and its mixture {mixture.shape[-1]}: give "
                "estimates and references of the mixture's length."
            )
    # Single precision is good to 1e-5 dB here, and several times as fast as double.
    reference_r1l = torch.stack(references).float()[:, None]
    estimate_el = torch.stack([*estimates, mixture]).float()
    sdr, si_sdr = torch.stack([snr_db(reference_r1l, estimate_el), si_sdr_db(reference_r1l, estimate_el)]).tolist()
    for row in (*sdr, *si_sdr):
        _check_finite(label, row)
    return sdr, si_sdr


def _check_finite(label: str, values: Sequence[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise UserError(
            f"The estimate or reference of {label} holds values that are not finite and has no score: look at what "
            "made it."
        )


def match(quality: Sequence[Sequence[float]]) -> dict[int, int]:
    """Row to column so that min(rows, columns) entries with the highest sum are chosen, none sharing either."""
    if len(quality) == 1 and len(quality[0]) == 1:
        return {0: 0}
    if not quality or not quality[0]:
        return {}
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(quality, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def si_sdr_db(reference: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant SDR of [..., L] against [..., L] in dB, no mean removed: SNR against the reference at the level
    that fits the estimate best (Le Roux et al. 2019, "SDR - half-baked or well done?")."""
    energy = reference.square().sum(-1, keepdim=True)
    level = (reference * estimate).sum(-1, keepdim=True) / energy.clamp_min(torch.finfo(energy.dtype).tiny)
    return snr_db(level * reference, estimate)


def level_db(waveform: Tensor, mixture: Tensor, eps: float = torch.finfo(torch.float32).eps) -> Tensor:
    """Energy of [..., L] relative to that of [..., L] in dB; `eps` keeps silence finite, as in `snr_db`."""
    return 10.0 * torch.log10((waveform.square().sum(-1) + eps) / (mixture.square().sum(-1) + eps))


def matched_sdri(estimates: Waveforms, references: Waveforms, mixture: Tensor) -> float | None:
    """Source-matched SDRi of a mixture: which event an estimate is of, its waveform tells; its name counts after.

    Estimates and references of all classes are matched one to one so that the sum of their SDR improvements is
    highest. A pair of one label counts its improvement, and 0 dB where the labels differ; so do references and
    estimates that are left over. The mean is over max(E, R) entries: a wrong name costs one, where CA-SDRi counts a
    miss and a false alarm, and names that changed places cost what they would have gained, where CA-SDRi takes the
    other event's sound for a bad estimate.

    The order, sources first and labels second, is that of CASA-SDR (Mishra et al., arXiv:2511.07075) as its abstract
    tells it. Its formula, penalties and means are not followed here: the two do not compare.

    Args:
        estimates: separated waveforms, which `score_mixture` takes.
        references: dry sources, as well.
        mixture: the reference channel [L].

    Returns:
        dB; `None` where nothing sounds and nothing is named.
    """
    named, true = pairs(estimates), pairs(references)
    if not named or not true:
        return 0.0 if named or true else None
    estimate_el = torch.stack([*(waveform for _, waveform in named), mixture]).float()
    sdr_re = torch.stack([snr_db(waveform.float(), estimate_el) for _, waveform in true])  # row by row: less memory
    gains = (sdr_re[:, :-1] - sdr_re[:, -1:]).tolist()
    right = (gains[r][e] for r, e in match(gains).items() if true[r][0] == named[e][0])
    return sum(right) / max(len(named), len(true))


def ca_sdri(mixtures: Iterable[Sequence[ClassScore]]) -> float:
    """Mean over a mixture's entries, then over mixtures, dB. Mixtures without an entry are left out: nothing sounds,
    and nothing is named.

    NaN when nothing is left.
    """
    means = [sum(score.improvement for score in scores) / len(scores) for scores in mixtures if scores]
    return sum(means) / len(means) if means else float("nan")
