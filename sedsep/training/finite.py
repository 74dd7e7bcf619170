"""Losses and gradients that are no longer finite, found without keeping a GPU waiting."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from sedsep.types import Batch


class NotFinite(Exception):
    """Says what has which value.

    Attributes:
        batch: that it came of.
    """

    def __init__(self, text: str, batch: Batch) -> None:
        super().__init__(text)
        self.batch = batch


@dataclass(frozen=True)
class _Value:
    name: str
    number: Tensor
    batch: Batch
    arrival: torch.cuda.Event | None


class FiniteCheck:
    """Looks at the numbers of each step: on a CPU at once, on a GPU when they have arrived, a step or two later.

    Attributes:
        batch: what is watched comes of it.
    """

    batch: Batch

    def __init__(self) -> None:
        self._waiting: deque[_Value] = deque()

    def watch(self, name: str, number: Tensor) -> None:
        """Have a number [] looked at by the coming checks."""
        arrival = None
        if number.is_cuda:
            number = torch.empty((), dtype=number.dtype, pin_memory=True).copy_(number, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record()
        self._waiting.append(_Value(name, number, self.batch, arrival))

    def check(self) -> None:
        """Look at all numbers that are here.

        Raises:
            NotFinite: one is infinite or NaN.
        """
        while self._waiting and ((arrival := self._waiting[0].arrival) is None or arrival.query()):
            value = self._waiting.popleft()
            if not math.isfinite(number := value.number.item()):
                raise NotFinite(f"{value.name} is {number}", value.batch)

    def wait(self) -> None:
        """Wait for the numbers that are on their way."""
        for value in self._waiting:
            if value.arrival is not None:
                value.arrival.synchronize()
