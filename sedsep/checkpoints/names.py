"""The names of the reference's tensors, and what becomes of each under ours.

A table leads from a module of the reference to one of ours, or to the reason why it has no place there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sedsep.errors import UserError


@dataclass(frozen=True)
class Unused:
    """Why a module of the reference has no place in our networks."""

    reason: str


COMPUTED = Unused("fixed transforms, computed anew")
NEVER_CALLED = Unused("layers that the reference keeps and never calls")
NOT_HEARD = Unused("a Stage 2 SED model that nothing in this variant listens to")

Table = Mapping[str, str | Unused]

MEL_BASIS = "backbone.frontend.mel_basis"
NORM_STATS = "norm_stats"
LISTED = 10  # tensors in an error: a foreign file may have hundreds
FILM = "label_film.film"


def rename(state: Mapping[str, Tensor], table: Table, path: Path | str) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Tensors by our names, and how many have no place, by reason; the longest module that the table knows decides.

    Raises:
        UserError: listing tensors that the table does not know.
    """
    ours: dict[str, Tensor] = {}
    unused: Counter[str] = Counter()
    unknown = []
    for name, value in state.items():
        module = name
        while module and module not in table:
            module = module.rpartition(".")[0]
        match table.get(module):
            case None:
                unknown.append(name)
            case Unused(reason):
                unused[reason] += 1
            case str(place):
                ours[place + name[len(module) :]] = value
    if unknown:
        raise UserError(
            f"{path} has tensors that no variant we know has ({listed(unknown)}): give the checkpoint of a published "
            "variant."
        )
    return ours, dict(unused)


def listed(names: Sequence[str]) -> str:
    """Names for an error, the first of many and how many more there are."""
    more = len(names) - LISTED
    return (", ".join(names[:LISTED]) or "none") + (f" and {more} more" if more > 0 else "")


def count(names: Iterable[str], pattern: str) -> int:
    """How many different numbers stand at the pattern's group, matched from the start of a name."""
    return len({found[1] for name in names if (found := re.match(pattern, name))})


# SED models.


def m2d_table(m2d: str, heads: str) -> Table:
    """The paper's SED model: its backbone under `m2d`, its heads under `heads`."""
    parts = ("cls_token", "pos_embed", "blocks", "norm")
    return {
        **{f"{m2d}.backbone.{part}": f"backbone.{part}" for part in parts},
        f"{m2d}.backbone.patch_embed.proj": "backbone.patch_embed",
        f"{m2d}.backbone.norm_stats": NEVER_CALLED,
        f"{m2d}.to_spec": COMPUTED,
        f"{m2d}.to_spec.mel_basis": MEL_BASIS,
        **{f"{heads}.{part}": part for part in ("strong_head", "weak_head", "head_norm")},
    }


def baseline_tagger_table() -> Table:
    """The challenge's baseline tagger, which does read its `norm_stats`."""
    return {
        **m2d_table("model", "model"),
        "model.backbone.norm_stats": NORM_STATS,
        "model.head": "weak_head",
    }


# Separators.


def separator_table(base: str, names: Iterable[str]) -> Table:
    """A separator whose U-Net lies under `base`."""
    names = list(names)
    stages = _stages(base, names)
    return {
        **_net_table(base),
        **_unet_table(base, stages),
        **_film_table(_sites(stages)),
        **_dprnn_table(f"{base}.DPRNN.0", count(names, rf"{base}\.DPRNN\.0\.row_rnn\.(\d+)\.")),
    }


def join_film(ours: dict[str, Tensor], state: Mapping[str, Tensor], base: str, path: Path | str) -> None:
    """Put the reference's FiLM layers, one a BatchNorm, into the one matrix that ours is.

    Their widths are checked one by one: joined, a wrong one would spill into its neighbours unnoticed.

    Raises:
        UserError: a layer is missing or of another width than its BatchNorm.
    """
    for leaf in ("weight", "bias"):
        layers: list[Tensor] = []
        for index, site in enumerate(_sites(_stages(base, state))):
            layer = ours.pop(f"{FILM}.{index}.{leaf}", None)
            norm = state.get(f"{base}.{site.replace('->', '.').replace('beta', 'bn')}.bias")
            if layer is None or norm is None:
                raise UserError(f"{path} lacks the {leaf} of model.film.{site} or its BatchNorm: fetch it again.")
            if layer.shape != (*norm.shape, *(layers or [layer])[0].shape[1:]):
                raise UserError(
                    f"{path} does not fit together: model.film.{site}.{leaf} has shape {list(layer.shape)} beside a "
                    f"BatchNorm of {list(norm.shape)}: fetch it again."
                )
            layers.append(layer)
        ours[f"{FILM}.linear.{leaf}"] = torch.cat(layers)


