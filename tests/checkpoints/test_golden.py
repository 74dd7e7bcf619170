"""Parity with the reference, the whole way: a file of its make, converted, loaded and run on the CPU in fp32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from golden.models import fakes, recipe
from hydra import initialize_config_dir
from torch import Tensor, nn

from sedsep import checkpoints
from sedsep.checkpoints import exported
from sedsep.checkpoints.conversion import convert
from sedsep.checkpoints.exporting import graph_of, write
from sedsep.models import GuidedSeparator, SedModel

CONF = Path(__file__).parents[2] / "conf"
MARKS = {  # dB that the answer must stand above its difference from the reference's
    "waveform_every16": 105,
    "waveform_head": 109,  # separator_iter_3: 109.8 by oneDNN without AVX-512, 111.6 there by torch's own convolutions
    "waveform_mid": 115,
    "waveform_rms": 110,
    "iterations_every16": 105,
    "bottleneck_every8": 100,
    "dprnn_in_every8": 100,
    "logits_strong": 110,
    "logits_weak": 110,
    "probabilities": 110,
    "probabilities_strong": 110,
    "feature_0": 110,
    "feature_6": 110,
    "feature_12": 110,
    "logits": 110,
    "labels": np.inf,
    "pooled_every16": 120,
}
TAGGERS = [name for name in fakes.NAMES if not name.startswith(("separator", "baseline_resunet"))]
CHEAP = ("baseline_resunet", "m2d_sed")
CASES = [pytest.param(name, marks=() if name in CHEAP else pytest.mark.slow) for name in fakes.NAMES]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Gone after the test: these files are large."""
    with tempfile.TemporaryDirectory() as name, initialize_config_dir(str(CONF), version_base="1.3"):
        yield Path(name)


def converted(name: str, folder: Path) -> checkpoints.Checkpoint:
    """A fake checkpoint that went through the importer and one of our files."""
    source = folder / f"{name}.ckpt"
    torch.save({"state_dict": fakes.weights(name)}, source)
    target = convert(source).target
    return checkpoints.load(target, "sed" if name in TAGGERS else "separator")


def heard(network: SedModel) -> dict[str, Tensor | None]:
    mixture = torch.from_numpy(recipe.mixture(2))
    if network.head == "tracks":
        pooled: list[Tensor] = []
        network.head_norm.register_forward_pre_hook(lambda _, arguments: pooled.append(arguments[0][..., ::16]))
        logits = network(mixture).tracks
        probabilities, labels = logits.softmax(-1).max(-1)
        return {"logits": logits, "labels": labels, "probabilities": probabilities, "pooled_every16": pooled[0]}
    output = network(mixture, layers=True)
    return {
        "probabilities": output.clip_probabilities,
        "probabilities_strong": output.strong_probabilities,
        "logits_strong": output.strong_logits,
        "logits_weak": output.weak_logits,
        **{f"feature_{index}": layer[..., ::16] for index, layer in enumerate(output.layers)},
    }


def separated(network: GuidedSeparator, classes: list[int]) -> dict[str, Tensor]:
    separator = network.separator
    inputs: dict[str, list[Tensor]] = {}

    def keep_input(name: str, module: nn.Module | None) -> None:
        def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs.setdefault(name, []).append(arguments[0][:, ::8].clone())

        if module is not None:
            module.register_forward_pre_hook(keep)

    keep_input("bottleneck_every8", separator.unet.decoder[0])
    keep_input("dprnn_in_every8", separator.dprnn)
    items = len(classes) // separator.outputs
    query = torch.from_numpy(recipe.label_vector(classes)).unflatten(0, (items, separator.outputs))
    output = network(torch.from_numpy(recipe.mixture(items)), query)
    waveform = output.estimates
    passes = len(output.passes)  # rows may come one by one, each with all its passes: the last ones count
    return {name: torch.cat(seen[passes - 1 :: passes]) for name, seen in inputs.items()} | {
        "waveform_every16": waveform[..., ::16],
        "waveform_head": waveform[..., :2000],
        "waveform_mid": waveform[..., 150_000:152_000],
        "waveform_rms": waveform.square().mean(-1).sqrt(),
        "iterations_every16": torch.stack([one[..., ::16] for one in output.passes]),
    }


def db_above_difference(expected: np.ndarray, actual: Tensor) -> float:
    expected = expected.astype(np.float64)
    difference = expected - actual.double().numpy().reshape(expected.shape)
    return 10 * np.log10((expected**2).sum() / (difference**2).sum()) if difference.any() else np.inf


@pytest.mark.parametrize("name", CASES)
def test_a_converted_checkpoint_gives_the_numbers_of_the_reference(name: str, folder: Path) -> None:
    network = converted(name, folder).network.eval()
    with torch.no_grad():
        if isinstance(network, SedModel):
            actual = heard(network)
        else:
            assert isinstance(network, GuidedSeparator)
            actual = separated(network, fakes.facts(name)["query_classes"])
    expected = fakes.answers(name)
    assert len(expected)
    figures = {key: db_above_difference(expected[key], actual[key]) for key in expected}
    assert not {key: figure for key, figure in figures.items() if figure < MARKS[key]}, figures


@pytest.mark.slow
@pytest.mark.parametrize(("way", "mark"), [("bf16", 40), ("compiled", 105), ("with gradients", 105)])
def test_every_faster_way_gives_them_too_within_its_tolerance(way: str, mark: float, folder: Path) -> None:
    name = "separator_baseline"
    network = converted(name, folder).network.eval()
    assert isinstance(network, GuidedSeparator)
    if way == "compiled":
        network.separator.unet.compile()
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=way == "bf16"),
        torch.set_grad_enabled(way == "with gradients"),
    ):
        actual = separated(network, fakes.facts(name)["query_classes"])
    expected = fakes.answers(name)
    waveforms = [key for key in expected if key.startswith("waveform") and key != "waveform_rms"]
    figures = {key: db_above_difference(expected[key], actual[key].detach()) for key in waveforms}
    assert not {key: figure for key, figure in figures.items() if figure < mark}, figures


@pytest.mark.slow
def test_an_exported_network_gives_them_too(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    name, path = "separator_baseline", folder / "exported.onnx"
    write(graph_of(converted(name, folder)), path)
    network = exported.load(path, "separator")
    classes = fakes.facts(name)["query_classes"]
    queries = torch.from_numpy(recipe.label_vector(classes))[:, None, None]
    mixtures = torch.from_numpy(recipe.mixture(len(classes)))[:, None]
    pairs = zip(mixtures, queries, strict=True)
    waveform = torch.cat([network(mixture, query).estimates[0] for mixture, query in pairs])
    expected = fakes.answers(name)
    parts = {"every16": np.s_[::16], "head": np.s_[:2000], "mid": np.s_[150_000:152_000]}
    figures = {
        part: db_above_difference(expected[f"waveform_{part}"], waveform[:, place]) for part, place in parts.items()
    }
    assert min(figures.values()) > 80, figures
