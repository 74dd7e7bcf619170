"""What was costly to make and is likely to be asked for again."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from sedsep.types import FloatArray


class Kept:
    """The arrays that were asked for last, as many as fit.

    Args:
        most: bytes that they take together.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._arrays: dict[Hashable, FloatArray] = {}  # the one asked for last comes last
        self._size = 0

    def get(self, key: Hashable, make: Callable[[], FloatArray]) -> FloatArray:
        """An array, made unless it is here; nobody may write to it."""
        array = self._arrays.pop(key, None)
        if array is None:
            array = make()
            array.setflags(write=False)
            self._size += array.nbytes
        self._arrays[key] = array
        while self._size > self.most:
            self._size -= self._arrays.pop(next(iter(self._arrays))).nbytes
        return array
