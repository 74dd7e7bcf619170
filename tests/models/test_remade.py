"""Training that makes again what it does not keep: its gradients beside those of plain autograd."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from minis import noise
from torch import Tensor, distributed, multiprocessing, nn
from torch.autograd.graph import saved_tensors_hooks

from sedsep.models.remade import Remade, train_block
from sedsep.models.resunet import ResidualBlock, UNet
from sedsep.modules.film import FilmNorm, FilmTerm

WIDTHS = [4, 6, 8]


def shaken(network: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    for index, parameter in enumerate(network.parameters()):
        parameter.data += 0.1 * noise(*parameter.shape, seed=index)
    return network.to(dtype).to(memory_format=torch.channels_last).train()


def leaf(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return noise(*shape, seed=seed).to(dtype).requires_grad_()


def make_terms(
    channels: Sequence[int], frames: Sequence[int], gated: bool, rows: int = 2, dtype: torch.dtype = torch.float32
) -> list[FilmTerm]:
    """Leaves; a gate where a bias has a value a frame."""
    terms = []
    for seed, (c, t) in enumerate(zip(channels, frames, strict=True)):
        gate = leaf(rows, c, t, 1, seed=100 + seed, dtype=dtype) if gated and t > 1 else None
        terms.append(FilmTerm(leaf(rows, c, t, 1, seed=seed, dtype=dtype), gate))
    return terms


def leaves(terms: Sequence[FilmTerm]) -> list[Tensor]:
    return [tensor for term in terms for tensor in (term.bias, term.gate) if isinstance(tensor, Tensor)]


@pytest.mark.parametrize("stages", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("kind", ["same width", "two parts", "upsampled beside a skip"])
def test_gradients_of_a_block_are_its_slopes(kind: str, gated: bool, stages: bool) -> None:
    double = torch.float64
    x, stem = leaf(2, 4, 2, 3, seed=1, dtype=double), None
    if kind == "same width":
        parts, channels, frames = [x], [4, 4], [2, 1]
    elif kind == "two parts":
        parts, channels, frames = [x, leaf(2, 2, 2, 3, seed=2, dtype=double)], [6, 4], [1, 2]
    else:
        parts, channels, frames = [x, leaf(2, 3, 4, 3, seed=2, dtype=double)], [4, 6, 4], [2, 4, 1]
        stem = (shaken(FilmNorm(4), double), shaken(nn.ConvTranspose2d(4, 3, (2, 1), (2, 1), bias=False), double))
    block = shaken(ResidualBlock(channels[-2], channels[-1]), double)
    terms = make_terms(channels, frames, gated, dtype=double)
    weights = [p for module in (block, *(stem or ())) for p in module.parameters()]

    def run(*_: Tensor) -> Tensor:
        return train_block(block, parts, iter(terms), Remade(stages), stem)

    assert torch.autograd.gradcheck(run, [*parts, *leaves(terms), *weights], fast_mode=True)


def gradients(net: UNet, remade: Remade | None, gated: bool, rows: int = 2) -> tuple[list[Tensor], list[Tensor], int]:
    """What a network gives and its gradients; its statistics; bytes kept for the backward pass."""
    net = copy.deepcopy(net)
    net.remade = remade
    x = leaf(rows, WIDTHS[0], 8, 16, seed=1)
    terms = make_terms([site.channels for site in net.sites], [8 >> site.level for site in net.sites], gated, rows)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = net(x, terms, [])
    (y * noise(*y.shape, seed=9)).sum().backward()
    grads = [tensor.grad for tensor in (x, *net.parameters(), *leaves(terms))]
    return [y.detach(), *grads], list(net.buffers()), sum(kept.values())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_a_network_learns_the_same_whatever_is_made_again(gated: bool, frozen: bool) -> None:
    net = shaken(UNet(WIDTHS))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(not frozen)
    wanted, statistics, everything = gradients(net, None, gated)
    norm = max(grad.norm() for grad in wanted[1:])
    kept = []
    for remade in (Remade(), Remade(stages=True)):
        found, found_statistics, bytes_kept = gradients(net, remade, gated)
        assert (found[0] - wanted[0]).norm() <= 1e-6 * wanted[0].norm()
        for one, other in zip(found[1:], wanted[1:], strict=True):
            assert (one - other).norm() <= 1e-6 * norm
        for one, other in zip(found_statistics, statistics, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
        kept.append(bytes_kept)
    assert kept[1] < kept[0] < everything


def _rank(rank: int, folder: str, net: UNet) -> None:
    """One of two processes, each with a row of two."""
    net = copy.deepcopy(net)  # its memory is the other one's, too
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    x = leaf(2, WIDTHS[0], 8, 16, seed=1)
    terms = make_terms([site.channels for site in net.sites], [8 >> site.level for site in net.sites], True)
    own = [FilmTerm(*(t if t is None else t[rank : rank + 1] for t in (term.bias, term.gate))) for term in terms]
    y = net(x[rank : rank + 1], own, [])
    (y * noise(2, *y.shape[1:], seed=9)[rank]).sum().backward()
    for tensor in [x, *net.parameters(), *leaves(terms)]:  # each has the part of its own row
        distributed.all_reduce(tensor.grad)
    if rank == 0:
        grads = [tensor.grad for tensor in (x, *net.parameters(), *leaves(terms))]
        torch.save((grads, list(net.buffers())), f"{folder}/found.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_synchronised_norms_see_the_batches_of_all_processes(tmp_path: Path) -> None:
    net = shaken(UNet(WIDTHS))
    (_, *wanted), statistics, _ = gradients(net, Remade(), gated=True)
    together = nn.SyncBatchNorm.convert_sync_batchnorm(net).to(memory_format=torch.channels_last)
    multiprocessing.spawn(_rank, (str(tmp_path), together), nprocs=2)
    grads, found_statistics = torch.load(tmp_path / "found.pt")
    norm = max(grad.norm() for grad in wanted)
    for one, other in zip(grads, wanted, strict=True):
        assert (one - other).norm() <= 1e-6 * norm
    for one, other in zip(found_statistics, statistics, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
