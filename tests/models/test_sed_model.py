from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import Any

import pytest
import torch
from minis import (
    BACKBONE,
    CLASSES,
    FRONTEND,
    LENGTH,
    MICROPHONES,
    RATE,
    make_backbone,
    make_sed,
    noise,
    refused,
    shaken,
)
from torch import Tensor, nn

from sedsep.dsp import snr_db
from sedsep.losses import sed_loss
from sedsep.models import LogMel, M2d, SedModel
from sedsep.models.sed import HEADS, SEQUENCES
from sedsep.training import SedRates
from sedsep.training.groups import sed_groups
from sedsep.types import SedOutput

UNIT = BACKBONE["unit_frames"]  # 33 mel frames; a clip of LENGTH has 32

over_variants = pytest.mark.parametrize(
    ("head", "head_norm", "sequence"), list(product(HEADS, (True, False), SEQUENCES))
)


class Given(nn.Module):
    """Stands in for the mel frontend: its input is the mel spectrogram, flattened."""

    mel_basis = torch.zeros(65, 8)

    def forward(self, mel: Tensor) -> Tensor:
        return mel.unflatten(1, (8, -1))


def backbone_on_mels(**changes: Any) -> M2d:
    return shaken(M2d(Given(), **(BACKBONE | changes)))


# Shapes.


@torch.no_grad()
@pytest.mark.parametrize("stem", [[], [3, 5]], ids=["plain", "stem"])
@pytest.mark.parametrize(
    ("length", "columns"),
    [
        (160, 1),  # 3 mel frames, padded to one patch
        (960, 4),  # 16 mel frames
        (LENGTH, 8),  # 32, just short of a unit
        (2048, 8),  # 33, a unit: the last one falls off the grid
        (4096, 16),  # 33 + 32
        (4224, 17),  # 33 + 33 + 1
    ],
)
def test_layer_features_lie_on_the_grid_whatever_the_length(length: int, columns: int, stem: list[int]) -> None:
    output = SedModel(make_backbone(stem=stem), CLASSES).eval()(noise(2, MICROPHONES, length), layers=True)
    assert output.grid == (2, columns)
    assert [tuple(layer.shape) for layer in output.layers] == [(2, 2 * columns, 16)] * 3


@torch.no_grad()
def test_frames_are_the_backbones_own_where_none_are_asked_for() -> None:
    output = make_sed(frame_s=None).eval()(noise(1, MICROPHONES, LENGTH))
    assert output.strong_logits.shape[2] == 8


def test_frames_count_by_duration_and_never_vanish() -> None:
    sed = make_sed(frame_s=0.04)
    assert sed.frames(10 * RATE) == 250
    assert sed.frames(1) == 1


# Every head, with and without norm, on every recurrence.


def said(output: SedOutput) -> dict[str, Tensor]:
    """What an output names, by name."""
    named = {name: getattr(output, name) for name in ("clip_probabilities", "strong_logits", "weak_logits")}
    return {name: value for name, value in named.items() if value is not None}


@over_variants
@torch.no_grad()
def test_each_head_names_what_it_can(head: str, head_norm: bool, sequence: str) -> None:
    named = {"attention": 3, "two_linear": 2, "linear": 1, "tracks": 1}[head]
    sed = shaken(make_sed(head=head, head_norm=head_norm, sequence=sequence, reference_channel=1))
    for microphones, length, frames in ((2, 200, 1), (3, 960, 6), (4, LENGTH, 12), (7, 3 * LENGTH, 38)):  # 20 ms each
        output = sed(noise(2, microphones, length))
        shapes = {name: tuple(value.shape) for name, value in said(output).items()}
        expected = {
            "clip_probabilities": (2, CLASSES),
            "strong_logits": (2, CLASSES, frames),
            "weak_logits": (2, frames, CLASSES),
        }
        assert shapes == dict(list(expected.items())[:named])
        assert ((output.clip_probabilities >= 0) & (output.clip_probabilities <= 1)).all()
        assert (output.strong_probabilities is None) == (named == 1)
        assert (output.tracks is None) == (head != "tracks")
        assert output.layers == []


@over_variants
@torch.no_grad()
def test_batches_modes_and_precisions_agree(head: str, head_norm: bool, sequence: str) -> None:
    sed, mixture = shaken(make_sed(head=head, head_norm=head_norm, sequence=sequence)), noise(2, 1, 3 * LENGTH)
    expected = sed(mixture)
    alone = [said(sed(mixture[i : i + 1])) for i in range(2)]
    training = deepcopy(sed).train()
    if training.head_norm is not None:
        training.head_norm.eval()  # the statistics as they stand
    trained = said(training(mixture))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = said(sed(mixture))
    for name, value in said(expected).items():
        torch.testing.assert_close(torch.cat([one[name] for one in alone]), value, atol=1e-5, rtol=0)
        torch.testing.assert_close(trained[name], value, atol=1e-5, rtol=0)
        assert coarse[name].dtype == torch.float32
        assert snr_db(value.flatten(), coarse[name].flatten()) > 25


