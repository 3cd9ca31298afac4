"""A region of the shared memory file: which blocks of it are in use, and where there is room. For its owner alone.

One process gives out the blocks of a region, so it needs no lock. The others only say in the table that they use a block no
more. The owner finds that out when it needs room, by a look through the table.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

#: Blocks in one region at most.
BLOCKS: Final = 1024
#: An entry of the table: start and size of the block, then a byte for each process.
PLACE: Final = struct.Struct("<QQ")
#: Blocks are whole pages, so that each can be mapped for itself.
PAGE: Final = mmap.PAGESIZE
#: Memory is asked of the system in steps of this.
_STEP: Final = 1 << 20
#: Regions smaller than this are not worth their table.
_LEAST: Final = 1 << 20


class Layout(NamedTuple):
    """How the file is divided.

    Attributes:
        columns: processes that may use it at a time.
        regions: start and size in bytes of each region; region 0 is the caller's.
    """

    columns: int
    regions: tuple[tuple[int, int], ...]

    @property
    def width(self) -> int:
        """Bytes of an entry of the table."""
        return (PLACE.size + self.columns + 7) // 8 * 8

    @property
    def size(self) -> int:
        """Bytes of the file."""
        start, size = self.regions[-1]
        return start + size

    def entry(self, block: int) -> int:
        """Where the entry of a block is."""
        return block * self.width

    def flag(self, block: int, column: int) -> int:
        """Where it is noted whether a process uses a block."""
        return self.entry(block) + PLACE.size + column

    def column(self, column: int) -> slice:
        """The bytes of one process in all entries."""
        return slice(PLACE.size + column, self.width * BLOCKS * len(self.regions), self.width)


def layout(workers: int, budget: int) -> Layout | None:
    """Half of the budget for the caller, half for the workers; None: that would be too little to be of use.

    Workers that were replaced may still be ending when their successors run, so there are more columns than workers.
    """
    columns = 4 * workers + 8
    start = -(-Layout(columns, ()).width * BLOCKS * (workers + 1) // PAGE) * PAGE
    regions = []
    for size in [budget // 2] + [budget // 2 // workers] * workers:
        size = size // PAGE * PAGE
        if size < _LEAST:
            return None
        regions.append((start, size))
        start += size
    return Layout(columns, tuple(regions))


class BlockAllocator:
    """Gives out blocks, the lowest room first: memory that was used before is the fastest.

    Args:
        memory: the whole file. Blocks that are in use already, of an owner before, stay.
        layout: of the file.
        number: of the region.
        reserve: makes sure that there is memory behind a range of the file; returns whether there is.
    """

    def __init__(self, memory: memoryview, layout: Layout, number: int, reserve: Callable[[int, int], bool]) -> None:
        self._memory = memory
        self._layout = layout
        self._start, self._size = layout.regions[number]
        self._reserve = reserve
        self._reserved = self._start
        self._zeros = bytes(layout.columns)
        blocks = range(number * BLOCKS, (number + 1) * BLOCKS)
        table = memory[layout.entry(blocks.start) : layout.entry(blocks.stop)].tobytes()
        fresh = not any(table)
        self._used = set() if fresh else {block for block in blocks if self._in_use(block)}
        self._unused = [block for block in reversed(blocks) if block not in self._used]
        self._gaps: list[tuple[int, int]] = []
        self._find_gaps()

    def _in_use(self, block: int) -> bool:
        at = self._layout.flag(block, 0)
        return self._memory[at : at + self._layout.columns] != self._zeros

    def _find_gaps(self) -> None:
        """Frees the blocks that are not in use any more."""
        free = {block for block in self._used if not self._in_use(block)}
        self._used -= free
        self._unused += free
        place = self._start
        gaps = []
        entries = (PLACE.unpack_from(self._memory, self._layout.entry(block)) for block in self._used)
        for start, size in sorted(entries):
            if start > place:
                gaps.append((place, start - place))
            place = start + size
        if self._start + self._size > place:
            gaps.append((place, self._start + self._size - place))
        self._gaps = gaps

    def allocate(self, size: int, column: int) -> int | None:
        """A new block in use by the process of ``column``; None: there is no room for it."""
        rounded = max(-(-size // PAGE), 1) * PAGE
        # Memory that is there already, then what has become free, then more memory.
        found = self._fit(rounded, self._reserved)
        if found is None or not self._unused:
            self._find_gaps()
            found = self._fit(rounded, self._reserved)
            if found is None:
                found = self._fit(rounded, self._start + self._size)
        if found is None or not self._unused:
            return None
        gap, start = found
        if not self._grow(start + rounded):
            return None
        block = self._unused.pop()
        self._used.add(block)
        PLACE.pack_into(self._memory, self._layout.entry(block), start, rounded)
        self._memory[self._layout.flag(block, column)] = 1
        length = self._gaps[gap][1]
        self._gaps[gap : gap + 1] = [(start + rounded, length - rounded)] if length > rounded else []
        return block

    def _fit(self, size: int, limit: int) -> tuple[int, int] | None:
        """The first gap that has room below ``limit``, and where it begins."""
        for number, (start, length) in enumerate(self._gaps):
            if start + size <= min(start + length, limit):
                return number, start
        return None

    def _grow(self, end: int) -> bool:
        """Makes sure that there is memory up to ``end``."""
        if end <= self._reserved:
            return True
        more = -(-(end - self._reserved) // _STEP) * _STEP
        more = min(more, self._start + self._size - self._reserved)
        if not self._reserve(self._reserved, more):
            return False
        self._reserved += more
        return True
