"""The names of the reference's tensors, and what becomes of each under ours.

Rules lead from the beginning of a name, a regular expression, to the beginning of ours, or to the reason why the tensor
has no place there. The first rule that matches decides.
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
class NoPlace:
    """Why a tensor has no place in our networks; the reason may name groups of its rule."""

    reason: str


COMPUTED = NoPlace("fixed transforms, computed anew")
NEVER_CALLED = NoPlace("layers that the reference keeps and never calls")
NOT_HEARD = NoPlace("a Stage 2 SED model that nothing in this variant listens to")

Rules = Sequence[tuple[str, str | NoPlace]]

MEL_BASIS = "backbone.frontend.mel_basis"
NORM_STATS = "norm_stats"
FILM = "label_film.film"
LISTED = 10  # tensors in an error: a foreign file may have hundreds


def rename(
    state: Mapping[str, Tensor],
    rules: Rules,
    path: Path | str,
    refusal: str = "that no variant we know has ({}): give the checkpoint of a published variant.",
) -> tuple[dict[str, Tensor], Counter[str]]:
    """Tensors by our names, and how many have no place, by reason.

    Args:
        state: tensors by names of another make.
        rules: what becomes of each.
        path: the file, to name in errors.
        refusal: what is said of tensors that no rule knows.

    Raises:
        UserError: listing tensors that no rule knows.
    """
    ours: dict[str, Tensor] = {}
    unused: Counter[str] = Counter()
    unknown = []
    for name, value in state.items():
        for pattern, place in rules:
            if match := re.match(pattern, name):
                if isinstance(place, NoPlace):
                    unused[match.expand(place.reason)] += 1
                else:
                    new = match.expand(place) + name[match.end() :]
                    ours[re.sub(r"^(unet\.\w+\.)(\d+)", _from_zero, new)] = value
                break
        else:
            unknown.append(name)
    if unknown:
        raise UserError(f"{path} has tensors {refusal.format(listed(unknown))}")
    return ours, unused


def _from_zero(stage: re.Match[str]) -> str:
    """The reference counts the stages of its U-Net from 1."""
    return f"{stage[1]}{int(stage[2]) - 1}"


def listed(names: Sequence[str]) -> str:
    """Names for an error, the first of many and how many more there are."""
    more = len(names) - LISTED
    return (", ".join(names[:LISTED]) or "none") + (f" and {more} more" if more > 0 else "")


def count(names: Iterable[str], pattern: str) -> int:
    """How many different numbers stand at the pattern's group, matched from the start of a name."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def backbone_rules(m2d: str) -> Rules:
    """A transformer and its front end under `m2d`."""
    m2d = re.escape(m2d)
    return (
        (rf"{m2d}\.backbone\.patch_embed\.proj(?=\.)", "backbone.patch_embed"),
        (rf"{m2d}\.backbone\.(cls_token|pos_embed|blocks|norm)\b", r"backbone.\1"),
        (rf"{m2d}\.to_spec\.mel_basis$", MEL_BASIS),
        (rf"{m2d}\.to_spec\.", COMPUTED),
    )


def sed_rules(m2d: str, heads: str) -> Rules:
    """The paper's SED model: its backbone under `m2d`, its heads under `heads`."""
    return (
        (rf"{re.escape(m2d)}\.backbone\.norm_stats$", NEVER_CALLED),
        (rf"{re.escape(heads)}\.(strong_head|weak_head|head_norm)(?=\.)", r"\1"),
        *backbone_rules(m2d),
    )


BASELINE_TAGGER_RULES: Rules = (
    (r"model\.backbone\.norm_stats$", NORM_STATS),  # which it does read
    (r"model\.head(?=\.)", "weak_head"),
    (r"model\.head_norm(?=\.)", "head_norm"),
    *backbone_rules("model"),
)


def tracks_rules(m2d: str) -> Rules:
    """The challenge's tagger of 2026: its backbone under `m2d`, with the norm of 2025's head left over."""
    return (
        (rf"{re.escape(m2d)}\.backbone\.norm_stats$", NORM_STATS),
        (rf"{re.escape(m2d)}\.head_norm(?=\.)", NEVER_CALLED),
        (r"model\.head\.m2d_out_norm(?=\.)", "head_norm"),
        (r"model\.head\.(linear|tracks)(?=\.)", r"tracks.\1"),
        *backbone_rules(m2d),
    )


