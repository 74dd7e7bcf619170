"""Starting weights: what is taken from files of other makes, checked on files with their names and small sizes."""

from __future__ import annotations

import copy
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import MICROPHONES, SEPARATOR, make_sed, make_separator, noise, one_hot, refused, shaken
from torch import Tensor, nn

from sedsep.checkpoints.starting import start_backbone, start_separator
from sedsep.conditioning import TimeFilm
from sedsep.models import LogMel, M2d, SedModel, Separator
from sedsep.modules.dprnn import Dprnn

Shapes = dict[str, list[int]]

SPATIAL = {"features": ["magnitude", "phase"]}
PAPER_WIDTHS = (32, 64, 128, 256, 384, 384)


def tensor(name: str, shape: Sequence[int]) -> Tensor:
    """A value that the name alone decides."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    value = 0.3 * noise(*shape, seed=zlib.crc32(name.encode()))
    return 1 + value.abs() if name.endswith("running_var") else value


def saved(path: Path, shapes: Shapes, **wrapping: Any) -> Path:
    torch.save({"state_dict": {name: tensor(name, shape) for name, shape in shapes.items()}, **wrapping}, path)
    return path


# AudioSep.


def batch_norm(name: str, width: int) -> Iterator[tuple[str, list[int]]]:
    yield from ((f"{name}.{leaf}", [width]) for leaf in ("weight", "bias", "running_mean", "running_var"))
    yield f"{name}.num_batches_tracked", []


def residual(name: str, inputs: int, outputs: int, width: int) -> Iterator[tuple[str, list[int]]]:
    """A residual block and its FiLM layers."""
    base, film = f"ss_model.base.{name}", f"ss_model.film.{name.replace('.', '->')}"
    yield from batch_norm(f"{base}.bn1", inputs)
    yield from batch_norm(f"{base}.bn2", outputs)
    yield f"{base}.conv1.weight", [outputs, inputs, 3, 3]
    yield f"{base}.conv2.weight", [outputs, outputs, 3, 3]
    if inputs != outputs:
        yield f"{base}.shortcut.weight", [outputs, inputs, 1, 1]
        yield f"{base}.shortcut.bias", [outputs]
    yield from film_layers(film, (inputs, outputs), width)


def film_layers(name: str, channels: Sequence[int], width: int) -> Iterator[tuple[str, list[int]]]:
    for number, count in enumerate(channels, start=1):
        yield f"{name}->beta{number}.weight", [count, width]
        yield f"{name}->beta{number}.bias", [count]


def audiosep(widths: Sequence[int], bins: int, width: int) -> Shapes:
    """Names and shapes of AudioSep's separator: `widths` of the U-Net's stages, `width` of the FiLM layers."""
    n_fft, deepest = 2 * (bins - 1), widths[-1]
    shapes: Shapes = {
        **{f"ss_model.base.stft.conv_{part}.weight": [bins, 1, n_fft] for part in ("real", "imag")},
        "ss_model.base.istft.ola_window": [n_fft],
        **{f"ss_model.base.istft.conv_{part}.weight": [n_fft, n_fft, 1] for part in ("real", "imag")},
        **dict(batch_norm("ss_model.base.bn0", bins)),
        "ss_model.base.pre_conv.weight": [widths[0], 1, 1, 1],
        "ss_model.base.pre_conv.bias": [widths[0]],
        "ss_model.base.after_conv.weight": [3, widths[0], 1, 1],
        "ss_model.base.after_conv.bias": [3],
        **dict(residual("conv_block7a.conv_block1", deepest, deepest, width)),
    }
    inward = [widths[0], *widths[:-1]]
    for stage, (inputs, outputs) in enumerate(zip(inward, widths, strict=True), start=1):
        shapes |= dict(residual(f"encoder_block{stage}.conv_block1", inputs, outputs, width))
    outward = [deepest, *widths[:0:-1]]
    for stage, (inputs, outputs) in enumerate(zip(outward, widths[::-1], strict=True), start=1):
        block = f"ss_model.base.decoder_block{stage}"
        shapes[f"{block}.conv1.weight"] = [inputs, outputs, 1 if stage == 1 else 2, 2]
        shapes |= dict(batch_norm(f"{block}.bn1", inputs)) | dict(batch_norm(f"{block}.bn2", inputs))
        shapes |= dict(residual(f"decoder_block{stage}.conv_block2", 2 * outputs, outputs, width))
        shapes |= dict(film_layers(f"ss_model.film.decoder_block{stage}", (inputs, inputs), width))
    return shapes


SMALL = audiosep(SEPARATOR["widths"], SEPARATOR["n_fft"] // 2 + 1, SEPARATOR["condition_width"])
CLAP = {"query_encoder.model.text_branch.weight": [3, 3], "query_encoder.model.logit_scale": []}


@pytest.fixture
def audiosep_file(tmp_path: Path) -> Path:
    return saved(tmp_path / "audiosep.ckpt", SMALL | CLAP, epoch=3)


def started(path: Path, **changes: Any) -> Separator:
    separator = make_separator(**changes)
    start_separator(separator, path)
    return separator.eval()


def test_the_small_file_has_the_layout_of_the_real_one(golden: Path) -> None:
    real = json.loads((golden / "models" / "pretrained_audiosep_base.keys.json").read_text())
    assert audiosep(PAPER_WIDTHS, 1025, 512) == dict(real)


def test_the_unet_and_its_film_layers_are_audioseps(audiosep_file: Path) -> None:
    separator = started(audiosep_file)

    def theirs(name: str) -> Tensor:
        return tensor(name, SMALL[name])

    unet, base = separator.unet, "ss_model.base"
    for ours, name in (
        (unet.encoder[1].conv1.weight, "encoder_block2.conv_block1.conv1.weight"),
        (unet.encoder[2].norm2.bn.running_var, "encoder_block3.conv_block1.bn2.running_var"),
        (unet.bottleneck.norm1.bn.weight, "conv_block7a.conv_block1.bn1.weight"),
        (unet.decoder[0].up.weight, "decoder_block1.conv1.weight"),
        (unet.decoder[1].norm.bn.bias, "decoder_block2.bn1.bias"),
        (unet.decoder[2].block.shortcut.bias, "decoder_block3.conv_block2.shortcut.bias"),
        (separator.bn0.bn.running_mean, "bn0.running_mean"),
    ):
        assert torch.equal(ours, theirs(f"{base}.{name}")), name

    embedded = noise(2, SEPARATOR["condition_width"])
    biases = separator.label_film.film(embedded)
    for index, site in {
        0: "encoder_block1->conv_block1->beta1",
        3: "encoder_block2->conv_block1->beta2",
        6: "conv_block7a->conv_block1->beta1",
        8: "decoder_block1->beta1",
        9: "decoder_block1->conv_block2->beta1",
        16: "decoder_block3->conv_block2->beta2",
    }.items():
        layer = f"ss_model.film.{site}"
        expected = nn.functional.linear(embedded, theirs(f"{layer}.weight"), theirs(f"{layer}.bias"))
        torch.testing.assert_close(biases[index], expected, rtol=1e-4, atol=1e-5)
    assert len(biases) == 17


@pytest.mark.parametrize(
    "changes",
    [{}, {"iters": 2}, {"features": ["magnitude", "phase"]}, {"features": ["magnitude", "phase"], "iters": 2}],
)
def test_the_same_signal_on_all_microphones_enters_as_it_did_on_one(
    audiosep_file: Path, changes: dict[str, Any]
) -> None:
    separator = started(audiosep_file, **changes)
    name = "ss_model.base.pre_conv"
    weight, bias = (tensor(f"{name}.{leaf}", SMALL[f"{name}.{leaf}"]) for leaf in ("weight", "bias"))
    one, others = noise(1, 1, 5, 6), noise(1, separator.pre_conv.in_channels - MICROPHONES, 5, 6, seed=1)
    entered = separator.pre_conv(torch.cat([one.expand(-1, MICROPHONES, -1, -1), others], dim=1))
    torch.testing.assert_close(entered, nn.functional.conv2d(one, weight, bias))
    assert separator.pre_conv.weight[:, MICROPHONES:].abs().sum() == 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_every_mask_starts_as_audioseps(audiosep_file: Path, outputs: int) -> None:
    separator = started(audiosep_file, outputs=outputs)
    name = "ss_model.base.after_conv"
    weight, bias = (tensor(f"{name}.{leaf}", SMALL[f"{name}.{leaf}"]) for leaf in ("weight", "bias"))
    inner = noise(1, SEPARATOR["widths"][0], 5, 6)
    masks = separator.after_conv(inner).unflatten(1, (outputs * MICROPHONES, 3))
    torch.testing.assert_close(masks, nn.functional.conv2d(inner, weight, bias)[:, None].expand_as(masks))


def test_four_microphones_that_hear_the_same_start_as_one(audiosep_file: Path) -> None:
    one, four = started(audiosep_file, microphones=1), started(audiosep_file)
    four.label_film.load_state_dict(one.label_film.state_dict())
    mixture, query = noise(2, 1, 2000), one_hot([[0, 3], [2, None]])
    with torch.no_grad():
        expected = one(mixture, query).estimates
        estimates = four(mixture.expand(-1, MICROPHONES, -1), query).estimates
    assert expected.std() > 0.01
    torch.testing.assert_close(estimates, expected, rtol=1e-4, atol=1e-5)


def test_what_audiosep_has_not_starts_fresh_and_is_named(audiosep_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    separator = make_separator(iters=2, time_film=TimeFilm, dprnn=Dprnn)
    before = copy.deepcopy(separator.state_dict())
    with caplog.at_level(logging.INFO):
        account = start_separator(separator, audiosep_file)
    assert account.fresh == ("bn0_feedback", "out_conv", "label_film.embedding", "time_film", "dprnn")
    untouched = {name for name, value in separator.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in before if name.startswith(account.fresh)} <= untouched
    assert account.used == len(before) - sum(name.startswith(account.fresh) for name in before)
    assert account.dropped["query_encoder"] == len(CLAP)
    film = [name for name in SMALL if ".film." in name]
    # Five transforms; the decoders' second norms and FiLM layers; all film layers become two tensors.
    assert account.used + sum(account.dropped.values()) == len(SMALL | CLAP) - len(film) + 2 + 2 * 3
    assert f"Started from {audiosep_file}: {account.used} tensors used; fresh: bn0_feedback" in caplog.text


def test_a_file_of_another_scale_is_refused_and_changes_nothing(tmp_path: Path, audiosep_file: Path) -> None:
    wider = saved(tmp_path / "wider.ckpt", audiosep((4, 6, 10), 33, 8))
    for path, changes in (
        (wider, {}),
        (audiosep_file, {"n_fft": 128}),  # as a baseline's window would be
        (audiosep_file, {"widths": [4, 6]}),
        (audiosep_file, {"condition_width": 16}),
    ):
        separator = make_separator(**changes)
        before = copy.deepcopy(separator.state_dict())
        with refused(rf"{path.name} is of another scale: .* has shape"):
            start_separator(separator, path)
        assert all(torch.equal(value, before[name]) for name, value in separator.state_dict().items())


def test_tensors_that_nobody_knows_are_listed(tmp_path: Path) -> None:
    path = saved(tmp_path / "odd.ckpt", SMALL | {"ss_model.base.attention.weight": [2], "ss_model.base.gate": [1]})
    with refused(r"odd\.ckpt has tensors .*base\.attention\.weight, .*base\.gate"):
        start_separator(make_separator(), path)


def test_half_an_audiosep_is_refused(tmp_path: Path) -> None:
    without = {name: shape for name, shape in SMALL.items() if name != "ss_model.base.bn0.bias"}
    with refused(r"half\.ckpt lacks bn0\.bn\.bias"):
        start_separator(make_separator(), saved(tmp_path / "half.ckpt", without))


@pytest.mark.parametrize(
    "shapes",
    [{"model.base.pre_conv.weight": [4, 4, 1, 1]}, CLAP, SMALL | {"model.x": [1]}],
    ids=["paper", "clap", "mix"],
)
def test_a_file_of_another_make_is_no_audiosep(tmp_path: Path, shapes: Shapes) -> None:
    with refused(r"x\.ckpt is no AudioSep checkpoint .* start=audiosep_base"):
        start_separator(make_separator(), saved(tmp_path / "x.ckpt", shapes))


# M2D.

STRONG_HEADS = {
    **{f"{head}.weight": [447, 32] for head in ("strong_head", "weak_head")},
    **{f"{head}.bias": [447] for head in ("strong_head", "weak_head")},
}
FRONT = {"to_spec.stft.window_mask": [1, 128, 1]}
LEFTOVERS = {"head.weight": [527, 32], "mask_token": [1, 1, 16], "decoder_blocks.0.norm1.weight": [16]}


def m2d(prefix: str, sed: SedModel | None = None) -> Shapes:
    """Names and shapes of the transformer of `sed` in a foreign file."""
    own = (sed or make_sed()).backbone.state_dict()
    return {
        prefix + name.replace("patch_embed.", "patch_embed.proj."): list(value.shape) for name, value in own.items()
    }


def under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


LAYOUTS = {
    "strong": ("model.backbone.", STRONG_HEADS | under("model.", FRONT)),
    "strong, wrapped": ("model.m2d.backbone.", STRONG_HEADS | under("model.m2d.", FRONT)),
    "fine-tuned": ("module.ar.runtime.backbone.", under("module.ar.runtime.", FRONT) | under("module.", LEFTOVERS)),
    "bare": ("", LEFTOVERS),
}


@pytest.mark.parametrize("nested", [None, "model", "state_dict"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_transformer_is_found_in_every_layout(tmp_path: Path, layout: str, nested: str | None) -> None:
    prefix, others = LAYOUTS[layout]
    state = {name: tensor(name, shape) for name, shape in (m2d(prefix) | others).items()}
    path = tmp_path / "m2d.pt"
    torch.save({nested: state} if nested else state, path)
    sed = make_sed()
    heads = copy.deepcopy(sed.weak_head.state_dict())
    account = start_backbone(sed, path)
    assert torch.equal(sed.backbone.patch_embed.weight, state[f"{prefix}patch_embed.proj.weight"])
    assert torch.equal(sed.backbone.pos_embed, state[f"{prefix}pos_embed"])
    assert torch.equal(sed.backbone.blocks[1].attn.qkv.bias, state[f"{prefix}blocks.1.attn.qkv.bias"])
    assert torch.equal(sed.backbone.norm.weight, state[f"{prefix}norm.weight"])
    assert account.used == len(sed.backbone.state_dict())
    assert account.fresh == ("head_norm", "strong_head", "weak_head")
    assert sum(account.dropped.values()) == len(others)
    assert all(torch.equal(value, heads[name]) for name, value in sed.weak_head.state_dict().items())


@pytest.mark.parametrize("head_norm", [True, False])
def test_the_norm_before_a_fine_tuned_head_is_taken_where_there_is_one(tmp_path: Path, head_norm: bool) -> None:
    features = make_sed().backbone.features
    norm = {f"module.head.norm.{leaf}": [features] for leaf in ("running_mean", "running_var")}
    path = saved(tmp_path / "m2d.pth", m2d("module.ar.runtime.backbone.") | norm)
    sed = make_sed(head="linear", head_norm=head_norm)
    account = start_backbone(sed, path)
    if sed.head_norm is None:
        assert account.dropped == {"head": 2}
    else:
        expected = tensor("module.head.norm.running_var", [features])
        assert torch.equal(sed.head_norm.running_var, expected)
        assert "weak_head" in account.fresh


def test_a_transformer_of_another_scale_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m2d.pt", m2d("model.backbone."))
    longer = SedModel(M2d(make_sed().backbone.frontend, 65, (4, 4), 16, 2, 2), 5)
    shallow = SedModel(M2d(make_sed().backbone.frontend, 33, (4, 4), 16, 1, 2), 5)
    before = copy.deepcopy(longer.state_dict())
    with refused(r"m2d\.pt is of another scale: backbone\.pos_embed has shape \[1, 17, 16\] .* \[1, 33, 16\]"):
        start_backbone(longer, path)
    assert all(torch.equal(value, before[name]) for name, value in longer.state_dict().items())
    with refused(r"is of another scale: backbone\.blocks\.1\.\S+ has shape .* this network has nothing"):
        start_backbone(shallow, path)


def test_foreign_and_incomplete_transformers_are_refused(tmp_path: Path) -> None:
    whole = m2d("model.backbone.")
    with refused(r"x\.pt has tensors that are in no M2D we know \(model\.backbone\.dist_token, model\.gate\)"):
        start_backbone(
            make_sed(), saved(tmp_path / "x.pt", whole | {"model.backbone.dist_token": [1], "model.gate": [1]})
        )
    del whole["model.backbone.blocks.0.mlp.fc1.bias"]
    with refused(r"x\.pt lacks backbone\.blocks\.0\.mlp\.fc1\.bias"):
        start_backbone(make_sed(), saved(tmp_path / "x.pt", whole))
    with refused(r"x\.pt is no M2D checkpoint"):
        start_backbone(make_sed(), saved(tmp_path / "x.pt", SMALL))


def with_tensors(path: Path, shapes: Shapes, **extra: Tensor) -> Path:
    state = {name: tensor(name, shape) for name, shape in shapes.items()}
    torch.save(state | extra, path)
    return path


def test_a_transformer_that_was_shown_other_spectra_is_refused(tmp_path: Path) -> None:
    sed = make_sed()
    basis = sed.backbone.frontend.mel_basis.T
    shapes, path = m2d("model.backbone."), tmp_path / "m2d.pt"
    start_backbone(sed, with_tensors(path, shapes, **{"model.to_spec.mel_basis": basis}))
    with refused("mel filters"):
        start_backbone(sed, with_tensors(path, shapes, **{"model.to_spec.mel_basis": basis.roll(1, dims=1)}))

    stats = {"fits": torch.tensor([-7.0, 4.0]), "differs": torch.tensor([-5.0, 3.0])}
    start_backbone(sed, with_tensors(path, m2d(""), norm_stats=stats["fits"]))
    with refused(r"\[mean, deviation\] \[-5\.0, 3\.0\], this model standardises by \[-7\.0, 4\.0\]"):
        start_backbone(sed, with_tensors(path, m2d(""), norm_stats=stats["differs"]))
    # PretrainedSED never reads them.
    start_backbone(sed, with_tensors(path, shapes, **{"model.backbone.norm_stats": stats["differs"]}))


# The published sizes.


@pytest.mark.slow
def test_a_paper_scale_separator_starts_from_audiosep(tmp_path: Path) -> None:
    shapes = audiosep(PAPER_WIDTHS, 1025, 512)
    path = saved(tmp_path / "audiosep_base.ckpt", shapes | CLAP)
    sizes = {"input_rate": 32000, "sample_rate": 32000, "microphones": 4, "classes": 18, "n_fft": 2048, "hop": 160}
    separator = Separator(**sizes, widths=PAPER_WIDTHS, condition_width=512, iters=3)
    account = start_separator(separator, path)
    assert account.fresh == ("bn0_feedback", "out_conv", "label_film.embedding")
    first, last = "ss_model.base.pre_conv.weight", "ss_model.base.decoder_block6.conv1.weight"
    torch.testing.assert_close(separator.pre_conv.weight.sum(1, keepdim=True), tensor(first, shapes[first]))
    assert torch.equal(separator.unet.decoder[5].up.weight, tensor(last, shapes[last]))
    baseline = Separator(**(sizes | {"n_fft": 1024}), widths=PAPER_WIDTHS, condition_width=512)
    with refused(r"another scale: bn0\.bn\.weight has shape \[1025\] where this network has \[513\]"):
        start_separator(baseline, path)


@pytest.mark.slow
def test_a_paper_scale_tagger_starts_from_m2d(golden: Path, tmp_path: Path) -> None:
    frontend = LogMel(32000, 32000, 800, 320, 80, 50, 16000, -7.1, 4.2)
    sed = SedModel(M2d(frontend, 1001, (16, 16), 768, 12, 12), 18, head="linear", frame_s=None)
    rows = json.loads((golden / "models" / "baseline_tagger.json").read_text())["state_dict"]
    shapes = {name.removeprefix("model."): shape for name, shape, *_ in rows if name.startswith("model.backbone.")}
    del shapes["backbone.norm_stats"]
    path = saved(tmp_path / "m2d.pth", under("module.ar.runtime.", shapes))
    shaken(sed)
    assert start_backbone(sed, path).fresh == ("head_norm", "weak_head")
    name = "module.ar.runtime.backbone.blocks.11.mlp.fc2.weight"
    assert torch.equal(sed.backbone.blocks[11].mlp.fc2.weight, tensor(name, [768, 3072]))
