"""Exported networks: those that torch exports here take minutes, those that are refused are made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import CLASSES, LABELS, MICROPHONES, RATE, noise, one_hot, refused
from whole_systems import ATTENTION, GUIDED, SED, make, separator_config

import sedsep
from sedsep.checkpoints import Checkpoint, Description, exported
from sedsep.checkpoints.exported import ENTRY, ExportedSed, ExportedSeparator, GraphDescription
from sedsep.dsp import snr_db
from sedsep.inference import SceneSeparator
from sedsep.models.graphs import SedGraph, SeparatorGraph

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

VARIANTS: dict[str, dict[str, Any]] = {
    "label": {"sample_rate": RATE // 2},
    "refined": {**GUIDED, "iters": 2},
    "refined by other feedback": {
        "iters": 2,
        "feedback": {
            "_target_": "sedsep.models.Feedback",
            "statistics": "mixture",
            "phase": True,
            "numbered": True,
        },
    },
    "refined by each pass's statistics": {
        "iters": 3,
        "feedback": {"_target_": "sedsep.models.Feedback", "statistics": "pass"},
    },
    "three at once": {"outputs": 3},
    "attention": {**ATTENTION, **GUIDED, "iters": 2},
}
LENGTHS = (2000, 7777, 1056, 24_000)  # shorter and longer than a unit of the SED model, and whole ones


def db(expected: torch.Tensor, found: torch.Tensor) -> float:
    return float(snr_db(expected.flatten().double(), found.flatten().double(), eps=1e-30))


@pytest.mark.parametrize("variant", VARIANTS)
def test_graphs_compute_what_networks_do(variant: str) -> None:
    network = make(separator_config(**VARIANTS[variant]))
    graph = SeparatorGraph(network, network.trained_passes)
    query = one_hot([[0, 2, None], [1, 4, 3]])
    with torch.inference_mode():
        for length in LENGTHS:
            mixture = 0.02 * noise(2, MICROPHONES, length)
            assert db(network(mixture, query).estimates, graph(mixture, query)) > 100
            if network.sed is not None:
                expected, (clip, frames) = network.sed(mixture), SedGraph(network.sed)(mixture)
                assert db(expected.clip_probabilities, clip) > 100
                assert db(expected.strong_probabilities, frames) > 100


def by_hand(change: Callable[[Any], Any] = lambda model: None, **described: Any) -> Any:
    """A separator that gives its first microphone for every query, and says so."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    description = GraphDescription("separator", "mini", LABELS.names, RATE, MICROPHONES, 1, 1, None, 33, 128, "float32")
    nodes = [
        helper.make_node("Slice", ["mixture", "0", "1", "1"], ["first"]),
        helper.make_node("Slice", ["query", "0", "1", "2"], ["one"]),
        helper.make_node("MatMul", ["one", "first"], ["estimates"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [
            helper.make_tensor_value_info("mixture", kind, ["b", MICROPHONES, "l"]),
            helper.make_tensor_value_info("query", kind, ["b", "k", CLASSES]),
        ],
        [helper.make_tensor_value_info("estimates", kind, ["b", "k", "l"])],
        [helper.make_tensor(str(value), onnx.TensorProto.INT64, [1], [value]) for value in (0, 1, 2)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {ENTRY: replace(description, **described).entry()})
    change(model)
    return model


def written(folder: Path, model: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_system_is_loaded_from_an_exported_network(tmp_path: Path) -> None:
    system = sedsep.load(written(tmp_path, by_hand()), device="cpu")
    mixture = 0.02 * noise(MICROPHONES, 24_000)
    result = system.separate(mixture, RATE, ["Bell", "Dog"])
    torch.testing.assert_close(result.waveforms["Bell"], mixture[0])
    assert not torch.as_tensor(result.waveforms["Dog"]).any()
    with refused("3 passes were asked of a separator that was exported with 1"):
        system.separate(mixture, RATE, "Dog", iters=3)
    with refused("give a tagger"):
        system.separate(mixture, RATE)
    with refused("precision=bf16"):
        sedsep.load(tmp_path / "model.onnx", device="cpu", precision="bf16")


def external(model: Any) -> None:
    tensor = model.graph.initializer.add(name="w", dims=[1], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")


def other_maker(model: Any) -> None:
    model.graph.node.add(op_type="PyOp", domain="somebody")


def graph_in_graph(model: Any) -> None:
    model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)


@pytest.mark.parametrize("change", [external, other_maker, graph_in_graph])
def test_what_no_network_of_ours_holds_is_refused(tmp_path: Path, change: Callable[[Any], None]) -> None:
    with refused("holds more than a plain network"):
        exported.load(written(tmp_path, by_hand(change)), "separator")


def test_a_file_is_what_it_says(tmp_path: Path) -> None:
    def load(model: Any, kind: str = "separator") -> Any:
        return exported.load(written(tmp_path, model), kind)

    with refused("a separator model where a sed model is needed"):
        load(by_hand(), "sed")
    with refused("takes or gives other things"):
        load(by_hand(microphones=2))
    with refused("takes or gives other things"):
        load(by_hand(labels=("Dog", "Rain")))
    with refused("a size is none of a network"):
        load(by_hand(stride=0))
    with refused("does not say what network it holds"):
        load(by_hand(lambda model: model.metadata_props.pop()))
    strange = by_hand()
    onnx.helper.set_model_props(strange, {ENTRY: json.dumps({"kind": "separator"})})
    with refused("describes its network wrongly"):
        load(strange)
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)
    with refused("cannot be read as ONNX"):
        exported.load(tmp_path / "model.onnx", "separator")
    with refused("There is no network"):
        exported.load(tmp_path / "absent.onnx", "separator")


def checkpoint(kind: str, config: dict[str, Any]) -> Checkpoint:
    return Checkpoint(make(config), Description(kind, "mini", config, LABELS.names), Path("made.ckpt"))


@pytest.mark.slow
def test_an_exported_separator_separates_as_it_did(tmp_path: Path) -> None:
    from sedsep.checkpoints.exporting import graph_of, in_int8, write

    ours = checkpoint("separator", separator_config(**GUIDED, iters=2))
    path, query = tmp_path / "separator.onnx", one_hot([[0, 2, None], [1, 4, 3]])
    plain = graph_of(ours)
    for made, least in ((plain, 80), (in_int8(plain), 20)):
        write(made, path)
        network = exported.load(path, "separator", LABELS)
        assert isinstance(network, ExportedSeparator)
        assert network.description.weights == ("float32" if made is plain else "int8")
        with torch.inference_mode():
            for length in LENGTHS:
                for asked in (query, query[:1, :1]):  # one of each is a size like any other
                    mixture = 0.02 * noise(len(asked), MICROPHONES, length)
                    assert db(ours.network(mixture, asked).estimates, network(mixture, asked).estimates) > least


@pytest.mark.slow
def test_an_exported_tagger_names_sounds(tmp_path: Path) -> None:
    from sedsep.checkpoints.exporting import graph_of, write

    ours, path = checkpoint("sed", SED), tmp_path / "tagger.onnx"
    write(graph_of(ours, seconds=0.5), path)
    network = exported.load(path, "sed", LABELS)
    assert isinstance(network, ExportedSed)
    mixture = 0.02 * noise(1, MICROPHONES, 4000)
    with torch.inference_mode():
        expected, found = ours.network(mixture), network(mixture)
    assert db(expected.clip_probabilities, found.clip_probabilities) > 80
    assert db(expected.strong_probabilities, found.strong_probabilities) > 80
    separator = exported.load(written(tmp_path, by_hand()), "separator")
    assert isinstance(separator, ExportedSeparator)
    system = SceneSeparator(separator, LABELS, network)
    assert system.chunk + system.step <= 4000
    long = 0.02 * noise(MICROPHONES, 24_000)
    assert set(system.separate(long, RATE, threshold=0.0).labels) == set(LABELS)
    with refused("was exported for 4000 samples"):
        network(torch.zeros(1, MICROPHONES, 4001))
