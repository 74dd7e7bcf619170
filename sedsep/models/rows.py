"""Queries as the rows that a separator works on, and in evaluation only those that sound, as many at once as fit.

Axes: B mixtures, K queries of a mixture, R rows (one query of one mixture each, or all of them), O outputs of a row,
N classes, L samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

WIDEST_ON_CPU = 1 << 26
"""Elements of the widest map that several rows may share on a CPU: 256 MiB in float32; more would only take memory."""
MAPS_ON_GPU = 8
"""Parts of a GPU's memory that a row's widest map in float32 may be one of: on a CPU a row held about six such maps."""


@dataclass(frozen=True)
class Rows:
    """Work to do.

    Attributes:
        item: the mixture of each row [R].
        slot: its place among the mixture's queries [R]; `None` where a row answers all of them.
        query: one-hot [R, N], or [R, K * N].
    """

    item: Tensor
    slot: Tensor | None
    query: Tensor

    @classmethod
    def of(cls, query: Tensor, together: bool, silent: bool) -> Rows:
        """The rows of queries [B, K, N].

        Args:
            query: zeros for silence.
            together: one row for all queries of a mixture, not one each.
            silent: with those of silent queries, which only training needs.
        """
        if together:
            return cls(torch.arange(len(query), device=query.device), None, query.flatten(1))
        active = torch.ones_like(query[..., 0], dtype=torch.bool) if silent else query.any(dim=2)
        item, slot = active.nonzero(as_tuple=True)
        return cls(item, slot, query[item, slot])

    def split(self, widest: int) -> Iterator[Rows]:
        """Parts that fit a device together.

        Args:
            widest: elements of a row's widest map.
        """
        device = self.item.device
        room = WIDEST_ON_CPU
        if device.type == "cuda":
            room = torch.cuda.get_device_properties(device).total_memory // (4 * MAPS_ON_GPU)
        count = max(1, room // widest)
        for start in range(0, len(self.item), count):
            part = slice(start, start + count)
            yield Rows(self.item[part], None if self.slot is None else self.slot[part], self.query[part])

    def of_slots(self, waveform_bkl: Tensor) -> Tensor:
        """What belongs to each row of waveforms [B, K, L] of the queries: [R, O, L]."""
        return waveform_bkl[self.item] if self.slot is None else waveform_bkl[self.item, self.slot][:, None]

    def assemble(self, waveform_rol: Tensor, query: Tensor) -> Tensor:
        """Rows' waveforms [R, O, L] in the places of their queries [B, K, N]: [B, K, L], zeros for silence."""
        if self.slot is None:
            return waveform_rol * query.any(dim=2, keepdim=True)
        estimates = waveform_rol.new_zeros(*query.shape[:2], waveform_rol.shape[-1])
        estimates = estimates.index_put((self.item, self.slot), waveform_rol[:, 0])
        return estimates * query.any(dim=2, keepdim=True)
