"""What one consumer of a piper with ``route=True`` gets: the items that are sent to it, and in the places of others a mark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papy._base.errors import dropped
from papy._evaluate.routing import Routed
from papy._streams.base import NOTHING, ResumableStream


class Selected(ResumableStream):
    """The items of one branch.

    Args:
        items: What the piper gives: items with the places of their branches, and failures, which all consumers get.
        place: The place of the branch.
        number: The number of the piper.
    """

    __slots__ = ("_number", "_place", "_taken")

    def __init__(self, items: Iterator[Any], place: int, number: int) -> None:
        super().__init__(items)
        self._place = place
        self._number = number
        self._taken: Any = NOTHING

    def _pull(self) -> None:
        if self._taken is NOTHING:
            items = self._items
            for self._taken in items:
                break
            else:
                raise StopIteration
        item = self._taken
        if isinstance(item, Routed):
            item = item.item if item.place == self._place else dropped(frozenset([self._number]))
        self._held = item
        self._taken = NOTHING
