"""Records travel in batches, and no item can tell: isolation, blame, order, retries and bounds are those of single items."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from numap import IMap, SerializationError, WorkerDied, join
from numap._items.segments import FAILED, PICKLED, PICKLES, RAW, Gatherer, item_of, part, singles, size_of
from tests.numap import work
from tests.numap.behaviour import record_items
from tests.numap.behaviour.record_items import ClosesThere, DiesThere, Row
from tests.numap.tools import each_seed

METHODS = ["forkserver", "fork"]


def record(value: object) -> Any:
    import pickle

    return PICKLED, 1, pickle.dumps(value, 5)


# ---------------------------------------------------------------------- segments


def test_neighbours_are_one_segment() -> None:
    a, b, c = record((1, 2)), record([3]), record({"x": 1})
    failed, large = (FAILED, 1, None), record(b"x" * 5000)
    assert Gatherer().segments([a, b, 7, 8, c, failed, a, large, b]) == [
        (PICKLES, 2, [a[2], b[2]]),
        (RAW, 2, [7, 8]),
        (PICKLES, 1, [c[2]]),
        failed,
        (PICKLES, 1, [a[2]]),
        large,
        (PICKLES, 1, [b[2]]),
    ]
    assert Gatherer().segments([(*a, 1), b]) == [(*a, 1), (PICKLES, 1, [b[2]])], (
        "one that says how far it came stands alone"
    )


def test_parts_of_records() -> None:
    (whole,) = Gatherer().segments([record([n]) for n in range(5)])
    assert size_of(whole) == sum(map(len, whole[2]))
    assert [item_of(it) for it in singles(part(whole, 1, 4), True)] == [[1], [2], [3]]
    assert item_of(part(whole, 4, 5)) == [4]


# ---------------------------------------------------------------------- isolation


@pytest.mark.parametrize("method", METHODS)
def test_items_share_no_object(method: str) -> None:
    shared: list[int] = []
    items = [(n, shared, {"x": shared}) for n in range(500)]
    found = list(IMap(record_items.append_and_count, items, start_method=method))
    assert found == [(n, [n], True) for n in range(500)]
    assert shared == []
    assert len({id(it[1]) for it in found}) == 500


def test_one_object_that_a_generator_changes() -> None:
    def source() -> Iterator[dict[str, int]]:
        one: dict[str, int] = {}
        for n in range(2000):
            one["n"] = n
            yield one

    assert list(IMap(work.identity, source())) == [{"n": n} for n in range(2000)]


def test_results_share_no_object() -> None:
    found = list(IMap(record_items.a_list_of_the_worker, range(500), worker_num=1))
    assert found == [[n + 1] for n in range(500)], "each as it was when its item was done"
    assert len(set(map(id, found))) == 500


# ---------------------------------------------------------------------- blame


@pytest.mark.parametrize("method", METHODS)
def test_an_item_that_can_not_be_opened_fails_alone(method: str) -> None:
    items = [ClosesThere(n) if n in (3, 400) else Row(n, "x") for n in range(600)]
    found = list(IMap(record_items.number_of, items, start_method=method, on_error="return"))
    assert [n for n, it in enumerate(found) if it != n] == [3, 400]
    assert all(isinstance(found[n], SerializationError) and found[n].index == n for n in (3, 400))


def test_a_result_that_can_not_be_opened_fails_alone() -> None:
    bad = {0, 1, 77, 599}
    found = list(IMap(record_items.closes_here_at, range(600), (bad,), on_error="return"))
    assert {n for n, it in enumerate(found) if isinstance(it, SerializationError)} == bad
    assert all(it.index == n for n, it in enumerate(found) if n in bad)
    assert [it.number for n, it in enumerate(found) if n not in bad] == [n for n in range(600) if n not in bad]


def test_an_interrupt_while_results_are_opened_loses_none() -> None:
    imap = IMap(record_items.interrupts_here_at, range(600), (77,))
    found = []
    interrupts = 0
    while True:
        try:
            found.append(next(imap).number)
        except KeyboardInterrupt:
            interrupts += 1
        except StopIteration:
            break
    assert found == list(range(600))
    assert interrupts


@pytest.mark.parametrize("retries", [0, 2])
def test_a_worker_that_dies_blames_its_record(retries: int) -> None:
    found = list(
        IMap(record_items.dies_at, [Row(n, "x") for n in range(400)], (77,), retries=retries, on_error="return")
    )
    assert [n for n, it in enumerate(found) if isinstance(it, Exception)] == [77]
    assert isinstance(found[77], WorkerDied) and found[77].index == 77
    assert [it for n, it in enumerate(found) if n != 77] == [n for n in range(400) if n != 77]


# ---------------------------------------------------------------------- histories


def mixed(dice: Random, number: int) -> list[Any]:
    makers = [
        lambda n: n,
        lambda n: f"text {n}",
        lambda n: (n, "a", 1.5),
        lambda n: [n, [n]],
        lambda n: {"n": n},
        lambda n: Row(n, "name"),
        lambda n: "x" * 5000 + str(n),
        lambda n: None,
    ]
    items: list[Any] = []
    while len(items) < number:
        make = dice.choice(makers)
        items += [make(len(items) + k) for k in range(dice.choice([1, 2, 30, 200]))]
    return items[:number]


@each_seed(12)
def test_mixed_items(dice: Random) -> None:
    items = mixed(dice, dice.choice([1, 50, 1500]))
    shape = dice.choice(["single", "chain", "join"])
    ordered = dice.random() < 0.6
    options: dict[str, Any] = {"worker_num": dice.choice([1, 2, 3]), "ordered": ordered, "on_error": "return"}
    options["max_items_per_worker"] = dice.choice([None, None, 40])
    options["buffer"] = dice.choice([None, 7, 300])
    imap: IMap[Any] = IMap(**options)
    fails = {n for n in range(len(items)) if dice.random() < 0.01}
    end: Any = imap.add_task(
        record_items.wrap, [(n, n in fails, item) for n, item in enumerate(items)], track=dice.random() < 0.3
    )
    if shape == "chain":
        end = imap.add_task(work.identity, end)
    elif shape == "join":
        end = imap.add_task(record_items.first, join(end, imap.add_task(work.identity, items)))
    imap.start()
    found = list(end)
    right: list[Any] = [None if n in fails else (n, item) for n, item in enumerate(items)]
    for outcome in found:
        if isinstance(outcome, Exception):
            assert isinstance(outcome, ValueError)
    plain = [None if isinstance(it, Exception) else it for it in found]
    if ordered:
        assert plain == right
    else:
        assert sorted(map(repr, plain)) == sorted(map(repr, right))


def test_the_bound_counts_records() -> None:
    pulled = 0

    def source() -> Iterator[Any]:
        nonlocal pulled
        for pulled in range(1, 10_000):
            yield (pulled, "x")

    imap = IMap(work.identity, source(), buffer=50)
    for place, _ in enumerate(imap):
        assert pulled - place - 1 <= 50
        if place == 500:
            break
    imap.stop()


# ---------------------------------------------------------------------- chains


def test_a_chained_task_gets_a_copy_of_what_the_one_before_it_keeps() -> None:
    imap: IMap[Any] = IMap(worker_num=1)
    kept = imap.add_task(record_items.a_list_of_the_worker, range(3000))
    end = imap.add_task(record_items.append_and_see, kept)
    imap.start()
    assert list(end) == [[n + 1, n + 1] for n in range(3000)]


def test_chained_tasks_of_records_fail_at_their_places() -> None:
    imap: IMap[Any] = IMap(on_error="return")
    wrapped = imap.add_task(record_items.wrap, [(n, n % 100 == 7, [n]) for n in range(3000)])
    end = imap.add_task(record_items.second_but, wrapped, (50,))
    imap.start()
    found = list(end)
    for n, outcome in enumerate(found):
        if n % 100 in (7, 50):
            assert isinstance(outcome, ValueError), n
        else:
            assert outcome == [n]


def test_a_record_that_can_not_be_opened_is_blamed_on_the_first_task_of_a_chain() -> None:
    """It has come to no task, whichever the record before it had come to."""
    imap: IMap[Any] = IMap(on_error="return")
    numbers = imap.add_task(
        record_items.number_of, [ClosesThere(n) if n in (3, 2500) else Row(n, "x") for n in range(3000)]
    )
    end = imap.add_task(work.identity, numbers)
    imap.start()
    found = list(end)
    bad = [(n, it.task, it.index) for n, it in enumerate(found) if isinstance(it, SerializationError)]
    assert bad == [(3, 0, 3), (2500, 0, 2500)]
    assert [it for n, it in enumerate(found) if n not in (3, 2500)] == [n for n in range(3000) if n not in (3, 2500)]


def test_a_worker_that_dies_while_it_opens_a_record_blames_the_first_task_of_a_chain() -> None:
    imap: IMap[Any] = IMap(on_error="return")
    numbers = imap.add_task(record_items.number_of, [DiesThere(n) if n == 2500 else Row(n, "x") for n in range(3000)])
    end = imap.add_task(work.identity, numbers)
    imap.start()
    found = list(end)
    (dead,) = [it for it in found if isinstance(it, Exception)]
    assert isinstance(dead, WorkerDied) and (dead.task, dead.index) == (0, 2500)
    assert found[2500] is dead and [it for it in found if it is not dead] == [n for n in range(3000) if n != 2500]
