"""Starting weights: networks that others trained for other ends, as far as they fit ours.

Axes: M microphones, K outputs of a query, C channels.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sedsep.checkpoints.files import named_tensors, read_weights
from sedsep.checkpoints.names import NoPlace, Rules, rename, separator_state
from sedsep.checkpoints.reference import check_mel_basis
from sedsep.errors import UserError
from sedsep.models.features import MAGNITUDE
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.models.separator import Separator

log = logging.getLogger(__name__)

AUDIOSEP = "ss_model"
AUDIOSEP_LEFT_OUT = {"query_encoder"}  # CLAP, which hears and reads queries: ours are classes
SEPARATOR_PARTS = ("unet.", "label_film.film.", "bn0.", "pre_conv.", "after_conv.")
"""What a separator has from AudioSep."""

PRETRAINED_SED = ("model.m2d.backbone.", "model.backbone.")
M2D_FINE_TUNED = ("module.ar.runtime.backbone.", "")
"""Where the transformer lies in files of either make."""
M2D_LEFT_OUT = (
    *("to_spec", "norm_stats"),  # the front end, which we compute
    *("head", "head_norm", "strong_head", "weak_head"),  # of other classes
    *("mask_token", "decoder_embed", "decoder_pos_embed", "decoder_blocks", "decoder_norm", "decoder_pred"),
)


@dataclass(frozen=True)
class Account:
    """What became of a file, and of the network that started from it.

    Attributes:
        used: tensors of the network that were filled.
        fresh: its parts that start from scratch.
        dropped: tensors of the file that were left out, by part or reason.
    """

    used: int
    fresh: tuple[str, ...]
    dropped: dict[str, int]

    def __str__(self) -> str:
        dropped = ", ".join(f"{part} ({count})" for part, count in self.dropped.items())
        return f"{self.used} tensors used; fresh: {', '.join(self.fresh) or 'none'}; left out: {dropped or 'none'}"


def start_separator(separator: Separator, path: Path | str) -> Account:
    """Start a separator from AudioSep's: U-Net, FiLM layers, input norm, and the 1x1 convolutions around the U-Net.

    AudioSep hears one microphone and gives one mask. Its first convolution is shared out over ours, so that the same
    signal on all of them gives what it gave; spatial features and the feedback, where there are any, start unheard; all
    our masks start as its mask.

    Raises:
        UserError: the file cannot be read, is of another make or of another scale.
    """
    state = named_tensors(read_weights(path), path)
    others = Counter(name.split(".")[0] for name in state)
    if not others.pop(AUDIOSEP, 0) or set(others) - AUDIOSEP_LEFT_OUT:
        raise UserError(
            f"{path} is no AudioSep checkpoint (it has tensors of {', '.join(others) or 'nothing'}): give "
            "start=audiosep_base, or a separator's own checkpoint as ckpt."
        )
    theirs = {f"model{name[len(AUDIOSEP) :]}": value for name, value in state.items() if name.startswith(AUDIOSEP)}
    ours, unused = separator_state(theirs, "model.base", path)
    fitted = {name: _fitted(separator, name, value) for name, value in ours.items()}
    return _fill(separator, fitted, SEPARATOR_PARTS, unused | others, path)


def _fitted(separator: Separator, name: str, value: Tensor) -> Tensor:
    """AudioSep's tensor for our numbers of microphones and outputs."""
    microphones, outputs = separator.microphones, separator.outputs
    if name == "pre_conv.weight":  # [C, 1, 1, 1] to [C, M, 1, 1], and what else is heard
        spread = value.repeat(1, microphones, 1, 1) / microphones
        return widened(spread, {MAGNITUDE: microphones}, separator.heard)
    if name.startswith("after_conv."):  # [3, ...] to [K * M * 3, ...]
        return value.repeat(microphones * outputs, *[1] * (value.ndim - 1))
    return value


def state_for(network: nn.Module, theirs: nn.Module) -> dict[str, Tensor]:
    """The weights of a network for another; what that one hears beside what the first one does starts unheard."""
    state = theirs.state_dict()
    if isinstance(network, GuidedSeparator) and isinstance(theirs, GuidedSeparator):
        heard, known, name = network.separator.heard, theirs.separator.heard, "separator.pre_conv.weight"
        if heard.keys() > known.keys():
            state[name] = widened(state[name], known, heard)
    return state


