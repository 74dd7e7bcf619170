"""Other people's taggers: small networks made here, in the shape of those of AudioSet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from minis import noise, refused

from sedsep.checkpoints import foreign

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSES, DOG, BARK, POUR = 527, 74, 75, 449
RATE = 32_000


def by_hand(
    shape: tuple[Any, ...] = ("b", "l"), change: Callable[[Any], None] = lambda model: None, **entries: str
) -> Any:
    """A tagger of 527 classes: each hears how loud a clip is, with a weight of its own; dogs twice as much as barks."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = [0.0] * CLASSES
    weights[DOG], weights[BARK], weights[POUR] = 1.0, 0.5, 0.25
    nodes = [
        helper.make_node("Abs", ["sound"], ["level"]),
        helper.make_node("ReduceMean", ["level"], ["loud"], axes=[len(shape) - 1], keepdims=1),
        helper.make_node("Reshape", ["loud", "one"], ["once"]),
        helper.make_node("MatMul", ["once", "weights"], ["clips"]),
        helper.make_node("Identity", ["loud"], ["frames"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info("sound", kind, shape)],
        [
            helper.make_tensor_value_info("frames", kind, None),
            helper.make_tensor_value_info("clips", kind, ["b", CLASSES]),
        ],
        [
            helper.make_tensor("one", onnx.TensorProto.INT64, [2], [-1, 1]),
            helper.make_tensor("weights", kind, [1, CLASSES], weights),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, entries)
    change(model)
    return model


def written(folder: Path, model: Any, **meaning: list[str | int]) -> tuple[Path, Path]:
    """The network, and the file that says which of its classes are our labels."""
    (folder / "tagger.onnx").write_bytes(model.SerializeToString())
    (folder / "labels.json").write_text(json.dumps(meaning or {"Dog": ["Bark", "Dog"], "Pour": ["Pour"]}))
    return folder / "tagger.onnx", folder / "labels.json"


@pytest.mark.parametrize("shape", [("b", "l"), (1, 2000), ("b", 1, "l"), (1, 1, 2000)])
def test_a_label_is_as_likely_as_the_likeliest_of_its_classes(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    tagger = foreign.load(*written(tmp_path, by_hand(shape, sample_rate=str(RATE))))
    clips = 0.1 * noise(2, 1, 2000)
    level = clips.abs().mean(-1)
    torch.testing.assert_close(tagger(clips).clip_probabilities, torch.cat([level, 0.25 * level], dim=1))
    assert (tagger.input_rate, tagger.longest) == (RATE, 2000 if shape[-1] == 2000 else None)


def test_classes_may_be_named_by_their_numbers(tmp_path: Path) -> None:
    files = written(tmp_path, by_hand(), Dog=[DOG], Water=["Pour", BARK])
    clip = 0.1 * noise(1, 1, 500)
    level = clip.abs().mean().item()
    assert foreign.load(*files, rate=RATE)(clip).clip_probabilities[0].tolist() == pytest.approx([level, 0.5 * level])


def external(model: Any) -> None:
    tensor = model.graph.initializer.add(name="w", dims=[1], data_type=1, data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")


def logits(model: Any) -> None:
    model.graph.node[0].op_type = "Log"


def other_input(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def one_output(model: Any) -> None:
    del model.graph.output[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (external, "holds more than a plain network"),
        (logits, "gives values that are no probabilities"),
        (other_input, "takes other things than mono clips"),
        (one_output, r"none of which is \[batch, 527\]"),
    ],
)
def test_a_network_is_tried_before_it_is_believed(tmp_path: Path, change: Callable[[Any], None], says: str) -> None:
    with refused(says):
        foreign.load(*written(tmp_path, by_hand(change=change)), rate=RATE)


@pytest.mark.parametrize(
    ("meaning", "says"),
    [
        ({"Dog": ["Barks"]}, r"no class of AudioSet \(did you mean Bark\?\)"),
        ({"Dog": []}, "names no class for Dog"),
        ({"Dog": [-1]}, "outputs are counted from 0"),
        ({"Dog": [600]}, r"none of which is \[batch, classes\], with 601"),
        ({"Dog": "Bark"}, "holds something else"),
        ({"silence": ["Silence"]}, "pads empty slots"),
    ],
)
def test_classes_that_the_network_has_not_are_told(tmp_path: Path, meaning: dict[str, Any], says: str) -> None:
    with refused(says):
        foreign.load(*written(tmp_path, by_hand(), **meaning), rate=RATE)


def test_the_rate_is_told_once(tmp_path: Path) -> None:
    with refused("does not say at what rate it hears"):
        foreign.load(*written(tmp_path, by_hand()))
    with refused("hears at .16000, 32000. Hz: give one"):
        foreign.load(*written(tmp_path, by_hand(sample_rate="16000")), rate=RATE)
    with refused("give one rate"):
        foreign.load(*written(tmp_path, by_hand(sample_rate="fast")))


def test_audioset_s_classes_are_in_their_own_order() -> None:
    names = foreign.AUDIOSET.read_text().splitlines()
    assert len(names) == len(set(names)) == CLASSES
    assert (names[0], names[DOG], names[BARK], names[POUR]) == ("Speech", "Dog", "Bark", "Pour")
