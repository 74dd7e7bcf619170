"""Writing networks as ONNX files (`sedsep.checkpoints.exported` reads them).

Axes: B mixtures, M microphones, L samples, K queries of a mixture, N classes.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sedsep.checkpoints.exported import ENTRY, INPUTS, OPSET, OUTPUTS, GraphDescription
from sedsep.checkpoints.onnx_files import LARGEST
from sedsep.checkpoints.own import Checkpoint
from sedsep.errors import UserError, reason
from sedsep.files import whole
from sedsep.models.graphs import SedGraph, SeparatorGraph
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.models.unlabelled import check_asked

SMALLEST_INT8 = 256
"""Weights of fewer values stay as they are: biases, norms and the like."""
FIXED = ("analysis", "synthesis", "envelope", "kernel", "mel_basis")
"""Buffers of graphs that hold no weights."""
UNITS = 2.5
"""Units of the SED model that the example of a free length has: whole ones, and a rest."""


@dataclass(frozen=True)
class Exported:
    """A network as a graph.

    Attributes:
        model: ONNX.
        description: what it says of itself.
        example: inputs.
    """

    model: Any
    description: GraphDescription
    example: tuple[Tensor, ...]


def graph_of(checkpoint: Checkpoint, seconds: float | None = None, iters: int | None = None) -> Exported:
    """A network of ours as an ONNX graph.

    Args:
        checkpoint: the network.
        seconds: of the clips that it takes; `None` for any number.
        iters: refinement passes of a separator; `None` for as many as it was trained with.

    Raises:
        UserError: onnx or onnxscript is missing, clips too short for the network, passes that it cannot do, or a
            separator that is told no labels.
    """
    try:
        import onnxscript  # noqa: F401 - what torch exports with, and brings onnx
    except ImportError as error:
        raise UserError(
            "Exporting needs onnx and onnxscript: install them with pip install 'sedsep[export]'."
        ) from error
    network = checkpoint.network.eval()
    check_asked(network)
    assert isinstance(network, SedModel | GuidedSeparator)
    kind, labels = checkpoint.description.kind, checkpoint.description.labels
    graph: nn.Module
    if isinstance(network, GuidedSeparator):
        network.check_passes(iters)
        passes = network.trained_passes if iters is None else iters
        graph, outputs, stride = SeparatorGraph(network, passes), network.outputs, network.stride
        sed, microphones = network.sed, network.microphones
    else:
        graph, outputs, stride, passes, sed = SedGraph(network), 1, 1, 1, network
        microphones = network.microphones
    length = None if seconds is None else round(seconds * network.input_rate)
    shortest = max(part.shortest for part in (network, sed) if part is not None)
    if length is not None and length < shortest:
        least = shortest / network.input_rate
        raise UserError(f"task.seconds={seconds} is too short for this network: give at least {least:.3f}, or null.")
    description = GraphDescription(
        *(kind, checkpoint.description.scale, labels, network.input_rate, microphones, outputs, passes),
        *(length, shortest, stride, "float32"),
    )

    # Sizes of 2 and more: those of 0 and 1 would be taken for all there are.
    heard = microphones
    if isinstance(network, SedModel) and microphones == 1:
        heard = max(2, network.reference_channel + 1)  # any number, of which it listens to one
    samples = length or max(_example_length(sed), 3 * stride, 2 * shortest)
    mixture = 0.01 * torch.randn(2, heard, samples, generator=torch.Generator().manual_seed(0))
    slots = outputs if outputs > 1 else 3
    query = torch.eye(len(labels)).repeat(2 * slots, 1)[: 2 * slots].view(2, slots, -1)
    example = (mixture, query) if kind == "separator" else (mixture,)
    dynamic = torch.export.Dim.DYNAMIC
    shapes: dict[str, dict[int, Any]] = {"mixture": {0: dynamic}, "query": {0: dynamic}}
    if length is None:
        shapes["mixture"][2] = dynamic
    if heard != microphones:
        shapes["mixture"][1] = dynamic
    if outputs == 1:
        shapes["query"][1] = dynamic
    names = INPUTS[kind]
    made = OUTPUTS[kind][: 1 if isinstance(network, SedModel) and network.strong_head is None else None]
    program = _export(graph, example, names, made, {name: shapes[name] for name in names})
    return Exported(program.model_proto, description, example)


def _example_length(sed: SedModel | None) -> int:
    """Samples of an example of a free length, that has all parts a clip can have."""
    if sed is None:
        return 0
    frontend = sed.backbone.frontend
    frames = int(UNITS * sed.backbone.unit_frames)
    return frames * frontend.stft.hop * frontend.input_rate // frontend.sample_rate


def _export(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    shapes: dict[str, dict[int, Any]],
) -> Any:
    """Torch's own export, without its remarks.

    Raises:
        UserError: torch cannot export a part of the network.
    """
    root = logging.getLogger()
    threshold = root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                *(graph, example),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            "torch cannot export this network (recurrences of a free length are one reason): give task.seconds, or "
            "another variant."
        ) from error
    finally:
        logging.disable(threshold)


def in_int8(exported: Exported) -> Exported:
    """The same network with its large weights as int8, and a scale for each index of their longest axis; what is
    computed with them stays float32. Spectra, filters and mel bands keep their bits: they are not learnt."""
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    model = ModelProto()
    model.CopyFrom(exported.model)
    kept, nodes = [], []
    for tensor in model.graph.initializer:
        shape = list(tensor.dims)
        fixed = tensor.name.rpartition(".")[2] in FIXED
        if tensor.data_type != TensorProto.FLOAT or len(shape) < 2 or np.prod(shape) < SMALLEST_INT8 or fixed:
            kept.append(tensor)
            continue
        values = numpy_helper.to_array(tensor)
        axis = int(np.argmax(shape))
        others = tuple(index for index in range(len(shape)) if index != axis)
        scale = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
        names = [f"{tensor.name}.int8", f"{tensor.name}.scale"]
        kept.append(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), names[0]))
        kept.append(numpy_helper.from_array(scale.astype(np.float32).ravel(), names[1]))
        nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return replace(exported, model=model, description=replace(exported.description, weights="int8"))


def write(exported: Exported, path: Path) -> None:
    """Write a file, whole or not at all.

    Raises:
        UserError: it cannot be written, or is larger than the format can hold.
    """
    from onnx import helper

    helper.set_model_props(exported.model, {ENTRY: exported.description.entry()})
    if exported.model.ByteSize() > LARGEST:
        raise UserError("The network is larger than the 2 GiB of an ONNX file: export it with task.int8=true.")
    try:
        with whole(path) as partial:
            partial.write_bytes(exported.model.SerializeToString())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({reason(error)}): give another task.target.") from error