def separator_rules(base: str) -> Rules:
    """A separator whose U-Net lies under `base`."""
    base, stage = re.escape(base), r"(?P<stage>\d+)"
    blocks = {
        r"conv_block7a\.conv_block1": "unet.bottleneck",
        rf"encoder_block{stage}\.conv_block1": r"unet.encoder.\g<stage>",
        rf"decoder_block{stage}\.conv_block2": r"unet.decoder.\g<stage>.block",
    }
    dprnn = rf"{base}\.DPRNN\.0"
    return (
        (rf"{base}\.i?stft\.", COMPUTED),
        (rf"{base}\.bn0(?=\.)", "bn0.bn"),
        (rf"{base}\.bn0_fb(?=\.)", "bn0_feedback.bn"),
        (rf"{base}\.((pre|after|out)_conv)(?=\.)", r"\1"),
        *((rf"{base}\.{block}\.bn(?P<n>[12])(?=\.)", rf"{ours}.norm\g<n>.bn") for block, ours in blocks.items()),
        *((rf"{base}\.{block}\.(?P<n>conv[12]|shortcut)(?=\.)", rf"{ours}.\g<n>") for block, ours in blocks.items()),
        (rf"{base}\.decoder_block{stage}\.bn1(?=\.)", r"unet.decoder.\g<stage>.norm.bn"),
        (rf"{base}\.decoder_block{stage}\.bn2(?=\.)", NEVER_CALLED),
        (rf"{base}\.decoder_block{stage}\.conv1(?=\.)", r"unet.decoder.\g<stage>.up"),
        (r"model\.label_embedding(?=\.)", "label_film.embedding"),
        (r"model\.film\.decoder_block\d+->beta2(?=\.)", NEVER_CALLED),
        (r"model\.film\.(\w+(->\w+)+)(?=\.)", rf"{FILM}.\1"),  # layer by layer: see `join_film`
        (r"model\.time_embedding(?=\.)", "time_film.embedding"),
        (r"model\.time_film(?=\.)", NEVER_CALLED),  # the time embedding goes through the label's FiLM layers
        (r"model\.soundbeam_weights$", "injection.layer_weights"),
        (rf"{base}\.downsample_bn(?=\.)", "injection.norm"),
        (rf"{base}\.downsample_conv(?=\.)", "injection.project"),
        (rf"{base}\.merge_bn(?=\.)", "injection.concat_norm"),
        (rf"{base}\.merge_conv(?=\.)", "injection.concat_project"),
        (rf"{base}\.weight_x_center$", "injection.weight_x"),
        (rf"{base}\.weight_soundbeam_features$", "injection.weight_sed"),
        (rf"{dprnn}\.output\.0(?=\.)", "dprnn.activation"),
        (rf"{dprnn}\.output\.1(?=\.)", "dprnn.output"),
        *(
            (rf"{dprnn}\.{theirs}_{part}(?=\.)", rf"dprnn.{axis}.{place}")
            for theirs, axis in (("row", "time"), ("col", "frequency"))
            for part, place in (
                (r"rnn\.(\d+)\.rnn", r"\1.rnn"),
                (r"rnn\.(\d+)\.proj", r"\1.linear"),
                (r"norm\.(\d+)", r"\1.norm"),
            )
        ),
    )


def separator_state(state: Mapping[str, Tensor], base: str, path: Path | str) -> tuple[dict[str, Tensor], Counter[str]]:
    """A separator under the names of our `Separator`, and how many tensors were left out, by reason.

    The reference's FiLM layers, one a BatchNorm, become the one matrix that ours is. Their widths are checked one by
    one: joined, a wrong one would spill into its neighbours unnoticed.

    Args:
        state: tensors by the reference's names.
        base: where the U-Net lies among them.
        path: the file, to name in errors.

    Raises:
        UserError: a tensor that no rule knows, or a FiLM layer that is missing or of another width than its BatchNorm.
    """
    ours, unused = rename(state, separator_rules(base), path)
    stages = range(1, 1 + count(state, rf"{re.escape(base)}\.encoder_block(\d+)\."))
    blocks = [*(f"encoder_block{n}->conv_block1" for n in stages), "conv_block7a->conv_block1"]
    sites = [f"{block}->beta{n}" for block in blocks for n in (1, 2)]  # in the order of `UNet.sites`
    for n in stages:
        sites += [f"decoder_block{n}->{part}" for part in ("beta1", "conv_block2->beta1", "conv_block2->beta2")]
    for leaf in ("weight", "bias"):
        layers: list[Tensor] = []
        for site in sites:
            layer = ours.pop(f"{FILM}.{site}.{leaf}", None)
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
    return ours, unused
