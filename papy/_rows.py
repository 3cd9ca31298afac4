"""Rows: several streams side by side, as one stream, and one of them out of that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from papy._errors import DaggerError
from papy._flow import Steady

__all__ = ["Column", "InStep", "Shares"]


class InStep(Steady):
    """Rows with one item of each stream; a `DaggerError` names the stream that ends before the others.

    Args:
        streams: What to read.
        names: What to call each in the error.
        where: Who reads them, for the error.
    """

    __slots__ = ("_cells", "_names", "_streams", "_where")

    def __init__(self, streams: Sequence[Iterator[Any]], names: Sequence[str], where: str) -> None:
        super().__init__()
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
            raise DaggerError(f"{self._where}: {ends} ended after {self.count.given} items, {goes} {verb} on")
        row = [cell[0] for cell in self._cells]
        fresh: list[list[Any]] = [[] for _ in self._cells]
        self._held = row
        self._cells = fresh


class Shares(Steady):
    """Rows with so many items of each stream, as long as there are any; for streams that give different numbers of them.

    Args:
        streams: What to read.
        shares: How many items of each go into a row.
    """

    __slots__ = ("_row", "_shares", "_streams")

    def __init__(self, streams: Sequence[Iterator[Any]], shares: Sequence[int]) -> None:
        super().__init__()
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


class Column(Steady):
    """One output of rows."""

    __slots__ = ("_items", "_place")

    def __init__(self, rows: Iterator[Any], place: int) -> None:
        super().__init__()
        self._items = rows
        self._place = place

    def _reads(self) -> Sequence[object]:
        return (self._items,)

    def _pull(self) -> None:
        for row in self._items:
            self._held = row[self._place]
            return
        raise StopIteration
