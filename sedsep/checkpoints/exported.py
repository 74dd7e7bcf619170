"""Networks in ONNX files, written by `task=export` and run by onnxruntime: what their files say, and reading them.

A file of somebody else's is data: it is a plain network (`onnx_files`), and fits what it says of itself before it is
run.

Axes: B mixtures, M microphones, L samples, K queries of a mixture, N classes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from sedsep import __version__
from sedsep.checkpoints import onnx_files, own
from sedsep.checkpoints.onnx_files import LARGEST, SUFFIX
from sedsep.dsp import fit_length
from sedsep.errors import UserError, printable
from sedsep.labels import LabelSet
from sedsep.types import SedOutput, Separation

ENTRY = "sedsep"
"""What a file says of itself, JSON."""
FORMAT = 1
OPSET = 20
LONGEST_ENTRY = 2**20
INPUTS = {"sed": ("mixture",), "separator": ("mixture", "query")}
OUTPUTS = {"sed": ("clip", "frames"), "separator": ("estimates",)}


@dataclass(frozen=True)
class GraphDescription:
    """What an exported network says of itself.

    Attributes:
        kind: `sed` or `separator`.
        scale: name of the sizes it was made with.
        labels: its classes.
        input_rate: Hz of what it hears.
        microphones: that it hears; 1 for an SED model that listens to one of any number.
        outputs: queries answered at once, of a separator; 1 for any number of queries.
        passes: refinement passes that it takes, of a separator.
        length: samples that it takes; `None` for any number.
        shortest: samples of the shortest clip that it can hear.
        stride: samples, at multiples of which the chunks of a long recording begin.
        weights: `float32` or `int8`.
    """

    kind: str
    scale: str
    labels: tuple[str, ...]
    input_rate: int
    microphones: int
    outputs: int
    passes: int
    length: int | None
    shortest: int
    stride: int
    weights: str
    format: int = FORMAT
    version: str = __version__

    def entry(self) -> str:
        """As stored in a file."""
        return json.dumps({**asdict(self), "labels": list(self.labels)})

    def check(self) -> None:
        """Refuse what no network can be.

        Raises:
            UserError: labels, a kind, a format or a size that is none.
        """
        LabelSet(self.labels)
        length = self.shortest if self.length is None else self.length
        sizes = (self.input_rate, self.microphones, self.outputs, self.passes, self.shortest, self.stride, length)
        fits = min(sizes) >= 1 and max(sizes) <= LARGEST and length >= self.shortest
        if self.kind not in INPUTS or self.format != FORMAT or not fits:
            raise UserError("The kind, the format or a size is none of a network.")


class ExportedSed(nn.Module):
    """An SED model in an ONNX file, in the place of a `SedModel` that listens."""

    def __init__(self, description: GraphDescription, session: Any) -> None:
        super().__init__()
        self.description, self._session = description, session
        self.input_rate, self.shortest, self.longest = description.input_rate, description.shortest, description.length

    def forward(self, mixture: Tensor) -> SedOutput:
        """Detect events in [B, M, L]; layer features are not exported."""
        clip, *frames = _run(self._session, self.description, mixture)
        return SedOutput(clip, torch.logit(frames[0], torch.finfo(torch.float32).eps) if frames else None)


class ExportedSeparator(nn.Module):
    """A separator with its guide in an ONNX file, in the place of a `GuidedSeparator` that separates."""

    sed = None  # what guides it cannot be asked what it hears
    iters = 0  # passes are those that it was exported with

    def __init__(self, description: GraphDescription, session: Any) -> None:
        super().__init__()
        self.description, self._session = description, session
        self.input_rate, self.microphones = description.input_rate, description.microphones
        self.classes, self.outputs = len(description.labels), description.outputs
        self.trained_passes = description.passes
        self.shortest, self.longest, self.stride = description.shortest, description.length, description.stride

    def check_passes(self, passes: int | None) -> None:
        """Refuse passes that it was not exported with.

        Raises:
            UserError: others were asked for.
        """
        if passes not in (None, self.trained_passes):
            raise UserError(
                f"{passes} passes were asked of a separator that was exported with {self.trained_passes}: export it "
                f"with task.iters={passes}."
            )

    def listen(self, mixture: Tensor) -> None:
        """Its guide listens with every run."""

    def forward(
        self, mixture: Tensor, query: Tensor, passes: int | None = None, guidance: SedOutput | None = None
    ) -> Separation:
        """See `GuidedSeparator.forward`; it guides itself, and of its passes there is only what the last one gives."""
        self.check_passes(passes)
        estimates = _run(self._session, self.description, mixture, query)[0]
        return Separation(estimates, [estimates] * self.trained_passes)


def _run(session: Any, description: GraphDescription, mixture: Tensor, *others: Tensor) -> list[Tensor]:
    """What a graph makes of mixtures [B, M, L], on their device.

    Raises:
        UserError: a longer mixture than it takes, or it ends with an error or gives something else than it should.
    """
    length = mixture.shape[2]
    if description.length is not None and length > description.length:
        raise UserError(
            f"The network was exported for {description.length} samples and is given {length}: export it with "
            "task.seconds=null."
        )
    given = (fit_length(mixture, description.length or length), *others)
    arrays = [tensor.detach().cpu().float().numpy() for tensor in given]
    try:
        found = session.run(None, dict(zip(INPUTS[description.kind], arrays, strict=True)))
    except Exception as error:  # onnxruntime's are of many kinds
        raise UserError(
            f"The exported network cannot take {list(mixture.shape)} samples ({printable(str(error))}): export it anew."
        ) from error
    tensors = [torch.from_numpy(array).to(mixture.device) for array in found]
    wanted = len(mixture), others[0].shape[1] if others else len(description.labels)
    if description.kind == "separator":
        tensors = [tensor[..., :length] for tensor in tensors]
    if any(tuple(tensor.shape[:2]) != wanted for tensor in tensors):
        raise UserError("The exported network gives other answers than it says: give one that task=export wrote.")
    return tensors


def network(path: Path, kind: str, labels: LabelSet | None = None) -> tuple[Any, LabelSet]:
    """The network of an exported file or of a checkpoint, in evaluation mode, and its classes.

    Args:
        path: the file.
        kind: `sed` or `separator`.
        labels: classes it must have.

    Raises:
        UserError: as `load` and `sedsep.checkpoints.load`.
    """
    if path.suffix == SUFFIX:
        found = load(path, kind, labels)
        return found, LabelSet(found.description.labels)
    loaded = own.load(path, kind, labels)
    return loaded.network.eval(), LabelSet(loaded.description.labels)


def load(path: Path, kind: str, labels: LabelSet | None = None) -> ExportedSed | ExportedSeparator:
    """A network of an ONNX file that `task=export` wrote.

    Args:
        path: the file.
        kind: `sed` or `separator`.
        labels: classes it must have.

    Raises:
        UserError: no such file, damaged, not one of ours, of another kind or of other classes; onnxruntime is missing.
    """
    content, model, description = _read(path)
    if description.kind != kind:
        raise UserError(f"{path} holds a {description.kind} model where a {kind} model is needed: give another file.")
    if labels is not None and description.labels != labels.names:
        raise UserError(f"{path} knows other classes than the separator: give two that were trained on the same data.")
    _check_graph(path, model, description)
    del model
    session = onnx_files.session(path, content)
    return (ExportedSed if kind == "sed" else ExportedSeparator)(description, session)


def describe(path: Path) -> GraphDescription:
    """What an exported network says of itself.

    Raises:
        UserError: no such file, damaged, or not one of ours; onnxruntime is missing.
    """
    return _read(path)[2]


def _read(path: Path) -> tuple[bytes, Any, GraphDescription]:
    """The bytes of a file, what they hold and what that says of itself."""
    content, model = onnx_files.read(path)
    return content, model, _description(path, model)


def _description(path: Path, model: Any) -> GraphDescription:
    entries = [entry.value for entry in model.metadata_props if entry.key == ENTRY]
    if len(entries) != 1 or len(entries[0]) > LONGEST_ENTRY:
        raise UserError(f"{path} does not say what network it holds (no entry '{ENTRY}'): give one task=export wrote.")
    try:
        description = TypeAdapter(GraphDescription).validate_json(entries[0])
        description.check()
    except (ValidationError, UserError) as error:
        wrong = error.errors()[0]["loc"] if isinstance(error, ValidationError) else str(error).rstrip(".")
        wrong = printable(str(wrong[0] if isinstance(wrong, tuple) and wrong else wrong))
        raise UserError(f"{path} describes its network wrongly ({wrong}): give one that task=export wrote.") from error
    return description


def _check_graph(path: Path, model: Any, description: GraphDescription) -> None:
    """Refuse a graph that is no plain network, and one whose inputs and outputs are not those it describes.

    Raises:
        UserError: as `check_plain`, or other inputs or outputs.
    """
    onnx_files.check_plain(path, model)
    graph = model.graph
    inputs, outputs = ([value.name for value in values] for values in (graph.input, graph.output))
    shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input]
    microphones = 0 if description.kind == "sed" and description.microphones == 1 else description.microphones
    wanted = [[0, microphones, description.length or 0]]
    if description.kind == "separator":
        slots = description.outputs if description.outputs > 1 else 0
        wanted.append([0, slots, len(description.labels)])
    expected = list(INPUTS[description.kind]), list(OUTPUTS[description.kind])[: len(outputs)]
    if (inputs, outputs) != expected or not outputs or shapes != wanted:
        raise UserError(f"{path} takes or gives other things than it says: give one that task=export wrote.")
