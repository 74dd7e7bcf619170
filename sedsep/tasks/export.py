"""task=export: a trained network as an ONNX file, for programs without PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from sedsep import checkpoints
from sedsep.checkpoints import exported
from sedsep.checkpoints.exporting import Exported, graph_of, in_int8, write
from sedsep.checkpoints.finding import find
from sedsep.checkpoints.onnx_files import SUFFIX
from sedsep.dsp import snr_db
from sedsep.errors import PROGRAM, UserError
from sedsep.types import SedOutput, Separation


def run(config: DictConfig) -> dict[str, float]:
    """Export the network of `config.ckpt`, and say how well the file agrees with it.

    Raises:
        UserError: there is no checkpoint, or it cannot be exported, or the file cannot be written.
    """
    task = config.task
    if not config.ckpt:
        raise UserError("task=export needs a trained network: add ckpt=PATH of a separator or an SED model.")
    source = find(config.ckpt, Path(config.paths.cache))
    target = source.with_suffix(SUFFIX) if task.target is None else Path(task.target)
    if target.suffix != SUFFIX:
        raise UserError(f"task.target={target} is no name of an ONNX file: give one that ends in {SUFFIX}.")
    checkpoint = checkpoints.load(source, checkpoints.describe(source).kind)
    made = graph_of(checkpoint, task.seconds, task.iters)
    made = in_int8(made) if task.int8 else made
    write(made, target)
    description = made.description
    size = target.stat().st_size / 1e6
    takes = "any length" if description.length is None else f"{description.length} samples"
    print(
        f"{source} holds a {description.kind} model, scale {description.scale}, {len(description.labels)} classes",
        f"Written to {target}: {size:.1f} MB, ONNX opset {exported.OPSET}, {description.weights}",
        f"It takes {takes} at {description.input_rate} Hz",
        sep="\n",
    )
    agreement = agreement_db(made, checkpoint, target)
    print(f"Agrees with PyTorch to {agreement:.1f} dB")
    if description.kind == "separator":
        print(f"Use it: {PROGRAM} task=separate audio=PATH ckpt={target} tagger.ckpt=PATH")
    else:
        print(f"Use it: tagger.ckpt={target} beside task=separate")
    return {"agreement_db": agreement}


def agreement_db(made: Exported, checkpoint: checkpoints.Checkpoint, path: Path) -> float:
    """How well a file in onnxruntime agrees with its network in PyTorch, on noise: the least signal-to-noise ratio."""
    mixture, *query = made.example
    given = mixture[:1], *(rows[:1, : made.description.outputs] for rows in query)
    passes = (made.description.passes,) if query else ()
    networks = checkpoint.network, exported.load(path, made.description.kind)
    with torch.inference_mode():
        pairs = zip(*(_answers(network(*given, *passes)) for network in networks), strict=True)
        return min(float(snr_db(ours.double().flatten(), theirs.double().flatten(), 1e-30)) for ours, theirs in pairs)


def _answers(output: Separation | SedOutput) -> list[Tensor]:
    if isinstance(output, Separation):
        return [output.estimates]
    strong = output.strong_probabilities
    return [output.clip_probabilities] if strong is None else [output.clip_probabilities, strong]
