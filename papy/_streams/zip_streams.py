"""Several streams side by side as one stream of rows, one of them out of that, and items beside their numbers.

A row is given when all of it is there. What was taken for it before an interrupt waits in its cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from papy._base.checks import counted
from papy._base.errors import DaggerError
from papy._evaluate.counts import Count
from papy._streams.base import ResumableStream


class ZipStrict(ResumableStream):
    """Rows with one item of each stream; a `DaggerError` names the stream that ends before the others.

    Args:
        streams: What to read.
        names: What to call each in the error.
        where: What reads them, for the error.
    """

    __slots__ = ("_cells", "_names", "_streams", "_where")

    def __init__(self, streams: Sequence[Iterator[Any]], names: Sequence[str], where: str) -> None:
        super().__init__(iter(()))
        self._streams = streams
        self._names = names
        self._where = where
        self._cells: list[list[Any]] = [[] for _ in streams]

    def _reads(self) -> Sequence[object]:
        return self._streams

    def _pull(self) -> None:
        for cell, stream in zip(self._cells, self._streams, strict=True):
            if not cell:  # else it was taken before an interrupt
                cell.extend(islice(stream, 1))
        ended = [name for name, cell in zip(self._names, self._cells, strict=True) if not cell]
        if len(ended) == len(self._cells):
            raise StopIteration
        if ended:
            longer = [name for name, cell in zip(self._names, self._cells, strict=True) if cell]
            ends, goes = " and ".join(ended), " and ".join(longer)
            verb = "goes" if len(longer) == 1 else "go"
            raise DaggerError(
                f"{self._where}: {ends} ended after {counted(self.count.given, 'item')}, {goes} {verb} on"
            )
        row = [cell[0] for cell in self._cells]
        fresh: list[list[Any]] = [[] for _ in self._cells]
        self._held = row
        self._cells = fresh


class ZipShares(ResumableStream):
    """Rows with so many items of each stream, as long as there are any; for streams that give different numbers of them.

    Args:
        streams: What to read.
        shares: How many items of each go into a row.
    """

    __slots__ = ("_row", "_shares", "_streams")

    def __init__(self, streams: Sequence[Iterator[Any]], shares: Sequence[int]) -> None:
        super().__init__(iter(()))
        self._streams = streams
        self._shares = shares
        self._row: list[Any] = []

    def _reads(self) -> Sequence[object]:
        return self._streams

    def _pull(self) -> None:
        for stream, share in zip(self._streams, self._shares, strict=True):
            self._row.extend(islice(stream, share))
        if not self._row:
            raise StopIteration
        row = self._row
        self._held = row
        self._row = []


class Column(ResumableStream):
    """One output of rows."""

    __slots__ = ("_place",)

    def __init__(self, rows: Iterator[Any], place: int) -> None:
        super().__init__(rows)
        self._place = place

    def _pull(self) -> None:
        for row in self._items:
            self._held = row[self._place]
            return
        raise StopIteration


class Numbered(ResumableStream):
    """Pairs of the index of an item and the item, counted from 0."""

    __slots__ = ()

    def _pull(self) -> None:
        for item in self._items:
            self._held = self.count.given, item
            return
        raise StopIteration


class Numbering:
    """A call for such pairs, in a chain, where each item comes by itself.

    Args:
        call: What to call.
        count: How many items the chain has given.
    """

    __slots__ = ("_call", "_count")

    def __init__(self, call: Callable[[Any], Any], count: Count) -> None:
        self._call = call
        self._count = count

    def __call__(self, item: Any) -> Any:
        return self._call((self._count.given, item))
