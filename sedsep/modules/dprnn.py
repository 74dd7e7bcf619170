"""Dual-path recurrence over the time and frequency axes of a feature map.

Axes: R rows, C channels, T frames, F bins.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from sedsep.errors import choice
from sedsep.modules.recurrence import recur

CELLS = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}


class _Pass(nn.Module):
    """A bidirectional recurrence along one axis, projected, normalised and added to its input."""

    def __init__(self, channels: int, hidden: int, cell: str, rnn_layers: int, dropout: float) -> None:
        super().__init__()
        self.rnn = CELLS[cell](
            channels, hidden, rnn_layers, batch_first=True, bidirectional=True, dropout=dropout if rnn_layers > 1 else 0
        )
        self.linear = nn.Linear(2 * hidden, channels)
        self.norm = nn.GroupNorm(1, channels, eps=1e-8)

    def forward(self, x_rcab: Tensor) -> Tensor:
        """Runs along axis a of [R, C, a, b]."""
        rows, channels, steps, others = x_rcab.shape
        sequence = x_rcab.permute(0, 3, 2, 1).reshape(rows * others, steps, channels)
        y = self.linear(recur(self.rnn, sequence))
        y = y.view(rows, others, steps, channels).permute(0, 3, 2, 1)
        return x_rcab + self.norm(y.contiguous())


class Dprnn(nn.Module):
    """Alternating passes along time and frequency, then PReLU and a 1x1 convolution: [R, C, T, F] to the same shape.

    Args:
        channels: C.
        layers: number of (time, frequency) pairs of passes.
        hidden: width of each direction.
        cell: GRU, LSTM or RNN.
        rnn_layers: stacked layers within a pass.
        dropout: between stacked layers.
        position: before or after the embedding injection at the bottleneck.
    """

    def __init__(
        self,
        channels: int,
        layers: int = 2,
        hidden: int = 256,
        cell: str = "GRU",
        rnn_layers: int = 2,
        dropout: float = 0.1,
        position: Literal["after", "before"] = "after",
    ) -> None:
        super().__init__()
        choice(cell, tuple(CELLS), "dprnn.cell")
        self.position = choice(position, ("after", "before"), "dprnn.position")
        self.time = nn.ModuleList(_Pass(channels, hidden, cell, rnn_layers, dropout) for _ in range(layers))
        self.frequency = nn.ModuleList(_Pass(channels, hidden, cell, rnn_layers, dropout) for _ in range(layers))
        self.activation = nn.PReLU()
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        for time, frequency in zip(self.time, self.frequency, strict=True):
            x = time(x)
            x = frequency(x.transpose(2, 3)).transpose(2, 3)
        return self.output(self.activation(x))
