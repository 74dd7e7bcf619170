"""Training: the same steps as `resunet` and `film` take, of which only what convolutions give is kept.

What a convolution is given (its input normalised, conditioned and activated) is made again in the backward pass: two
passes over memory spare most of it. A decoder's upsampled map is made again, too, and its skip is the encoder's own.

Axes: R rows (queries), C channels, T frames, F bins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from sedsep.modules.film import FilmNorm, FilmTerm
from sedsep.modules.steps import Convolution, Step, channels_last, flat, frame_sums, joined

if TYPE_CHECKING:
    from sedsep.models.resunet import ResidualBlock

DEVICES = ("cpu", "cuda")
"""Those whose BatchNorm can be had in its two halves; others train by plain autograd."""

Layers = tuple[FilmNorm | None, Convolution]


@dataclass(frozen=True)
class Remade:
    """What is made again in the backward pass, beside what convolutions are given.

    Attributes:
        stages: what the first convolution of each block and the network itself give, too, for half a forward pass.
    """

    stages: bool = False


def train_block(
    block: ResidualBlock,
    parts: Sequence[Tensor],
    terms: Iterator[FilmTerm],
    remade: Remade,
    stem: Layers | None = None,
    head: nn.Conv2d | None = None,
) -> Tensor:
    """`ResidualBlock` with nothing kept but its parts and what its first convolution gives.

    Args:
        block: in training mode.
        parts: [R, c, T, F] each, concatenated along channels.
        terms: what the stem's norm and the block's are told.
        remade: what is not kept.
        stem: norm and convolution that the first part goes through before; what they give is not kept.
        head: convolution that the block's output goes through.
    """
    device = parts[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else parts[0].dtype
    parts = [channels_last(part.to(dtype)) for part in parts]
    layers: dict[str, Layers | None] = {
        "stem": stem,
        "first": (block.norm1, block.conv1),
        "second": (block.norm2, block.conv2),
        "shortcut": (None, block.shortcut) if isinstance(block.shortcut, nn.Conv2d) else None,
        "head": None if head is None else (None, head),
    }
    there = {name: layer for name, layer in layers.items() if layer is not None}
    tensors = [tensor for norm, conv in there.values() for tensor in Step.tensors(norm, conv, terms)]
    return _Block.apply(there, remade, len(parts), *parts, *tensors)


def remake(run: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """A function of tensors of which only these are kept: it runs again in the backward pass."""
    return _Again.apply(run, *tensors)


class _Again(Function):
    @staticmethod
    def forward(ctx: Any, run: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(*tensors)
        return run(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        wanted = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            inputs = [
                tensor.detach().requires_grad_(want) for tensor, want in zip(ctx.saved_tensors, wanted, strict=True)
            ]
            found = torch.autograd.grad(ctx.run(*inputs), [t for t in inputs if t.requires_grad], grad)
        remaining = iter(found)
        return None, *(next(remaining) if want else None for want in wanted)


class _Block(Function):
    """`train_block` as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, layers: Mapping[str, Layers], remade: Remade, count: int, *tensors: Any) -> Tensor:
        parts, steps = list(tensors[:count]), _steps(layers, tensors[count:])
        if "stem" in steps:
            steps["stem"] = steps["stem"].measure(parts[:1])
            parts[0] = steps["stem"].forward(parts[:1])
        steps["first"] = steps["first"].measure(parts)
        inner = steps["first"].forward(parts)
        steps["second"] = steps["second"].measure([inner])
        y = _outer(steps, parts, inner)
        ctx.layers, ctx.count = layers, count
        kept = [None, None] if remade.stages else [inner, y if "head" in steps else None]
        ctx.save_for_backward(*tensors[:count], *kept, *(tensor for step in steps.values() for tensor in step[:8]))
        return steps["head"].forward([y]) if "head" in steps else y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        *parts, inner, y = ctx.saved_tensors[: ctx.count + 2]
        steps, grad, x = _steps(ctx.layers, ctx.saved_tensors[ctx.count + 2 :]), channels_last(grad), parts[0]
        found: dict[str, list[Any]] = {}
        early = inner is None
        if "stem" in steps and early:
            parts[0] = steps["stem"].forward([x])
        if early:
            inner = steps["first"].forward(parts)
        if "head" in steps:
            y = _outer(steps, parts, inner) if y is None else y
            grad, found["head"] = steps["head"].backward(grad, y)
        of_inner, found["second"] = steps["second"].backward(grad, inner)
        if "stem" in steps and not early:
            parts[0] = steps["stem"].forward([x])
        firsts = zip(steps["first"].split(parts), parts, strict=True)
        of_parts, of_first = map(list, zip(*(step.backward(of_inner, part) for step, part in firsts), strict=True))
        found["first"] = joined(of_first)
        if "shortcut" in steps:
            pieces = zip(steps["shortcut"].split(parts), parts, of_parts, strict=True)
            of_kernels = [step.shortcut_backward(grad, part, of_part) for step, part, of_part in pieces]
            found["shortcut"] = [*[None] * 6, torch.cat(of_kernels, dim=1), frame_sums(grad).sum((0, 2, 3))]
        else:
            of_parts[0].add_(grad)
        if "stem" in steps:
            of_parts[0], found["stem"] = steps["stem"].backward(of_parts[0], x)
        return None, None, None, *of_parts, *(tensor for name in steps for tensor in found[name])


def _steps(layers: Mapping[str, Layers], tensors: Sequence[Any]) -> dict[str, Step]:
    return {
        name: Step._make([*tensors[8 * index : 8 * index + 8], *of]) for index, (name, of) in enumerate(layers.items())
    }


def _outer(steps: Mapping[str, Step], parts: Sequence[Tensor], inner: Tensor) -> Tensor:
    """What the second convolution gives, with the shortcut from `parts`."""
    shortcut = steps.get("shortcut")
    y = steps["second"].forward([inner], shortcut and shortcut.offset)
    if shortcut is None:
        return y.add_(parts[0])
    for part, step in zip(parts, shortcut.split(parts), strict=True):
        flat(y).addmm_(flat(part), step.kernel[:, :, 0, 0].T.to(y.dtype))
    return y