def widened(weight: Tensor, known: Mapping[str, int], heard: Mapping[str, int]) -> Tensor:
    """A separator's first weights for one that hears more, to the same effect.

    Args:
        weight: [C, ..., 1, 1] of what is known.
        known: channels of what the first separator hears, in order.
        heard: those of the other (`Separator.heard`).
    """
    parts = dict(zip(known, weight.split(list(known.values()), dim=1), strict=True))
    unheard = {name: weight.new_zeros(len(weight), channels, 1, 1) for name, channels in heard.items()}
    return torch.cat([parts.get(name, unheard[name]) for name in heard], dim=1)


def start_backbone(sed: SedModel, path: Path | str) -> Account:
    """Start a SED model's transformer from an M2D that was trained on AudioSet's strong or weak labels.

    Where the file has the statistics of a norm before its head, and the model has such a norm, they are taken too.

    Raises:
        UserError: the file cannot be read, is of another make or of another scale, or was trained on other spectra.
    """
    content = read_weights(path)
    state = named_tensors(content["model"] if isinstance(content.get("model"), dict) else content, path)
    prefix = next((prefix for prefix in (*PRETRAINED_SED, *M2D_FINE_TUNED) if f"{prefix}cls_token" in state), None)
    if prefix is None:
        raise UserError(
            f"{path} is no M2D checkpoint (there is no cls_token where one has it): give start=m2d_strong_1 or "
            "m2d_as_32k, or a SED model's own checkpoint as ckpt."
        )
    _check_frontend(sed, state, prefix, path)
    start = re.escape(prefix)
    rules: Rules = (
        (rf"{start}patch_embed\.proj(?=\.)", "backbone.patch_embed"),
        (rf"{start}(cls_token|pos_embed|patch_embed|blocks|norm)(?=\.|$)", r"backbone.\1"),
        *([] if sed.head_norm is None else [(r"module\.head\.norm(?=\.)", "head_norm")]),
        (rf"((model|m2d|module|ar|runtime|backbone)\.)*({'|'.join(M2D_LEFT_OUT)})(?=\.|$)", NoPlace(r"\3")),
    )
    refusal = "that are in no M2D we know ({}): give m2d_strong_1 or m2d_as_32k."
    ours, dropped = rename(state, rules, path, refusal)
    return _fill(sed, ours, ("backbone.",), dropped, path)


def _check_frontend(sed: SedModel, state: Mapping[str, Tensor], prefix: str, path: Path | str) -> None:
    """Refuse a transformer that knows other spectra than it would be shown."""
    frontend = sed.backbone.frontend
    for name, value in state.items():
        if name.endswith("to_spec.mel_basis"):
            check_mel_basis(value, frontend.mel_basis, path)
    stats = state.get(f"{prefix}norm_stats")
    # PretrainedSED's files carry statistics that were never used.
    if stats is None or prefix in PRETRAINED_SED:
        return
    own = torch.tensor([frontend.mean, frontend.std])
    if stats.shape != own.shape or not torch.allclose(stats.float(), own, atol=0.01):
        raise UserError(
            f"{path} was trained on log-mels with [mean, deviation] {stats.tolist()}, this model standardises by "
            f"{own.tolist()}: set mean and std of model.network.backbone.frontend."
        )


def _fill(
    network: nn.Module, tensors: dict[str, Tensor], whole: tuple[str, ...], dropped: Mapping[str, int], path: Path | str
) -> Account:
    """Load what a file has, once every tensor is known to fit and the parts `whole` to get all of theirs."""
    own = network.state_dict()
    shapes = {name: list(own[name].shape) if name in own else "nothing" for name in tensors}
    if wrong := [name for name, value in tensors.items() if list(value.shape) != shapes[name]]:
        name = wrong[0]
        raise UserError(
            f"{path} is of another scale: {name} has shape {list(tensors[name].shape)} where this network has "
            f"{shapes[name]} ({len(wrong)} tensors differ): choose the scale it was made for, or start=null."
        )
    if absent := [name for name in own if name.startswith(whole) and name not in tensors]:
        raise UserError(f"{path} lacks {absent[0]} ({len(absent)} tensors in all): fetch it again.")
    network.load_state_dict(tensors, strict=False)
    # What got nothing: the network's children, or a child's children where some of them got something.
    begun = {name.split(".")[0] for name in tensors}
    paths = [name.split(".") for name in own if name not in tensors]
    fresh = dict.fromkeys(".".join(path[: 1 + (path[0] in begun)]) for path in paths)
    account = Account(len(tensors), tuple(fresh), dict(dropped))
    log.info("Started from %s: %s", path, account)
    return account
