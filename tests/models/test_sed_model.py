from __future__ import annotations

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

from sedsep.models import LogMel, M2d
from sedsep.models.sed import choose_labels, one_hot_rows

UNIT = BACKBONE["unit_frames"]  # 33 mel frames; a clip of LENGTH has 32


class Given(nn.Module):
    """Stands in for the mel frontend: its input is the mel spectrogram, flattened."""

    mel_basis = torch.zeros(65, 8)

    def forward(self, mel: Tensor) -> Tensor:
        return mel.unflatten(1, (8, -1))


def backbone_on_mels(**changes: Any) -> M2d:
    return shaken(M2d(Given(), **(BACKBONE | changes)))


# Shapes.


@torch.no_grad()
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
def test_layer_features_lie_on_the_grid_whatever_the_length(length: int, columns: int) -> None:
    output = make_sed().eval()(noise(2, MICROPHONES, length), layers=True)
    assert output.grid == (2, columns)
    assert [tuple(layer.shape) for layer in output.layers] == [(2, 2 * columns, 16)] * 3


@torch.no_grad()
@pytest.mark.parametrize(
    ("head", "frames", "attention"), [("attention", True, True), ("two_linear", True, False), ("linear", False, False)]
)
def test_each_head_names_what_it_can(head: str, frames: bool, attention: bool) -> None:
    for length, count in ((960, 6), (LENGTH, 12), (3 * LENGTH, 38)):  # 20 ms a frame: 6, 12.5 and 37.5, rounded
        output = shaken(make_sed(head=head))(noise(2, MICROPHONES, length))
        assert output.clip_probabilities.shape == (2, CLASSES)
        assert ((output.clip_probabilities >= 0) & (output.clip_probabilities <= 1)).all()
        assert (output.strong_logits is not None) == frames
        assert (output.weak_logits is not None) == attention
        if frames:
            assert output.strong_logits.shape == output.strong_probabilities.shape == (2, CLASSES, count)
        if attention:
            assert output.weak_logits.shape == (2, count, CLASSES)
        assert output.layers == []


@torch.no_grad()
def test_frames_are_the_backbones_own_where_none_are_asked_for() -> None:
    output = make_sed(frame_s=None).eval()(noise(1, MICROPHONES, LENGTH))
    assert output.strong_logits.shape[2] == 8


@torch.no_grad()
@pytest.mark.parametrize("sequence", ["bigru", "bilstm"])
def test_a_recurrence_keeps_the_shapes(sequence: str) -> None:
    assert make_sed(sequence=sequence).eval()(noise(1, MICROPHONES, LENGTH)).strong_logits.shape == (1, CLASSES, 12)


def test_frames_count_by_duration_and_never_vanish() -> None:
    sed = make_sed(frame_s=0.04)
    assert sed.frames(10 * RATE) == 250
    assert sed.frames(1) == 1


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


# Content.


@torch.no_grad()
def test_a_batch_gives_what_its_items_give_one_by_one() -> None:
    sed, mixture = shaken(make_sed()), noise(3, MICROPHONES, 3 * LENGTH)
    together, alone = sed(mixture, layers=True), [sed(mixture[i : i + 1], layers=True) for i in range(3)]
    for name in ("clip_probabilities", "strong_logits", "weak_logits"):
        expected = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.layers[2], torch.cat([one.layers[2] for one in alone]), atol=1e-5, rtol=0)


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


# Choosing labels.


def test_labels_reach_the_threshold_and_come_most_probable_first() -> None:
    assert choose_labels(torch.tensor([[0.5, 0.2, 0.9, 0.49]])) == [[2, 0]]


def test_the_most_probable_label_is_chosen_where_none_reaches_the_threshold() -> None:
    assert choose_labels(torch.tensor([[0.1, 0.3, 0.2]])) == [[1]]


def test_at_most_three_labels_are_chosen() -> None:
    assert choose_labels(torch.tensor([[0.6, 0.9, 0.7, 0.8], [0.9, 0.1, 0.1, 0.1]])) == [[1, 3, 2], [0]]
    assert choose_labels(torch.tensor([[0.6, 0.9]]), threshold=0.7, at_least=2) == [[1, 0]]


def test_chosen_labels_become_queries_padded_with_silence() -> None:
    rows = one_hot_rows([[2, 0], []], 2, 3, torch.device("cpu"))
    assert rows.tolist() == [[[0, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]]


# What cannot be.


@pytest.mark.parametrize("changes", [{"patch": [3, 4]}, {"unit_frames": 3}, {"heads": 3}])
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with refused("sizes do not fit"):
        make_backbone(**changes)


def test_an_unknown_head_or_sequence_is_refused() -> None:
    with refused(r"sed\.head=gap is not known: choose one of attention"):
        make_sed(head="gap")
    with refused(r"sed\.sequence=lstm"):
        make_sed(sequence="lstm")


def test_a_recording_without_the_reference_channel_is_refused() -> None:
    with refused("channel 2, but the recording has 1"):
        make_sed(reference_channel=2)(noise(1, 1, LENGTH))
