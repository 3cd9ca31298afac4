"""The functions that a worker has: those of its map from the start, or of many maps, which come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._base.errors import SerializationError
from .._modules.owners import Everything
from .._serialize.pickler import CodePickler
from .fused_calls import fused


class Refused:
    """Stands for a function that can't be loaded: each of its items fails, and says why."""

    def __init__(self, why: BaseException) -> None:
        self._why = why.with_traceback(None)

    def __call__(self, item: Any) -> Any:
        raise SerializationError(f"its function can't be loaded in this worker: {self._why}") from self._why


class Programs:
    """Functions by number, and chains of them as one.

    Args:
        calls: those of the start.
        words: of the progress page.
        copies: items get copies of buffers in any case.

    Attributes:
        encode: makes bytes of what goes to the caller.
        own: by program that was added, whether the moment at which an item begins is noted, and whether items get copies; empty:
            the same goes for all, since the start.
    """

    def __init__(self, calls: dict[int, Callable[[Any], Any]], words: memoryview, copies: bool) -> None:
        self._calls = calls
        self._words = words
        self._copies = copies
        self.encode = CodePickler(Everything()).encode
        self.own: dict[int, tuple[bool, bool]] = {}
        self._fused: dict[tuple[int, ...], Callable[[Any], Any]] = {}

    def call(self, chain: tuple[int, ...]) -> Callable[[Any], Any]:
        """The function for items that go through these programs."""
        if len(chain) == 1:
            return self._calls[chain[0]]
        known = self._fused.get(chain)
        if known is None:
            known = self._fused[chain] = fused([self._calls[it] for it in chain], self._words, self.encode)
        return known

    def add(self, number: int, call: Callable[[Any], Any], clocked: bool, copies: bool) -> None:
        """Another program."""
        self._calls[number] = call
        self.own[number] = clocked, copies or self._copies

    def forget(self, numbers: list[int]) -> None:
        """Lets programs go."""
        gone = set(numbers)
        for number in gone:
            self._calls.pop(number, None)
            self.own.pop(number, None)
        for chain in [chain for chain in self._fused if not gone.isdisjoint(chain)]:
            del self._fused[chain]
