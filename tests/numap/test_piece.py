"""Items that a worker claims by the piece."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from numap import IMap
from numap._page import CLAIMED, EPOCH
from numap._piece import _MOST, _SHORT, Piece

ITEMS = list(range(1000))


@pytest.fixture
def words() -> memoryview:
    return memoryview(bytearray(64)).cast("Q")


def grown(words: memoryview) -> Piece:
    """A piece of the largest size."""
    piece = Piece(words)
    for _ in range(20):
        assert piece.claim(ITEMS, 0, 0, words[EPOCH]) is not None
        piece.end(0.0)
    return piece


def claim(piece: Piece, place: int, epoch: int = 0) -> Iterator[int]:
    claimed = piece.claim(ITEMS, place, place, epoch)
    assert claimed is not None
    return claimed


def test_the_first_piece_is_one_item_and_short_ones_make_it_grow(words: memoryview) -> None:
    piece = Piece(words)
    sizes = []
    for _ in range(8):
        sizes.append(len(list(claim(piece, 5))))
        assert words[CLAIMED] == 5 + sizes[-1]
        piece.end(_SHORT / 2)
    assert sizes == [1, 2, 4, 8, 16, 32, 32, 32]
    list(claim(piece, 0))
    piece.end(2 * _SHORT)
    assert len(list(claim(piece, 0))) == 1


def test_nothing_is_claimed_of_what_was_recalled(words: memoryview) -> None:
    piece = grown(words)
    words[EPOCH] = 1
    assert piece.claim(ITEMS, 7, 7, 0) is None
    assert words[CLAIMED] == 7
    words[CLAIMED] = 50  # another job's
    piece.cut(0)
    assert words[CLAIMED] == 50


@pytest.mark.parametrize("begun", [0, 1, 5, _MOST])
def test_a_cut_ends_the_piece_behind_the_items_that_have_begun(begun: int, words: memoryview) -> None:
    piece = grown(words)
    left = claim(piece, 100)
    seen = [next(left) for _ in range(begun)]
    piece.cut(0)
    assert words[CLAIMED] == 100 + _MOST, "nothing was recalled"
    words[EPOCH] = 1
    piece.cut(0)
    assert words[CLAIMED] == 100 + begun
    assert seen + list(left) == ITEMS[100 : 100 + begun]


def test_nothing_is_cut_between_pieces(words: memoryview) -> None:
    piece = grown(words)
    words[EPOCH] = 1
    words[CLAIMED] = 50
    piece.cut(0)
    assert words[CLAIMED] == 50


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_behind_a_slow_item_runs_elsewhere_or_waits_and_runs_once(
    ordered: bool, workers: int, tmp_path: Path
) -> None:
    """The slow ones come when pieces are long."""
    log = str(tmp_path / "log")

    def slow_at_times(x: int) -> int:
        with open(log, "a") as file:
            file.write(f"{x}\n")
        if x % 997 == 900:
            time.sleep(0.05)
        return x

    with IMap(slow_at_times, range(4000), worker_num=workers, ordered=ordered) as results:
        found = list(results)
    assert found == list(range(4000)) if ordered else sorted(found) == list(range(4000))
    assert sorted(map(int, Path(log).read_text().split())) == list(range(4000))


def test_a_stuck_item_holds_back_none_of_its_piece() -> None:
    def stuck(x: int) -> int:
        if x == 3000:
            time.sleep(10_000)
        return x

    with IMap(stuck, range(6000), worker_num=2, ordered=False) as results:
        assert sorted(next(results) for _ in range(5999)) == [x for x in range(6000) if x != 3000]
