"""Recognising the reference's checkpoints: which variant a file holds, told from names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sedsep.checkpoints.names import (
    BASELINE_TAGGER_RULES,
    MEL_BASIS,
    NORM_STATS,
    NOT_HEARD,
    Rules,
    count,
    rename,
    sed_rules,
    separator_state,
    tracks_rules,
)
from sedsep.errors import UserError
from sedsep.models.masks import MASK_PARTS

MARKS = {
    "separator": "model.base.",
    "tagger": "model.model.m2d.backbone.",
    "dcase2026_tagger_4c": "model.m2d.backbone.",
    "dcase2026_tagger_1c": "model.head.tracks.",
    "baseline_tagger": "model.backbone.patch_embed.",
}
STAGE_TWO = "embedding_model"
SED_MODELS: Mapping[str, tuple[str, str, Rules, int]] = {
    "tagger": ("tagger", "the paper's SED model", sed_rules("model.model.m2d", "model"), 1),
    "baseline_tagger": ("baseline_tagger", "the challenge's baseline tagger", BASELINE_TAGGER_RULES, 1),
    "dcase2026_tagger_1c": (
        "dcase2026_tagger", "the challenge's tagger of 2026 for one channel", tracks_rules("model"), 1,
    ),
    "dcase2026_tagger_4c": (
        "dcase2026_tagger", "the challenge's tagger of 2026 for 4 channels", tracks_rules("model.m2d"), 4,
    ),
}  # fmt: skip
"""Option, title, rules and the channels listened to."""
PARTS = {
    "time_film": "Time-FiLM",
    "injection": "embedding injection",
    "dprnn": "DPRNN",
    "bn0_feedback": "refinement",
}
CONDITIONING = {  # by (embedding injection, Time-FiLM)
    (True, True): "soundbeam",
    (True, False): "soundbeam_only",
    (False, True): "time_film",
    (False, False): "none",
}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Variant:
    """What a file of the reference holds.

    Attributes:
        kind: `sed` or `separator`.
        title: the variant in words.
        overrides: the choices that compose its network, given its scale and the number of refinement passes.
        refined: whether it takes refinement passes; how many does not show in weights.
        classes: N of the labels it was trained on.
        state: the tensors under our names.
        unused: how many tensors of the file have no place in our network, by reason.
        mel_basis: the mel filters [bands, bins] of its SED model, to compare with ours; `None` where the file has none.
    """

    kind: str
    title: str
    overrides: tuple[str, ...]
    refined: bool
    classes: int
    state: dict[str, Tensor]
    unused: Mapping[str, int]
    mel_basis: Tensor | None

    def passes(self, path: Path, iters: int | None) -> tuple[str, ...]:
        """How often the network refines, as overrides.

        Args:
            path: the file, whose name may say it (iter_3).
            iters: what its user says.

        Raises:
            UserError: nothing says how often, or passes are given for a network that takes none.
        """
        if not self.refined:
            if iters is not None:
                raise UserError(f"{path} holds {self.title}, which takes no refinement passes: leave task.iters out.")
            return ()
        if iters is None and (match := re.search(r"iter_([1-9]\d?)(?!\d)", path.name)):
            iters = int(match[1])
        if not isinstance(iters, int) or iters < 1:
            raise UserError(
                f"{path} is refined in passes, and how many shows neither in its weights nor in its name: add "
                "task.iters=N."
            )
        return ("refinement=iterative", f"refinement.iters={iters}")


def family(names: Iterable[str]) -> str | None:
    """One of `MARKS`, told by its prefix; `None` for another make."""
    names = list(names)
    return next((kind for kind, mark in MARKS.items() if any(name.startswith(mark) for name in names)), None)


def recognise(state: Mapping[str, Tensor], path: Path | str) -> Variant:
    """Tell the variant of a reference checkpoint and rename its tensors.

    Args:
        state: the file's state dict.
        path: the file, to name in errors.

    Raises:
        UserError: of another make, with tensors that have no place, or without some that tell the variant.
    """
    kind = family(state)
    if kind is None:
        raise UserError(
            f"{path} is no checkpoint of the reference or the challenge's baselines (its first tensor is "
            f"{next(iter(state))}): give one of theirs, or one that this suite wrote."
        )
    return _separator(state, path) if kind == "separator" else _sed_model(state, path, kind)


def check_mel_basis(theirs: Tensor, ours: Tensor, path: Path | str) -> None:
    """Compare a file's mel filters [bands, bins] with those of our front end [bins, bands].

    Rates and band limits show nowhere else: a model that hears through other filters would load, and hear badly.

    Raises:
        UserError: they differ.
    """
    same = theirs.shape == ours.T.shape and torch.allclose(theirs.float(), ours.T, atol=0.01 * float(ours.max()))
    if not same:
        raise UserError(
            f"{path} hears through other mel filters than this scale's SED model (shape {list(theirs.shape)}, ours "
            f"{list(ours.T.shape)}): choose the scale it was trained with."
        )


def _sed_model(state: Mapping[str, Tensor], path: Path | str, model: str) -> Variant:
    option, title, rules, channels = SED_MODELS[model]
    ours, unused = rename(state, rules, path)
    mel_basis, stats = ours.pop(MEL_BASIS, None), ours.pop(NORM_STATS, None)
    overrides = [f"model={option}"]
    if tracks := option == "dcase2026_tagger":
        first, last = "tracks.linear.0.weight", "tracks.tracks.0.3.weight"
        overrides.append(f"model.network.microphones={channels}")
    else:
        first = last = "weak_head.weight"
        overrides.append(f"model.network.head_norm={_has(ours, 'head_norm')}")
    # Heads of the challenge's taggers may be on M2D's flat features, as wide as one token of each channel.
    if model != "tagger" and _size(ours, first, 1, path) == channels * _size(ours, "backbone.cls_token", 2, path):
        overrides.append("+model.network.backbone.flat=true")
    if stats is not None:
        if stats.shape != (2,):
            raise UserError(f"{path} has {NORM_STATS} of shape {list(stats.shape)} instead of a mean and a deviation.")
        mean, std = stats.tolist()
        frontend = "model.network.backbone.frontend"
        overrides += [f"{frontend}.mean={mean:.6g}", f"{frontend}.std={std:.6g}"]
    return Variant(
        kind="sed",
        title=title,
        overrides=tuple(overrides),
        refined=False,
        classes=_size(ours, last, 0, path) - tracks,  # silence is one more
        state=ours,
        unused=unused,
        mel_basis=mel_basis,
    )


def _separator(state: Mapping[str, Tensor], path: Path | str) -> Variant:
    stage_two = {name: value for name, value in state.items() if name.startswith(f"{STAGE_TWO}.")}
    wrapped = "model.base.ss_model"  # networks with refinement wrap the plain one
    base = wrapped if any(name.startswith(f"{wrapped}.") for name in state) else "model.base"
    rest = {name: value for name, value in state.items() if name not in stage_two}
    net, unused = separator_state(rest, base, path)
    parts = {part for part in PARTS if any(name.startswith(f"{part}.") for name in net)}
    guided = bool(parts & {"time_film", "injection"})
    rules: Rules = sed_rules(f"{STAGE_TWO}.model.m2d", STAGE_TWO) if guided else ((STAGE_TWO, NOT_HEARD),)
    sed, without_place = rename(stage_two, rules, path)
    mel_basis = sed.pop(MEL_BASIS, None)

    microphones = _size(net, "out_conv.weight", 1, path)
    outputs = max(1, _size(net, "after_conv.weight", 0, path) // (MASK_PARTS * microphones))
    classes = _size(net, "label_film.embedding.0.weight", 1, path) // outputs  # the query is one one-hot row an output
    title = f"a separator with {', '.join(name for part, name in PARTS.items() if part in parts) or 'the label alone'}"
    if "dprnn" in parts and outputs == 1:
        model = "separator_dprnn"
    elif outputs == 1 and (parts or stage_two):  # the challenge's have neither
        model = "separator"
    else:
        model = "baseline_resunetk" if outputs > 1 else "baseline_resunet"
        title = f"the challenge's {model}"
    overrides = [f"model={model}", f"conditioning={CONDITIONING['injection' in parts, 'time_film' in parts]}"]
    if outputs > 1:
        overrides.append(f"slots={outputs}")
    if "injection.concat_project.weight" in net:
        overrides.append("conditioning.injection.merge=concat")
    if guided:
        overrides.append(f"conditioning.sed.head_norm={_has(sed, 'head_norm')}")
    if "dprnn" in parts:
        overrides += [f"model.network.separator.dprnn.{name}={value}" for name, value in _dprnn(net, path).items()]
    return Variant(
        kind="separator",
        title=title,
        overrides=tuple(overrides),
        refined="bn0_feedback" in parts,
        classes=classes,
        state={f"separator.{name}": value for name, value in net.items()}
        | {f"sed.{name}": value for name, value in sed.items()},
        unused=unused + without_place,
        mel_basis=mel_basis,
    )


def _dprnn(net: Mapping[str, Tensor], path: Path | str) -> dict[str, int | str]:
    """The recurrence's arguments; rows a hidden value tell its cell."""
    hidden = _size(net, "dprnn.time.0.rnn.weight_hh_l0", 1, path)
    rows = _size(net, "dprnn.time.0.rnn.weight_ih_l0", 0, path)
    cell = next((cell for cell, gates in GATES.items() if gates * hidden == rows), None)
    if cell is None:
        raise UserError(f"{path} has a DPRNN of an unknown cell, with {rows} rows for {hidden} hidden values.")
    return {
        "layers": count(net, r"dprnn\.time\.(\d+)\."),
        "hidden": hidden,
        "cell": cell,
        "rnn_layers": count(net, r"dprnn\.time\.0\.rnn\.weight_ih_l(\d+)$"),
    }


def _has(ours: Mapping[str, Tensor], module: str) -> str:
    """Whether there is such a module, as overrides say it."""
    return str(any(name.startswith(f"{module}.") for name in ours)).lower()


def _size(ours: Mapping[str, Tensor], name: str, axis: int, path: Path | str) -> int:
    if name not in ours or ours[name].ndim <= axis:
        raise UserError(f"{path} lacks the tensor that becomes our {name}: fetch it again.")
    return ours[name].shape[axis]
