"""Recurrences in a precision that every device has."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def recur(cell: nn.RNNBase, x_bsv: Tensor) -> Tensor:
    """What a recurrence makes of sequences.

    On a processor it computes in its weights' precision, also under autocast, for many have no LSTM in bfloat16.

    Args:
        cell: the recurrence, `batch_first`.
        x_bsv: B sequences of S steps with V features.

    Returns:
        [B, S, V'], V' of both directions.
    """
    if x_bsv.device.type != "cpu":
        return cell(x_bsv)[0]
    with torch.autocast("cpu", enabled=False):
        return cell(x_bsv.to(next(cell.parameters()).dtype))[0]
