"""Failures know the items of the inputs that they descend from, and these can be given to the graph again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper

WORKERS = ("linear", "serial", "thread", "process")


def pool(kind: str, **options: Any) -> IMap[Any] | None:
    """What evaluates pipers of this kind."""
    return None if kind == "linear" else IMap(worker_type=kind, worker_num=2, **options)


def plus(number: int) -> int:
    return number + 100


def fails(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(number)
    return number


def twice(number: int) -> list[int]:
    return [number, number + 1]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", WORKERS)
def test_a_failure_says_which_item_of_the_input_it_was(kind: str, lazy: bool) -> None:
    imap = pool(kind)
    pipers = [Piper(it, imap, unpack=True) for it in (plus, fails, plus)]
    dagger = Dagger(pipes=[pipers])
    data: Any = iter(range(40)) if lazy else range(40)
    letters = dagger.run([data]).dead_letters
    assert letters.sources() == [it.source for it in letters] == list(range(2, 40, 3))
    again = dagger.run([letters.sources()])
    assert again.failed == again.results == len(letters)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", WORKERS)
def test_also_behind_what_changes_the_number_of_items(kind: str, lazy: bool) -> None:
    imap = pool(kind)
    spread = Piper(twice, imap, unpack=True, flatten=True)
    check = Piper(fails, imap, unpack=True)
    batch = Piper(sum, imap, unpack=True, batch=3)
    last = Piper(fails, imap, unpack=True)
    data = [1, 2, 5, 7, 10]  # 1 2 | 2 - | 5 - | 7 8 | 10 11, in batches of 5, 20 and 21
    letters = Dagger(pipes=[(spread, check, batch, last)]).run([iter(data) if lazy else data]).dead_letters
    found = sorted((it.piper, it.source) for it in letters)
    assert [source for piper, source in found if piper == check.name] == [2, 5]
    assert [source for piper, source in found if piper == last.name] == [10]
    assert letters.sources() == [2, 5, 10]


def test_of_several_inputs_each_is_named() -> None:
    left, right = Piper(plus, unpack=True), Piper(plus, unpack=True)
    join = Piper(lambda a, b: fails(a + b - 200), unpack=True)
    dagger = Dagger(pipes=[(left, join), (right, join)])
    letters = dagger.run([[1, 2, 3], iter([5, 6, 3])]).dead_letters
    assert [it.source for it in letters] == [(1, 5), (3, 3)]
    assert (letters.sources(0), letters.sources(1)) == ([1, 3], [5, 3])


@pytest.mark.parametrize("kind", ["serial", "thread"])
def test_of_an_unordered_map_only_the_first_piper_knows(kind: str) -> None:
    imap = IMap(worker_type=kind, ordered=False)
    first, second = Piper(fails, imap, unpack=True), Piper(lambda n: 1 // (n % 2), imap, unpack=True)
    letters = Dagger(pipes=[(first, second)]).run([range(6)]).dead_letters
    assert sorted(letters.sources()) == [0, 3]


class Item:
    """Something that can be watched."""


def test_an_iterator_is_not_kept_longer_than_its_items_are_on_their_way() -> None:
    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    most = 0

    def made() -> Iterator[Item]:
        nonlocal most
        for _ in range(200):
            gc.collect(0)
            most = max(most, len(alive))
            item = Item()
            alive.add(item)
            yield item
            del item

    for _ in Dagger(pipes=[(Piper(id, unpack=True), Piper(str, unpack=True))]).results([made()]):
        pass
    assert most <= 3
