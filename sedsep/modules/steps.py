"""A conditioned norm and the convolution that it is for, as one step with a backward pass of its own.

Axes: R rows (queries), C channels, T frames, F bins (and `F` for torch's functions, as everywhere).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from sedsep.modules.film import LEAKY_SLOPE, FilmNorm, FilmTerm, processes

Convolution = nn.Conv2d | nn.ConvTranspose2d


class Step(NamedTuple):
    """A conditioned norm by the statistics of its batch, or none, and a convolution.

    Attributes:
        weight: of the norm [C].
        shift: its bias [C].
        bias: of the condition, [R, C, 1, 1] or [R, C, T, 1]; `None` for 0.
        gate: of the condition, [R, C, T, 1]; `None` for 1.
        mean: of the batch [C], once measured.
        inverse: of its deviation [C].
        kernel: of the convolution.
        offset: its bias.
        norm: the module.
        conv: the module.
    """

    weight: Any
    shift: Any
    bias: Tensor | None
    gate: Tensor | None
    mean: Any
    inverse: Any
    kernel: Tensor
    offset: Tensor | None
    norm: FilmNorm | None
    conv: Convolution

    @staticmethod
    def tensors(norm: FilmNorm | None, conv: Convolution, terms: Iterator[FilmTerm]) -> list[Tensor | None]:
        """The first eight attributes, before the batch is measured."""
        if norm is None:
            return [*[None] * 6, conv.weight, conv.bias]
        film = next(terms)
        bias = film.bias if isinstance(film.bias, Tensor) else None
        return [norm.bn.weight, norm.bn.bias, bias, film.gate, None, None, conv.weight, conv.bias]

    @property
    def group(self) -> Any:
        """The processes whose batches are normalised together; `None` for this one alone."""
        return processes(None if self.norm is None else self.norm.bn)

    def measure(self, parts: Sequence[Tensor]) -> Step:
        """With the statistics of the concatenation of `parts`, which the running ones take in; or with these, where
        they are to stay as they are."""
        if self.norm is None:
            return self
        bn, group = self.norm.bn, self.group
        assert bn.running_mean is not None and bn.running_var is not None and bn.momentum is not None
        if not bn.training:
            return self._replace(mean=bn.running_mean.clone(), inverse=torch.rsqrt(bn.running_var + bn.eps))
        widths = [part.shape[1] for part in parts]
        running = zip(bn.running_mean.split(widths), bn.running_var.split(widths), strict=True)
        momentum = 0.0 if group else bn.momentum
        moments = [torch.batch_norm_update_stats(x, *own, momentum) for x, own in zip(parts, running, strict=True)]
        mean, variance = map(torch.cat, zip(*moments, strict=True))
        if group:
            count = parts[0].numel() / widths[0]
            sums = count * torch.stack([torch.ones_like(mean), mean, variance + mean.square()]).double()
            dist.all_reduce(sums, group=group)
            total, mean, square = sums[0], sums[1] / sums[0], sums[2] / sums[0]
            variance = square - mean.square()
            bn.running_mean.lerp_(mean.to(bn.running_mean), bn.momentum)
            bn.running_var.lerp_((variance * total / (total - 1)).to(bn.running_var), bn.momentum)
        if bn.num_batches_tracked is not None:
            bn.num_batches_tracked.add_(1)
        inverse = torch.rsqrt(variance + bn.eps)
        return self._replace(mean=mean.to(self.weight), inverse=inverse.to(self.weight))

    def split(self, parts: Sequence[Tensor]) -> list[Step]:
        """One for each of the parts that it takes together."""
        widths = [part.shape[1] for part in parts]
        whole = [self.weight, self.shift, self.bias, self.gate, self.mean, self.inverse, self.kernel]
        axes = [0, 0, 1, 1, 0, 0, 0 if self.conv.transposed else 1]
        pieces = [
            [None] * len(widths) if tensor is None else tensor.split(widths, axis)
            for tensor, axis in zip(whole, axes, strict=True)
        ]
        return [self._replace(**dict(zip(self._fields, piece, strict=False))) for piece in zip(*pieces, strict=True)]

    def affine(self, dtype: torch.dtype, gated: bool = True) -> tuple[Tensor, Tensor]:
        """Scale and bias of norm and condition, broadcast over [R, C, T, F]."""
        scale = self.weight * self.inverse
        bias = (self.shift - self.mean * scale)[None, :, None, None]
        scale = scale[None, :, None, None]
        bias = bias if self.bias is None else bias + self.bias
        if gated and self.gate is not None:
            scale, bias = scale * self.gate, bias * self.gate
        return scale.to(dtype), bias.to(dtype)

    def activate(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """What the convolution is given: x normalised, conditioned and activated, in new memory or in `out`."""
        if self.norm is None:
            return x
        scale, bias = self.affine(x.dtype)
        out = torch.empty_like(x) if out is None else out
        return F.leaky_relu_(torch.addcmul(bias, x, scale, out=out), LEAKY_SLOPE)

    def forward(self, parts: Sequence[Tensor], offset: Tensor | None = None) -> Tensor:
        """What the convolution makes of the concatenation of `parts`, with its own offset or another."""
        given = self.activate(parts[0]) if len(parts) == 1 else self._together(parts)
        offset = self.offset if offset is None else offset
        offset = None if offset is None else offset.to(given.dtype)
        return channels_last(torch.convolution(given, self.kernel.to(given.dtype), offset, *self.geometry))

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What torch's convolutions take after their tensors."""
        conv = self.conv
        return conv.stride, conv.padding, conv.dilation, conv.transposed, conv.output_padding, conv.groups

    def _together(self, parts: Sequence[Tensor]) -> Tensor:
        shape = (len(parts[0]), sum(part.shape[1] for part in parts), *parts[0].shape[2:])
        given = torch.empty(shape, dtype=parts[0].dtype, device=parts[0].device, memory_format=torch.channels_last)
        outs = given.split([part.shape[1] for part in parts], dim=1)
        for step, part, out in zip(self.split(parts), parts, outs, strict=True):
            step.activate(part, out)
        return given

    def backward(self, grad: Tensor, x: Tensor) -> tuple[Tensor, list[Any]]:
        """Gradients of x, and of the eight tensors.

        Args:
            grad: of what the convolution gave.
            x: the only part.
        """
        given, with_offset = self.activate(x), self.offset is not None
        sizes = [self.kernel.shape[0]] if with_offset else None
        of_given, of_kernel, of_offset = torch.ops.aten.convolution_backward(
            grad, given, self.kernel.to(x.dtype), sizes, *self.geometry, [True, True, with_offset]
        )
        of_given = channels_last(of_given)
        if self.norm is None:
            return of_given, [*[None] * 6, of_kernel, of_offset]
        torch.ops.aten.leaky_relu_backward.grad_input(of_given, given, LEAKY_SLOPE, True, grad_input=of_given)
        del given  # as wide a map as x
        of_x, of_norm = self._norm_backward(self.norm.bn, of_given, x)
        return of_x, [*of_norm, None, None, of_kernel, of_offset]

    def shortcut_backward(self, grad: Tensor, x: Tensor, of_x: Tensor) -> Tensor:
        """Gradient of the kernel of a 1x1 convolution; that of x is added to `of_x`."""
        flat(of_x).addmm_(flat(grad), self.kernel[:, :, 0, 0].to(grad.dtype))
        return (flat(grad).T @ flat(x))[:, :, None, None]

    def _norm_backward(self, bn: nn.Module, grad: Tensor, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Gradients of x, and of weight, shift, bias and gate.

        Args:
            bn: the norm's.
            grad: of what x became before its activation; overwritten.
            x: [R, C, T, F].
        """
        if self.gate is None and not self.group:  # torch's kernel reads the maps twice, what follows more often
            of_bias = None if self.bias is None else frame_sums(grad).sum_to_size(self.bias.shape)
            of_x, of_weight, of_shift = torch.ops.aten.native_batch_norm_backward(
                *(grad, x, self.weight, self.mean, self.inverse**-2, self.mean, self.inverse),
                *(bn.training, 0.0, [True, True, True]),  # whether by the batch's own statistics; eps
            )
            return of_x, [of_weight, of_shift, of_bias, None]
        work = grad * x
        scale, bias = self.affine(self.weight.dtype, gated=False)
        sums, products = (frame_sums(tensor).to(self.weight) for tensor in (grad, work))
        of_gate = None
        if self.gate is not None:
            of_gate = (scale * products + bias * sums).sum_to_size(self.gate.shape)
            sums, products, scale = self.gate * sums, self.gate * products, self.gate * scale
        of_bias = None if self.bias is None else sums.sum_to_size(self.bias.shape)
        of_shift = sums.sum((0, 2, 3))
        of_weight = (products.sum((0, 2, 3)) - self.mean * of_shift) * self.inverse
        scale = scale.to(x.dtype)
        if not bn.training:
            return grad.mul_(scale), [of_weight, of_shift, of_bias, of_gate]
        totals = torch.stack([of_shift, of_weight, torch.full_like(of_shift, x.numel() / x.shape[1])])
        if self.group:
            dist.all_reduce(totals, group=self.group)
        # What x does by way of the statistics of its batch.
        slope = -self.weight * self.inverse.square() * totals[1] / totals[2]
        constant = -self.weight * self.inverse * totals[0] / totals[2] - slope * self.mean
        slope, constant = (t.to(x.dtype)[None, :, None, None] for t in (slope, constant))
        of_x = torch.addcmul(constant, x, slope, out=work).addcmul_(grad, scale)
        return of_x, [of_weight, of_shift, of_bias, of_gate]


def joined(of_parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Gradients of the eight tensors of a step from those of its `split`."""
    if len(of_parts) == 1:
        return list(of_parts[0])
    axes = [0, 0, 1, 1, 0, 0, 1, 0]
    return [
        None if pieces[0] is None else torch.cat(pieces, axis)
        for pieces, axis in zip(zip(*of_parts, strict=True), axes, strict=True)
    ]


def frame_sums(x: Tensor) -> Tensor:
    """Sums of [R, C, T, F] over F, [R, C, T, 1]: as a matrix product, many times faster than `sum` channels-last."""
    rows, channels, frames, bins = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(rows * frames, bins, channels)
    return (x.new_ones(1, bins) @ flat).view(rows, frames, channels, 1).transpose(1, 2)


def channels_last(x: Tensor) -> Tensor:
    """x itself, or a copy of it that lies channels-last."""
    return x.contiguous(memory_format=torch.channels_last)


def flat(x: Tensor) -> Tensor:
    """A channels-last map [R, C, T, F] as its [R * T * F, C], without a copy."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])
