"""The values of each call as items of their own.

Where there are none a mark stands, as for an item that was dropped: a reader that has to wait for an item could get far
ahead of others that read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from papy._base.errors import Dropped, PiperError, dropped
from papy._base.failures import place
from papy._streams.base import NOTHING, ResumableStream
from papy._streams.descent import Parents


class Flattened(ResumableStream):
    """The values of each item of a stream.

    Args:
        calls: For each call an iterator over its values, a tuple of them, or a failure, which may bring those before it.
        values: Gives the items that a call has become.

    Attributes:
        parents: Knows which call each of the last items is of.
    """

    __slots__ = ("_taken", "_values", "_values_of", "parents")

    def __init__(self, calls: Iterator[Any], values: Callable[[Any], Iterator[Any]]) -> None:
        super().__init__(calls)
        self._values_of = values
        self.parents = Parents()
        self._taken: Any = NOTHING
        self._values: Iterator[Any] | None = None

    def _pull(self) -> None:
        while True:
            if self._values is None:
                if self._taken is NOTHING:
                    items = self._items
                    for self._taken in items:
                        break
                    else:
                        raise StopIteration
                    self.parents.call += 1
                self._values = self._values_of(self._taken)
            values = self._values
            for held in values:
                self._held = held
                break
            else:
                self._values, self._taken = None, NOTHING
                continue
            self.parents.note(self.count.given, self.parents.call)
            if isinstance(self._held, PiperError):
                self._held.__dict__.pop("_before", None)
                place(self._held, self.parents.call)
            return


def values_of(number: int, taken: Any) -> Iterator[Any]:
    """The items that a call of the piper with this number has become."""
    if isinstance(taken, Dropped):
        return iter((taken,))
    if isinstance(taken, PiperError):
        return iter((*taken.__dict__.get("_before", ()), taken))
    return iter(taken or (dropped(frozenset([number])),))
