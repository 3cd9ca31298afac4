"""Blocks of a region: random histories against a plain model, and who is told that there is no room."""

from __future__ import annotations

import mmap
import random

import pytest

from numap._transport.allocator import BLOCKS, PAGE, PLACE, BlockAllocator, Layout, layout

MB = 1 << 20


class Memory:
    """The file of the tests: an anonymous mapping, and what was reserved of it."""

    def __init__(self, division: Layout, limit: int | None = None) -> None:
        self.memory = memoryview(mmap.mmap(-1, division.size))
        self.reserved: list[tuple[int, int]] = []
        self._limit = limit

    def reserve(self, offset: int, size: int) -> bool:
        if self._limit is not None and offset + size > self._limit:
            return False
        self.reserved.append((offset, size))
        return True


def divided(workers: int = 2, budget: int = 16 * MB) -> Layout:
    found = layout(workers, budget)
    assert found is not None
    return found


def holders(memory: memoryview, division: Layout, block: int) -> memoryview:
    at = division.entry(block) + PLACE.size
    return memory[at : at + division.columns]


def test_the_layout_has_a_region_for_each_writer_and_no_overlaps() -> None:
    division = divided(workers=3, budget=64 * MB)
    assert division.columns > 3 + 1 and len(division.regions) == 4
    ends = [division.entry(BLOCKS * 4)] + [start + size for start, size in division.regions]
    assert all(end <= start for end, (start, _) in zip(ends, division.regions, strict=False))
    assert sum(size for _, size in division.regions) <= 64 * MB and division.size == ends[-1]
    assert division.regions[0][1] == 32 * MB


@pytest.mark.parametrize("budget", [0, 1000, 2 * MB])
def test_too_little_memory_is_none(budget: int) -> None:
    assert layout(4, budget) is None


@pytest.mark.parametrize("seed", range(40))
def test_blocks_never_overlap_and_room_comes_back(seed: int) -> None:
    dice = random.Random(seed)
    division = divided()
    file = Memory(division)
    region = BlockAllocator(file.memory, division, 1, file.reserve)
    start, size = division.regions[1]
    used: dict[int, tuple[int, int]] = {}
    for _ in range(400):
        if used and dice.random() < 0.45:
            block = dice.choice(list(used))
            del used[block]
            holders(file.memory, division, block)[:] = bytes(division.columns)
        else:
            wanted = dice.choice([1, PAGE, 5000, 100_000, dice.randrange(1, MB)])
            given = region.allocate(wanted, dice.randrange(division.columns))
            if given is None:
                # There really is no gap: none between neighbours would hold it.
                places = sorted(used.values())
                edges = [start] + [offset + length for offset, length in places]
                nexts = [offset for offset, _ in places] + [start + size]
                assert all(edge + -(-wanted // PAGE) * PAGE > after for edge, after in zip(edges, nexts, strict=True))
                continue
            assert given not in used
            offset, length = PLACE.unpack_from(file.memory, division.entry(given))
            assert offset % PAGE == 0 and length >= wanted and start <= offset and offset + length <= start + size
            assert all(offset + length <= other or other + more <= offset for other, more in used.values())
            used[given] = offset, length
    # What was handed out lies in what was reserved.
    assert not used or max(offset + length for offset, length in used.values()) <= max(sum(it) for it in file.reserved)


def test_a_block_is_in_use_as_long_as_anybody_uses_it() -> None:
    division = divided()
    file = Memory(division)
    region = BlockAllocator(file.memory, division, 0, file.reserve)
    size = division.regions[0][1]
    block = region.allocate(size, 0)
    assert block is not None
    bytes_of = holders(file.memory, division, block)
    for column in range(division.columns):
        bytes_of[:] = bytes(division.columns)
        bytes_of[column] = 1
        assert region.allocate(1, 0) is None
    bytes_of[:] = bytes(division.columns)
    assert region.allocate(size, 0) is not None


def test_used_memory_is_used_again_before_more_is_asked_for() -> None:
    division = divided()
    file = Memory(division)
    region = BlockAllocator(file.memory, division, 1, file.reserve)
    for _ in range(1000):
        block = region.allocate(MB, 1)
        assert block is not None
        holders(file.memory, division, block)[1] = 0
    assert sum(size for _, size in file.reserved) == MB


def test_a_system_without_memory_is_no_room() -> None:
    division = divided()
    start, _ = division.regions[1]
    file = Memory(division, limit=start + MB)
    region = BlockAllocator(file.memory, division, 1, file.reserve)
    assert region.allocate(MB + 1, 1) is None
    assert region.allocate(MB, 1) is not None
    assert region.allocate(1, 1) is None


def test_more_blocks_than_the_table_has() -> None:
    division = divided()
    file = Memory(division)
    region = BlockAllocator(file.memory, division, 1, file.reserve)
    blocks = [region.allocate(1, 1) for _ in range(BLOCKS)]
    assert None not in blocks and len(set(blocks)) == BLOCKS
    assert region.allocate(1, 1) is None
    assert blocks[5] is not None
    holders(file.memory, division, blocks[5])[1] = 0
    assert region.allocate(1, 1) == blocks[5]


def test_the_next_owner_respects_what_is_in_use() -> None:
    division = divided()
    file = Memory(division)
    first = BlockAllocator(file.memory, division, 1, file.reserve)
    kept, dropped = first.allocate(MB, 0), first.allocate(MB, 1)
    assert kept is not None and dropped is not None
    holders(file.memory, division, dropped)[1] = 0
    second = BlockAllocator(file.memory, division, 1, file.reserve)
    size = division.regions[1][1]
    assert second.allocate(size - MB, 1) is not None
    assert second.allocate(1, 1) is None