def _stages(base: str, names: Iterable[str]) -> int:
    return count(names, rf"{base}\.encoder_block(\d+)\.")


def _net_table(base: str) -> Table:
    """What surrounds the U-Net."""
    return {
        f"{base}.stft": COMPUTED,
        f"{base}.istft": COMPUTED,
        f"{base}.bn0": "bn0.bn",
        f"{base}.bn0_fb": "bn0_feedback.bn",
        f"{base}.pre_conv": "pre_conv",
        f"{base}.after_conv": "after_conv",
        f"{base}.out_conv": "out_conv",
        "model.label_embedding": "label_film.embedding",
        "model.time_embedding": "time_film.embedding",
        "model.time_film": NEVER_CALLED,  # the time embedding goes through the label's FiLM layers
        "model.soundbeam_weights": "injection.layer_weights",
        f"{base}.downsample_bn": "injection.norm",
        f"{base}.downsample_conv": "injection.project",
        f"{base}.weight_x_center": "injection.weight_x",
        f"{base}.weight_soundbeam_features": "injection.weight_sed",
    }


def _unet_table(base: str, stages: int) -> Table:
    table = dict(_residual_table(f"{base}.conv_block7a.conv_block1", "unet.bottleneck"))
    for stage in range(stages):
        encoder, decoder = f"{base}.encoder_block{stage + 1}", f"{base}.decoder_block{stage + 1}"
        table |= _residual_table(f"{encoder}.conv_block1", f"unet.encoder.{stage}")
        table |= _residual_table(f"{decoder}.conv_block2", f"unet.decoder.{stage}.block")
        table |= {
            f"{decoder}.bn1": f"unet.decoder.{stage}.norm.bn",
            f"{decoder}.bn2": NEVER_CALLED,
            f"{decoder}.conv1": f"unet.decoder.{stage}.up",
        }
    return table


def _residual_table(theirs: str, ours: str) -> Table:
    parts = {"bn1": "norm1.bn", "bn2": "norm2.bn", "conv1": "conv1", "conv2": "conv2", "shortcut": "shortcut"}
    return {f"{theirs}.{part}": f"{ours}.{name}" for part, name in parts.items()}


def _film_table(sites: list[str]) -> Table:
    decoders = {site.split("->")[0] for site in sites if site.startswith("decoder")}
    return {
        **{f"model.film.{decoder}->beta2": NEVER_CALLED for decoder in decoders},
        **{f"model.film.{site}": f"{FILM}.{index}" for index, site in enumerate(sites)},
    }


def _sites(stages: int) -> list[str]:
    """The conditioned BatchNorms in the order of our FiLM matrix (`UNet.sites`), as the reference names their FiLM."""
    blocks = [f"encoder_block{n}->conv_block1" for n in range(1, stages + 1)] + ["conv_block7a->conv_block1"]
    sites = [f"{block}->beta{n}" for block in blocks for n in (1, 2)]
    for n in range(1, stages + 1):
        sites += [f"decoder_block{n}->{part}" for part in ("beta1", "conv_block2->beta1", "conv_block2->beta2")]
    return sites


def _dprnn_table(dprnn: str, layers: int) -> Table:
    table = {f"{dprnn}.output.0": "dprnn.activation", f"{dprnn}.output.1": "dprnn.output"}
    for theirs, axis in (("row", "time"), ("col", "frequency")):
        for layer in range(layers):
            ours = f"dprnn.{axis}.{layer}"
            table |= {
                f"{dprnn}.{theirs}_rnn.{layer}.rnn": f"{ours}.rnn",
                f"{dprnn}.{theirs}_rnn.{layer}.proj": f"{ours}.linear",
                f"{dprnn}.{theirs}_norm.{layer}": f"{ours}.norm",
            }
    return table