@over_variants
def test_gradients_reach_every_parameter(head: str, head_norm: bool, sequence: str) -> None:
    sed = make_sed(head=head, head_norm=head_norm, sequence=sequence).train()
    output = sed(noise(2, MICROPHONES, LENGTH))
    frames = 12 if head != "linear" else 1
    targets = (noise(2, CLASSES) > 0).float(), (noise(2, CLASSES, frames) > 0).float()
    sed_loss(output, *targets, clip_weight=0.5, frame_weight=0.5).backward()
    assert {name for name, p in sed.named_parameters() if p.grad is None or not p.grad.any()} == set()


@over_variants
def test_silence_is_heard_and_learned_from_without_nan(head: str, head_norm: bool, sequence: str) -> None:
    sed, silence = make_sed(head=head, head_norm=head_norm, sequence=sequence), torch.zeros(2, 1, LENGTH)
    output = sed.train()(silence)
    frames = 12 if head != "linear" else 1
    sed_loss(output, torch.zeros(2, CLASSES), torch.zeros(2, CLASSES, frames), 0.5, 0.5).backward()
    assert all(p.grad.isfinite().all() for p in sed.parameters())
    assert all(value.isfinite().all() for value in said(sed.eval()(silence)).values())


# Fine-tuning.


@pytest.mark.parametrize(
    ("rates", "learning"),
    [
        (SedRates(heads=0.01, backbone=0.0, trained_blocks=0), ["weak_head"]),
        (
            SedRates(heads=0.01, backbone=0.01, trained_blocks=2),
            ["weak_head", "backbone.norm", "backbone.blocks.2", "backbone.blocks.3"],
        ),
        (SedRates(heads=0.0, backbone=0.01, decay=0.5), ["backbone"]),
        (SedRates(heads=0.01, backbone=0.01), ["weak_head", "backbone"]),
    ],
    ids=["head only", "last two blocks and head", "backbone only", "everything"],
)
def test_fine_tuning_moves_what_its_rates_name_and_nothing_else(rates: SedRates, learning: list[str]) -> None:
    sed = SedModel(make_backbone(depth=4), CLASSES, head="linear", frame_s=None).train()
    before = deepcopy(dict(sed.named_parameters()))
    optimizer = torch.optim.AdamW(sed_groups(sed, rates, weight_decay=0.0))
    sed_loss(sed(noise(2, MICROPHONES, LENGTH)), torch.eye(2, CLASSES), torch.empty(0), 1.0, 0.0).backward()
    optimizer.step()
    moved = {name for name, p in sed.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith(tuple(learning))}


# Units.


