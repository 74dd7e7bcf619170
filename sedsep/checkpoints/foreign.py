"""Taggers of other people in ONNX files, such as those of AudioSet's 527 classes; a file says which are our labels.

Axes: B clips, L samples, N labels, C the network's own classes.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sedsep.checkpoints import onnx_files
from sedsep.errors import UserError, printable
from sedsep.files import read_json
from sedsep.labels import LabelSet
from sedsep.types import SedOutput

AUDIOSET = Path(__file__).with_name("audioset.txt")
"""Names of AudioSet's classes (Gemmeke et al. 2017; CC BY 4.0), in the order of its own list, which networks keep."""
RATES = range(1000, 1_000_001)
"""Hz."""
RATE_ENTRIES = ("sample_rate", "sampling_rate")
"""Where a file may say at what rate its network hears."""
PROBE_S = 1.0
"""Seconds of silence that a network of any length is tried with."""


class ForeignTagger(nn.Module):
    """A tagger in an ONNX file of somebody else's, in the place of a `SedModel` that listens to one microphone.

    Args:
        path: of the file.
        session: runs it.
        axes: of its input: 2 for [B, L], 3 for [B, 1, L].
        rate: Hz.
        length: samples that it takes; `None` for any number.
        columns: for each of N labels, the numbers of the classes that mean it.
        classes: C; `None` where any number will do that has those.

    Raises:
        UserError: it gives no probabilities of its classes.
    """

    microphones, reference_channel, shortest = 1, 0, 1

    def __init__(
        self,
        path: Path,
        session: Any,
        axes: int,
        rate: int,
        length: int | None,
        columns: Mapping[str, list[int]],
        classes: int | None,
    ) -> None:
        super().__init__()
        self.path, self._session, self._axes = path, session, axes
        self.input_rate, self.longest = rate, length
        self.columns, self._classes = dict(columns), classes
        self(torch.zeros(1, 1, length or round(PROBE_S * rate)))

    def forward(self, mixture: Tensor) -> SedOutput:
        """Tag the first channel of [B, M, L]: of the classes that mean a label, the likeliest counts."""
        clip_bc = torch.cat([self._tag(clip) for clip in mixture[:, :1]])
        return SedOutput(torch.stack([clip_bc[:, list(places)].amax(1) for places in self.columns.values()], dim=1))

    def _tag(self, clip_1l: Tensor) -> Tensor:
        """Probabilities [1, C] of a clip."""
        given = F.pad(clip_1l, (0, max(0, (self.longest or 0) - clip_1l.shape[1])))
        if self._axes == 3:
            given = given[None]
        (name,) = (value.name for value in self._session.get_inputs())
        try:
            found = self._session.run(None, {name: given.detach().cpu().float().numpy()})
        except Exception as error:  # onnxruntime's are of many kinds
            raise UserError(
                f"{self.path} cannot take a clip of {clip_1l.shape[1]} samples ({printable(str(error))}): export it "
                "with an input [batch, samples] of float32."
            ) from error
        needed = 1 + max(max(places) for places in self.columns.values())
        for array in found:
            fits = array.ndim == 2 and len(array) == 1 and array.shape[1] >= needed and array.dtype.kind == "f"
            if fits and self._classes in (None, array.shape[1]):
                answer = torch.from_numpy(array).float()
                if not ((answer >= 0) & (answer <= 1)).all():  # NaN is neither
                    raise UserError(
                        f"{self.path} gives values that are no probabilities (finite, from 0 to 1): export it with a "
                        "sigmoid at its end."
                    )
                return answer.to(clip_1l.device)
        wanted = f"[batch, {self._classes}]" if self._classes else f"[batch, classes], with {needed} classes or more"
        shapes = ", ".join(str(list(array.shape)) for array in found)
        raise UserError(f"{self.path} gives {shapes}, none of which is {wanted}: give a tagger, or other classes.")


def load(path: Path, meaning: Path, rate: int | None = None) -> ForeignTagger:
    """A tagger of an ONNX file that says nothing of our labels.

    Args:
        path: the file: from one input of float32, [batch, samples] or [batch, 1, samples], to probabilities
            [batch, classes].
        meaning: JSON, our labels with lists of the classes that mean them, by AudioSet's names, or by their numbers in
            the network's output from 0 on.
        rate: Hz that it hears, where the file does not say it (an entry `sample_rate`).

    Raises:
        UserError: a file is missing, damaged or more than a plain network, names no classes of the network, or has
            other inputs and outputs; the rate is told nowhere, or in two ways; onnxruntime is missing.
    """
    columns, named = _columns(meaning)
    content, model = onnx_files.read(path)
    onnx_files.check_plain(path, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.type.tensor_type for value in model.graph.input if value.name not in weights]
    shape = [dim.dim_value for dim in inputs[0].shape.dim] if len(inputs) == 1 else []
    if len(shape) not in (2, 3) or shape[0] > 1 or (len(shape) == 3 and shape[1] > 1) or inputs[0].elem_type != 1:
        raise UserError(
            f"{path} takes other things than mono clips of float32: export it with one input, [batch, samples] or "
            "[batch, 1, samples]."
        )
    hears = _rate(path, model, rate)
    length = shape[-1] if shape[-1] > 0 else None
    classes = len(_audioset()) if named else None
    return ForeignTagger(path, onnx_files.session(path, content), len(shape), hears, length, columns, classes)


def _columns(meaning: Path) -> tuple[dict[str, list[int]], bool]:
    """The numbers of the classes that mean each label, and whether any was given by name."""
    table = read_json(meaning, dict[str, list[int | str]], 'give JSON such as {"Dog": ["Bark", "Dog"]}')
    LabelSet(tuple(table))
    names = _audioset()
    for label, classes in table.items():
        if not classes:
            raise UserError(f"{meaning} names no class for {label}: name some, or leave the label out.")
        for one in classes:
            if isinstance(one, int) and one < 0:
                raise UserError(f"{meaning} names class {one} for {label}: outputs are counted from 0.")
            if isinstance(one, str) and one not in names:
                near = difflib.get_close_matches(one, names, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise UserError(
                    f"{meaning} names {printable(repr(one), 80)} for {label}, which is no class of AudioSet{hint}: "
                    "take its names, or the numbers of the network's outputs."
                )
    columns = {label: [names[one] if isinstance(one, str) else one for one in found] for label, found in table.items()}
    return columns, any(isinstance(one, str) for found in table.values() for one in found)


def _audioset() -> dict[str, int]:
    """AudioSet's classes with their numbers."""
    return {name: number for number, name in enumerate(AUDIOSET.read_text(encoding="utf-8").splitlines())}


def _rate(path: Path, model: Any, given: int | None) -> int:
    """Hz that a network hears, as the file says or a person."""
    told = {entry.value for entry in model.metadata_props if entry.key in RATE_ENTRIES}
    rates = {int(value) if value.isascii() and value.isdigit() and len(value) < 8 else 0 for value in told}
    rates |= {given} if given is not None else set()
    if len(rates) != 1 or not rates <= set(RATES):
        problem = "does not say at what rate it hears" if not rates else f"hears at {printable(str(sorted(rates)))} Hz"
        raise UserError(f"{path} {problem}: give one rate from {RATES[0]} to {RATES[-1]}, as in task.ear_rate=32000.")
    return rates.pop()
