from __future__ import annotations

from functools import partial

import pytest
import torch
from minis import noise, refused, shaken
from torch import Tensor, nn

from sedsep.modules.dprnn import Dprnn

make_dprnn = partial(Dprnn, channels=6, hidden=5)


def read_lines(one: nn.Module, x: Tensor, axis: int) -> Tensor:
    """A pass of the specification, a line at a time: each is read along `axis`, projected and put back in its place."""
    other = 5 - axis
    lines = [one.linear(one.rnn(line.transpose(1, 2))[0]).transpose(1, 2) for line in x.unbind(other)]
    y = torch.stack(lines, dim=other)
    centred = y - y.mean((1, 2, 3), keepdim=True)
    normal = centred / (y.var((1, 2, 3), correction=0, keepdim=True) + 1e-8).sqrt()
    return x + normal * one.norm.weight[:, None, None] + one.norm.bias[:, None, None]


@torch.no_grad()
@pytest.mark.parametrize("cell", ["GRU", "LSTM", "RNN"])
def test_passes_alternate_along_time_and_frequency(cell: str) -> None:
    dprnn, x = shaken(make_dprnn(cell=cell)), noise(2, 6, 7, 4)
    y = x
    for time, frequency in zip(dprnn.time, dprnn.frequency, strict=True):
        y = read_lines(time, y, 2)
        y = read_lines(frequency, y, 3)
    expected = dprnn.output(torch.where(y > 0, y, dprnn.activation.weight * y))
    torch.testing.assert_close(dprnn(x), expected, atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("frames", "bins"), [(1, 1), (1, 4), (9, 1), (63, 16)])
def test_maps_of_any_size_keep_it(frames: int, bins: int) -> None:
    x = noise(2, 6, frames, bins)
    y = shaken(make_dprnn(layers=1))(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


def test_dropout_lies_between_stacked_layers_and_nowhere_else() -> None:
    x = noise(1, 6, 5, 4)
    stacked, single = make_dprnn(dropout=0.5).train(), make_dprnn(dropout=0.5, rnn_layers=1).train()
    assert not torch.equal(stacked(x), stacked(x))
    assert torch.equal(single(x), single(x))
    assert torch.equal(stacked.eval()(x), stacked(x))


def test_an_unknown_cell_or_position_is_refused() -> None:
    with refused("dprnn.cell=CNN is not known: choose one of GRU"):
        make_dprnn(cell="CNN")
    with refused("dprnn.position=beside"):
        make_dprnn(position="beside")
