"""Recognising the reference's checkpoints: which variant a file holds, told from names and shapes alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sedsep.checkpoints.names import (
    MEL_BASIS,
    NORM_STATS,
    NOT_HEARD,
    baseline_tagger_table,
    count,
    join_film,
    m2d_table,
    rename,
    separator_table,
)
from sedsep.errors import UserError

MARKS = {
    "separator": "model.base.",
    "tagger": "model.model.m2d.backbone.",
    "baseline_tagger": "model.backbone.patch_embed.",
}
STAGE_TWO = "embedding_model"
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
MASK_PARTS = 3


@dataclass(frozen=True)
class Recognised:
    """What a file of the reference holds.

    Attributes:
        kind: `sed` or `separator`. title: the variant in words.
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
    unused: dict[str, int]
    mel_basis: Tensor | None


def family(names: Iterable[str]) -> str | None:
    """`separator`, `tagger` or `baseline_tagger`, told by one prefix; `None` for another make."""
    names = list(names)
    return next((kind for kind, mark in MARKS.items() if any(name.startswith(mark) for name in names)), None)


def recognise(state: Mapping[str, Tensor], path: Path | str) -> Recognised:
    """Tell the variant of a reference checkpoint and rename its tensors.

    Args:
        state: the file's state dict. path: the file, to name in errors.

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


def _sed_model(state: Mapping[str, Tensor], path: Path | str, model: str) -> Recognised:
    baseline = model == "baseline_tagger"
    ours, unused = rename(state, baseline_tagger_table() if baseline else m2d_table("model.model.m2d", "model"), path)
    mel_basis = ours.pop(MEL_BASIS, None)
    overrides = [f"model={model}", f"model.network.head_norm={_switch(_has(ours, 'head_norm'))}"]
    if NORM_STATS in ours:
        overrides += _standardisation(ours.pop(NORM_STATS), path)
    return Recognised(
        kind="sed",
        title="the challenge's baseline tagger" if baseline else "the paper's SED model",
        overrides=tuple(overrides),
        refined=False,
        classes=_size(ours, "weak_head.weight", 0, path),
        state=ours,
        unused=unused,
        mel_basis=mel_basis,
    )


def _standardisation(stats: Tensor, path: Path | str) -> list[str]:
    if stats.shape != (2,):
        raise UserError(f"{path} has {NORM_STATS} of shape {list(stats.shape)} instead of a mean and a deviation.")
    mean, std = stats.tolist()
    frontend = "model.network.backbone.frontend"
    return [f"{frontend}.mean={mean:.6g}", f"{frontend}.std={std:.6g}"]


def _separator(state: Mapping[str, Tensor], path: Path | str) -> Recognised:
    listener = {name: value for name, value in state.items() if name.startswith(f"{STAGE_TWO}.")}
    net, unused = _net_state({name: value for name, value in state.items() if name not in listener}, path)
    parts = {part for part in PARTS if _has(net, part)}
    heard = bool(parts & {"time_film", "injection"})
    table = m2d_table(f"{STAGE_TWO}.model.m2d", STAGE_TWO) if heard else {STAGE_TWO: NOT_HEARD}
    sed, silent = rename(listener, table, path)
    mel_basis = sed.pop(MEL_BASIS, None)
    outputs, classes = _outputs_and_classes(net, path)
    model = _model(parts, outputs, bool(listener))
    overrides = [f"model={model}", f"conditioning={CONDITIONING['injection' in parts, 'time_film' in parts]}"]
    if outputs > 1:
        overrides.append(f"slots={outputs}")
    if heard:
        overrides.append(f"conditioning.sed.head_norm={_switch(_has(sed, 'head_norm'))}")
    if "dprnn" in parts:
        overrides += [f"model.network.separator.dprnn.{name}={value}" for name, value in _dprnn(net, path).items()]
    return Recognised(
        kind="separator",
        title=_title(model, parts),
        overrides=tuple(overrides),
        refined="bn0_feedback" in parts,
        classes=classes,
        state={f"separator.{name}": value for name, value in net.items()}
        | {f"sed.{name}": value for name, value in sed.items()},
        unused=dict(Counter(unused) + Counter(silent)),
        mel_basis=mel_basis,
    )


def _net_state(state: Mapping[str, Tensor], path: Path | str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """A separator without its SED model, under the names of our `Separator`, and how many tensors were left out."""
    wrapped = "model.base.ss_model"  # networks with refinement wrap the plain one
    base = wrapped if any(name.startswith(f"{wrapped}.") for name in state) else "model.base"
    ours, unused = rename(state, separator_table(base, state), path)
    join_film(ours, state, base, path)
    return ours, unused


def _model(parts: Set[str], outputs: int, listener: bool) -> str:
    """The option of the config group `model`.

    The challenge's separators have none of the parts, and no Stage 2 SED model in their file; the paper's all have one.
    """
    if outputs > 1:
        return "baseline_resunetk"
    if "dprnn" in parts:
        return "separator_dprnn"
    return "separator" if parts or listener else "baseline_resunet"


def _title(model: str, parts: Set[str]) -> str:
    if model.startswith("baseline"):
        return f"the challenge's {model}"
    return f"a separator with {', '.join(name for part, name in PARTS.items() if part in parts) or 'the label alone'}"


def _outputs_and_classes(net: Mapping[str, Tensor], path: Path | str) -> tuple[int, int]:
    """Waveforms a query gives, and classes N: the query is one one-hot row an output."""
    microphones = _size(net, "out_conv.weight", 1, path)
    outputs = max(1, _size(net, "after_conv.weight", 0, path) // (MASK_PARTS * microphones))
    return outputs, _size(net, "label_film.embedding.0.weight", 1, path) // outputs


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


def _has(ours: Mapping[str, Tensor], module: str) -> bool:
    return any(name.startswith(f"{module}.") for name in ours)


def _size(ours: Mapping[str, Tensor], name: str, axis: int, path: Path | str) -> int:
    if name not in ours or ours[name].ndim <= axis:
        raise UserError(f"{path} lacks the tensor that becomes our {name}: fetch it again.")
    return ours[name].shape[axis]


def _switch(value: bool) -> str:
    return str(value).lower()
