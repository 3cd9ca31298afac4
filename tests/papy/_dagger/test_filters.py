"""Pipers that drop items: no failure, and nothing behind them hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper, Skip, SkipEntry

WORKERS = ("linear", "serial", "thread", "process")


def pool(kind: str, **options: Any) -> IMap[Any] | None:
    """What evaluates pipers of this kind."""
    return None if kind == "linear" else IMap(worker_type=kind, worker_num=2, **options)


def odd(number: int) -> int:
    if number % 2 == 0:
        raise SkipEntry
    return number


def third(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(number)
    return number


def third_dropped(number: int) -> int:
    if number % 3 == 0:
        raise SkipEntry
    return number


def same(number: Any) -> Any:
    return number


def pair(left: Any, right: Any) -> tuple[Any, Any]:
    return left, right


@pytest.mark.parametrize("kind", WORKERS)
def test_a_join_drops_the_partners_of_what_was_dropped(kind: str) -> None:
    imap = pool(kind)
    read, keep, other, both = (
        Piper(it, imap, unpack=True, retries=retries)
        for it, retries in ((same, None), (odd, 2), (same, None), (pair, None))
    )
    dagger = Dagger(pipes=[(read, keep, both), (read, other, both)])
    assert list(dagger.results([range(6)])) == [(1, 1), (3, 3), (5, 5)]
    figures = dagger.run([range(6)])
    assert figures.results == 3
    assert figures.skipped == figures.failed == 0
    assert [figures.items[it] for it in (read, keep, other, both)] == [6, 6, 6, 3]
    assert [figures.filtered[it] for it in (read, keep, other, both)] == [0, 3, 0, 0]


@pytest.mark.parametrize("kind", WORKERS)
def test_other_branches_are_not_touched(kind: str) -> None:
    imap = pool(kind)
    read, keep, other = (Piper(it, imap, unpack=True) for it in (same, odd, same))
    dagger = Dagger(pipes=[(read, keep), (read, other)])
    assert list(dagger.results([range(3)])) == [(Skip, 0), (1, 1), (Skip, 2)]
    with dagger:
        dagger.start([range(4)])
        assert list(keep) == [1, 3]
        assert list(other) == [0, 1, 2, 3]


def test_a_row_with_nothing_falls_out() -> None:
    read, keep, last = Piper(odd, unpack=True), Piper(same, unpack=True), Piper(same, unpack=True)
    assert list(Dagger(pipes=[(read, keep), (read, last)]).results([range(4)])) == [(1, 1), (3, 3)]


def test_a_failure_is_not_hidden_by_what_was_dropped() -> None:
    read, keep, fail, both = (Piper(it, unpack=True) for it in (same, odd, third, pair))
    dagger = Dagger(pipes=[(read, keep, both), (read, fail, both)])
    first, *others = dagger.results([[0, 1, 2, 3, 5]])
    assert first.piper == fail.name
    assert first.index == 0
    assert [others[0], others[2]] == [(1, 1), (5, 5)]
    assert others[1].index == 3
    figures = dagger.run([[0, 1, 2, 3, 5]])
    assert (figures.failed, figures.filtered[keep], figures.items[both]) == (2, 2, 2)


@pytest.mark.parametrize("kind", WORKERS)
def test_groups_and_rounds_with_a_dropped_member_are_dropped(kind: str) -> None:
    imap = pool(kind)
    both = Piper(lambda n: (n, n + 1), imap, produce=2, unpack=True)
    keep = Piper(third_dropped, imap, spawn=2, unpack=True)
    two = Piper(lambda inbox: [it[0] for it in inbox], imap, consume=2)
    assert list(Dagger(pipes=[(both, keep, two)]).results([range(6)])) == [[1, 2], [4, 5]]
    several = Piper(lambda inbox: (odd(inbox[0]), -inbox[0]), imap, produce=2)
    assert list(Dagger([several]).results([range(4)])) == [1, -1, 3, -3]


def test_skip_is_the_same_class() -> None:
    assert Skip is SkipEntry
