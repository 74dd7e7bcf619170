"""ONNX files as they lie on a disk, whoever wrote them: read with nothing else opened, and plain networks alone.

What they take and give is checked by whoever knows it: `exported` of ours, `foreign` of other people's taggers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sedsep.errors import UserError, printable

SUFFIX = ".onnx"
LARGEST = 2**31 - 1
"""Bytes of a file: all that its format can hold."""


def read(path: Path) -> tuple[bytes, Any]:
    """The bytes of a file, and what they hold.

    Raises:
        UserError: no such file, too large or damaged; onnx or onnxruntime is missing.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - what runs it
    except ImportError as error:
        raise UserError(
            f"{path} needs onnx and onnxruntime: install them with pip install 'sedsep[export]'."
        ) from error
    if not path.is_file():
        raise UserError(f"There is no network at {path}: check the path.")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} is larger than 2 GiB, more than its format can hold: give a network in one file.")
    content = path.read_bytes()
    try:
        return content, onnx.load_model_from_string(content)
    except Exception as error:  # of protobuf, which is no dependency of ours
        raise UserError(f"{path} cannot be read as ONNX (damaged or cut off): fetch or export it again.") from error


def check_plain(path: Path, model: Any) -> None:
    """Refuse what is more than layers and their weights.

    Raises:
        UserError: weights in other files, graphs in graphs, or operators of other makers.
    """
    from onnx import AttributeProto, TensorProto

    graph = model.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [
        *graph.initializer,
        *(attribute.t for attribute in attributes if attribute.type == AttributeProto.TENSOR),
    ]
    plain = {
        getattr(AttributeProto, name) for name in ("FLOAT", "INT", "STRING", "TENSOR", "FLOATS", "INTS", "STRINGS")
    }
    strange = (
        any(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in tensors),
        any(attribute.type not in plain for attribute in attributes),
        any(node.domain not in ("", "ai.onnx") for node in graph.node),
        len(model.functions) or len(graph.sparse_initializer) or len(model.training_info),
    )
    if any(strange):
        raise UserError(f"{path} holds more than a plain network (other files, code or graphs): do not use it.")


def session(path: Path, content: bytes) -> Any:
    """What runs the network of a file that was checked.

    Raises:
        UserError: onnxruntime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's are of many kinds
        raise UserError(f"{path} cannot be run ({printable(str(error))}): export it again.") from error