@torch.no_grad()
def test_longer_input_is_encoded_unit_by_unit_and_joined_in_time() -> None:
    backbone, mel = backbone_on_mels(), noise(2, 8, 2 * UNIT)
    sequence, layers = backbone(mel.flatten(1), layers=True)
    halves = [backbone(half.flatten(1), layers=True) for half in mel.split(UNIT, dim=2)]
    torch.testing.assert_close(sequence, torch.cat([half for half, _ in halves], dim=1), atol=1e-5, rtol=0)
    for index, layer in enumerate(layers):
        maps = [inner[index].unflatten(1, (2, 8)) for _, inner in halves]
        torch.testing.assert_close(layer.unflatten(1, (2, 16)), torch.cat(maps, dim=2), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_short_unit_is_padded_with_zeros_to_whole_patches() -> None:
    backbone, mel = backbone_on_mels(), noise(1, 8, 10)
    padded = nn.functional.pad(mel, (0, 2))
    torch.testing.assert_close(backbone(mel.flatten(1))[0], backbone(padded.flatten(1))[0])


def test_a_stem_learns_with_the_first_block() -> None:
    backbone = make_backbone(stem=[3, 5])
    stages = [{id(parameter) for parameter in stage} for stage in backbone.stages()]
    assert {id(parameter) for parameter in backbone.stem.parameters()} < stages[0]
    assert set.union(*stages) == {id(parameter) for parameter in backbone.parameters()}


@torch.no_grad()
@pytest.mark.parametrize("frames", [34, 35])  # a short unit padded to 36, and a whole one
def test_a_column_beyond_the_grid_is_dropped(frames: int) -> None:
    backbone, mel = backbone_on_mels(unit_frames=35), noise(1, 8, frames)
    changed = mel.clone()
    changed[..., 32:] += 1
    sequence = backbone(mel.flatten(1))[0]
    assert sequence.shape[1] == 8
    torch.testing.assert_close(sequence, backbone(changed.flatten(1))[0])


@torch.no_grad()
def test_tokens_count_time_fastest_and_frames_join_their_frequencies() -> None:
    backbone, mel = backbone_on_mels(), noise(1, 8, 32)
    sequence, (embedded, *_) = backbone(mel.flatten(1), layers=True)
    low, high = mel[:, None, :4, 8:12], mel[:, None, 4:, 8:12]  # third time step
    torch.testing.assert_close(embedded[:, 2], backbone.patch_embed(low).flatten(1))
    torch.testing.assert_close(embedded[:, 8 + 2], backbone.patch_embed(high).flatten(1))
    assert sequence.shape == (1, 8, 2 * 16)
    flat = make_backbone(flat=True)
    flat.frontend = backbone.frontend
    flat.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(flat(mel.flatten(1))[0], sequence.unflatten(2, (2, 16)).mean(2))


# Content.


@torch.no_grad()
def test_layer_features_of_a_batch_are_those_of_its_items() -> None:
    sed, mixture = shaken(make_sed()), noise(3, MICROPHONES, 3 * LENGTH)
    alone = [sed(mixture[i : i + 1], layers=True).layers for i in range(3)]
    for together, items in zip(sed(mixture, layers=True).layers, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(together, torch.cat(items), atol=1e-5, rtol=0)


@torch.no_grad()
def test_attention_pools_frames_with_weights_that_compare_classes() -> None:
    output = shaken(make_sed())(noise(2, MICROPHONES, LENGTH))
    attention = output.weak_logits.softmax(dim=2).transpose(1, 2)
    expected = (output.strong_logits.sigmoid() * attention).sum(2) / attention.sum(2)
    torch.testing.assert_close(output.clip_probabilities, expected)


@torch.no_grad()
def test_only_the_reference_channel_is_heard() -> None:
    sed, mixture = shaken(make_sed(reference_channel=1)), noise(1, MICROPHONES, LENGTH)
    others = mixture.clone()
    others[:, [0, 2, 3]] = 0
    assert torch.equal(sed(mixture).clip_probabilities, sed(others).clip_probabilities)
    assert not torch.equal(sed(mixture).clip_probabilities, sed(0.5 * mixture).clip_probabilities)


def test_log_mels_are_standardised_and_finite_for_silence() -> None:
    frontend = LogMel(**FRONTEND)
    floor = (torch.tensor(torch.finfo(torch.float32).eps).log() + 7.0) / 4.0
    torch.testing.assert_close(frontend(torch.zeros(1, 640)), floor.expand(1, 8, 11))


@pytest.mark.parametrize("input_rate", [4000, 8000, 11025, 44100])
def test_a_clip_has_the_mels_of_its_duration_at_any_rate(input_rate: int) -> None:
    frontend = LogMel(**(FRONTEND | {"input_rate": input_rate}))
    assert frontend(noise(2, input_rate)).shape == (2, 8, FRONTEND["sample_rate"] // FRONTEND["hop"] + 1)


# What cannot be.


@pytest.mark.parametrize("changes", [{"patch": [3, 4]}, {"unit_frames": 3}, {"heads": 3}, {"stem": [2, 2, 2]}])
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with refused("sizes do not fit"):
        make_backbone(**changes)


@pytest.mark.parametrize("changes", [{"f_max": 4000}, {"n_mels": 200}, {"f_min": 3000}])
@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_mel_bands_without_a_bin_are_refused(changes: dict[str, Any]) -> None:
    with refused("mel bands from .* Hz hold no bin of n_fft=128 at 4000 Hz"):
        LogMel(**(FRONTEND | changes))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"head": "gap"}, r"sed\.head=gap is not known: choose one of attention"),
        ({"sequence": "lstm"}, r"sed\.sequence=lstm is not known: choose one of none"),
        ({"frame_s": 0}, r"sed\.frame_s=0 is no duration"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changes: dict[str, Any], match: str) -> None:
    with refused(match):
        make_sed(**changes)


def test_tracks_of_all_channels_hear_no_others() -> None:
    sed = shaken(make_sed(head="tracks", microphones=MICROPHONES, track_width=8, track_hidden=8))
    assert sed(noise(2, MICROPHONES, LENGTH)).tracks.shape == (2, 3, CLASSES + 1)
    for microphones in (1, MICROPHONES + 1):
        with refused(f"listens to 4 channels, but the recording has {microphones}"):
            sed(noise(2, microphones, LENGTH))


def test_a_recurrence_over_an_odd_width_is_refused() -> None:
    backbone = M2d(LogMel(**FRONTEND), **(BACKBONE | {"patch": [8, 4], "width": 15, "heads": 3}))
    assert SedModel(backbone, CLASSES)(noise(2, 1, LENGTH)).clip_probabilities.shape == (2, CLASSES)
    with refused(r"sed\.sequence=bigru halves 15 features"):
        SedModel(backbone, CLASSES, sequence="bigru")


def test_a_recording_without_the_reference_channel_is_refused() -> None:
    with refused("channel 2, but the recording has 1"):
        make_sed(reference_channel=2)(noise(1, 1, LENGTH))


def test_a_clip_shorter_than_half_a_window_is_refused() -> None:
    with refused("too short for a window of 128"):
        make_sed()(noise(1, 1, 128))


def test_normalising_a_single_clip_in_training_is_refused() -> None:
    clip = noise(1, 1, LENGTH)
    sed = make_sed(head="linear")
    with refused("batch of a single clip"):
        sed.train()(clip)
    assert sed.eval()(clip).clip_probabilities.isfinite().all()
    assert make_sed(head="linear", head_norm=False).train()(clip).clip_probabilities.isfinite().all()
    assert make_sed().train()(clip).clip_probabilities.isfinite().all()  # its frames have a spread
