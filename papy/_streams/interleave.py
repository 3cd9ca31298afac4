"""Rounds: how the results of one call are spread over a stream, and how they are collected again.

A piper that produces n results gives a stream with n items a *round*. With a stride of s the first results of s calls come
first, then their second results, and so on: with s = 3 and n = 2 the stream is ``a1 b1 c1 a2 b2 c2``. At the end there may
be fewer calls left; then the stride is shorter there. So only whole blocks of calls can be spread or collected, and only the
last one may be shorter. The functions decide, and know no streams; `Blocks` applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from papy._base.errors import is_failure
from papy._streams.base import ResumableStream
from papy._streams.source import Ending


def interleave(block: list[Any], produce: int, stride: int, width: int = 1, repeat: bool = False) -> list[Any]:
    """The items that a block of results becomes.

    Args:
        block: For each call the tuple of its results, or its failure: this takes the place of each of them. A block has
            ``width * stride`` calls, the last one may have ``width`` times fewer.
        produce: How many results a call has.
        stride: How many calls are spread together.
        width: How many calls belong together.
        repeat: The block has one result for each call, which is given ``produce`` times.

    >>> interleave([(11, 12), (21, 22), (31, 32), (41, 42)], 2, 2)
    [11, 21, 12, 22, 31, 41, 32, 42]
    """
    stride = _stride(block, stride, width)
    rows = [(item,) * produce if repeat or is_failure(item) else item for item in block]
    parts = (rows[start : start + stride] for start in range(0, len(rows), stride))
    return [row[place] for part in parts for place in range(produce) for row in part]


def deinterleave(block: list[Any], consume: int, stride: int, width: int | None = None) -> list[list[Any]]:
    """The groups of items that are consumed together.

    Args:
        block: Items: ``width * stride``, the last time perhaps fewer.
        consume: How many items a group has; a last group may have fewer.
        stride: How many items apart those of a group are.
        width: How many items were produced together; None: they were not, and have no place but the one in the stream.

    >>> deinterleave([11, 21, 31, 12, 22, 32], 2, 3, 2)
    [[11, 12], [21, 22], [31, 32]]
    >>> deinterleave([11, 21, 12, 22], 2, 3, 2)
    [[11, 12], [21, 22]]
    >>> deinterleave([1, 2, 3, 4], 2, 3)
    [[1, 4], [2], [3]]
    """
    if width is not None:
        stride = _stride(block, stride, width)
    size = consume * stride
    parts = (block[start : start + size] for start in range(0, len(block), size))
    return [part[first::stride] for part in parts for first in range(min(stride, len(part)))]


def split(results: Mapping[int, Any], stride: int, spawn: int, ending: Ending | None) -> list[dict[int, Any]]:
    """The results of each spawn: they take turns in strides.

    Args:
        results: By the index of their call.
        stride: How many calls a turn has.
        spawn: How many turns a block has.
        ending: Of what the calls are given; None: the end is not known, so the last call that there is stands for it.

    >>> split({0: 10, 1: 20, 2: 11, 3: 21, 4: 30, 5: 31}, 2, 2, None)
    [{0: 10, 1: 20, 2: 30}, {0: 11, 1: 21, 2: 31}]
    """
    found: list[dict[int, Any]] = [{} for _ in range(spawn)]
    if ending is None:
        block, rest = divmod(max(results, default=-1) + 1, spawn * stride)
        ending = Ending(block, -(-rest // spawn))
    for index, result in results.items():
        block, at = divmod(index, spawn * stride)
        each = ending.stride if block == ending.block else stride
        turn = min(at // each, spawn - 1)  # results that came late may be too many
        found[turn][block * stride + at - turn * each] = result
    return found


def _stride(block: list[Any], stride: int, width: int) -> int:
    """The stride of a block: in the last one it may be shorter."""
    return min(stride, -(-len(block) // width)) or 1


class Blocks(ResumableStream):
    """A stream that is taken in blocks, each of which a function turns into other items.

    Args:
        items: The stream.
        size: How many items a block has; the last one may have fewer.
        turn: Makes a list of items of a block.
        stride: The stride of the blocks.

    Attributes:
        ending: Told when the end is known; it does not hold the stream.
    """

    __slots__ = ("_at", "_block", "_error", "_made", "_number", "_over", "_size", "_stride", "_turn", "ending")

    def __init__(
        self, items: Iterator[Any], size: int, turn: Callable[[list[Any]], list[Any]], stride: int = 1
    ) -> None:
        super().__init__(items)
        self.ending = Ending()
        self._stride = stride
        self._number = 0
        self._size = size
        self._turn = turn
        self._block: list[Any] = []
        self._made: list[Any] = []
        self._at = 0
        self._over = False
        self._error: Exception | None = None

    def _pull(self) -> None:
        while self._at >= len(self._made):
            self._read()
            if not self._block:
                raise self._error or StopIteration
            made = self._turn(self._block)
            if len(self._block) < self._size:
                self.ending.stride = -(-len(self._block) * self._stride // self._size)
                self.ending.block = self._number
            # No call may stand between these: an interrupt comes before all or after all.
            self._made = made
            self._number += 1
            self._at = 0
            self._block = []
        self._held, self._at = self._made[self._at], self._at + 1

    def _read(self) -> None:
        """Complete the block, as far as there are items; what ends them is raised when all before it has been given."""
        try:
            while not self._over and len(self._block) < self._size:
                before = len(self._block)
                # One call, so that an item that was taken is in the block.
                self._block.extend(islice(self._items, self._size - before))
                self._over = len(self._block) == before
        except Exception as error:
            self._error, self._over = error, True
