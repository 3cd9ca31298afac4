"""Guarantees 8 and 40: items and results of all sizes, both ways, and heavy functions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from numap import IMap

SIZES = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 20 << 20]
STARTS = ["forkserver", "spawn", "fork"]


def mirror(data: bytes) -> tuple[int, bytes]:
    return len(data), data[::-1]


def resize(pair: tuple[bytes, int]) -> tuple[int, bytes]:
    return len(pair[0]), bytes(pair[1])


@pytest.mark.parametrize("start", STARTS)
def test_8_all_sizes_mixed_both_ways(start: str) -> None:
    dice = Random(8)
    sizes = [(dice.choice(SIZES), dice.choice(SIZES)) for _ in range(24)]

    def items() -> Iterator[tuple[bytes, int]]:
        for there, back in sizes:
            yield bytes(there), back

    with IMap(resize, items(), worker_num=2, start_method=start) as imap:
        for there, back in sizes:
            length, data = next(imap)
            assert (length, len(data)) == (there, back)


def test_8_with_a_worker_for_each_item() -> None:
    sizes = [*SIZES, *reversed(SIZES)]
    found = [(length, len(data)) for length, data in IMap(mirror, map(bytes, sizes), max_items_per_worker=1)]
    assert found == [(size, size) for size in sizes]


def test_8_large_items_down_a_chain() -> None:
    imap: IMap[Any] = IMap(worker_num=2)
    sizes = [5 << 20, 0, 3 << 20, 33 << 10, 50 << 10, 1 << 10]
    data = imap.add_task(bytes, sizes)
    lengths = imap.add_task(len, data)
    with imap:
        assert list(lengths) == sizes


def test_40_a_heavy_global_goes_once_to_each_worker() -> None:
    class Heavy:
        pickled = 0

        def __init__(self) -> None:
            self.data = bytes(4 << 20)

        def __getstate__(self) -> dict[str, bytes]:
            Heavy.pickled += 1
            return {"data": self.data}

    heavy = Heavy()

    def use(x: int) -> tuple[int, int]:
        return os.getpid(), x + len(heavy.data)

    found = list(IMap(use, range(10_000), worker_num=2))
    assert [value for _, value in found] == [x + (4 << 20) for x in range(10_000)]
    assert Heavy.pickled == 1


def test_40_a_warning_above_100_megabytes() -> None:
    ballast = bytes(101 << 20)
    with pytest.warns(RuntimeWarning, match=r"101 MB of code, constant arguments and globals"):
        assert list(IMap(lambda x: x + len(ballast), [1], worker_num=1)) == [1 + (101 << 20)]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("character", ["a", "\xe9", "\u4e2d", "\U0001f40d", "\ud800"])
def test_82_texts_are_measured_in_bytes(start: str, character: str) -> None:
    """Around each size at which a text goes another way, in characters and in bytes; a warning would be an error here."""
    width = len(character.encode("utf-8", "surrogatepass"))
    sizes = {(size + more) // part for size in (4096, 1 << 16, 1 << 17) for more in (-1, 0, 1) for part in {1, width}}
    texts = [character * size for size in sorted(sizes)]
    assert list(IMap(str, texts, worker_num=2, start_method=start)) == texts
