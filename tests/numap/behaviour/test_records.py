"""Records travel in batches, and no item can tell: isolation, blame, order, retries and bounds are those of single items."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from numap import IMap, SerializationError, WorkerDied, join
from numap._items.segments import FAILED, PICKLED, PICKLES, RAW, Gatherer, item_of, part, singles, size_of
from tests.numap import work
from tests.numap.behaviour import record_items
from tests.numap.behaviour.record_items import ClosesThere, DiesThere, Row
from tests.numap.programs import STARTS, run
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
        lambda n: (datetime.date(2026, 1, 1) + datetime.timedelta(n), decimal.Decimal(n) / 7),
        lambda n: record_items.Point(n, [n, n]),
        lambda n: {record_items.Color.RED, n},
        lambda n: b"bytes %d" % n,
        lambda n: [n, *[[n] * 2] * 3],
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


# ---------------------------------------------------------------------- names

#: A program's own classes, whose names are agreed once: seen as they are on both sides.
OWN = """
import collections, dataclasses, enum
@dataclasses.dataclass
class Row:
    number: int
    shared: list
Point = collections.namedtuple("Point", "x y")
class Color(enum.Enum):
    RED = 1
def turn(item):
    assert type(item) in (Row, Point), type(item)
    if type(item) is Row:
        item.shared.append(item.number)
        return Point(item.number, [Color.RED, item.shared])
    return Row(item.x, [item.y])
shared = []
items = [Row(n, shared) if n % 3 else Point(n, Color.RED) for n in range(900)]
found = list(IMap(turn, items, **OPTIONS))
assert found == [Point(n, [Color.RED, [n]]) if n % 3 else Row(n, [Color.RED]) for n in range(900)], found[:9]
assert all(type(it) in (Row, Point) for it in found)
first = Row
@dataclasses.dataclass
class Row:
    number: int
    shared: list
    again: bool = True
assert [it.again for it in IMap(lambda row: row, [Row(n, []) for n in range(100)], **OPTIONS)] == [True] * 100
say("as they were")
"""


@pytest.mark.parametrize("engine", STARTS)
def test_classes_of_the_program(tmp_path: Path, engine: str) -> None:
    assert run(tmp_path, OWN, engine).stdout == "as they were\n"


#: Classes in modules of which some fail, or kill the worker, when they are imported there.
MODULES = """
import pathlib
for name, line in (("good", ""), ("raises", "if os.getpid() != HERE: raise ImportError('not here')"),
                   ("dies", "if os.getpid() != HERE: os.kill(os.getpid(), 9)")):
    pathlib.Path(FOLDER, name + ".py").write_text(
        f"import os\\nHERE = int(os.environ.setdefault('HERE', str(os.getpid())))\\n{line}\\n"
        "class Thing:\\n    def __init__(self, number): self.number = number\\n")
sys.path.insert(0, FOLDER)
import good, raises, dies
bad = {40: raises, 41: dies, 500: raises, 501: dies}
items = [bad.get(n, good).Thing(n) for n in range(800)]
found = list(IMap(lambda thing: (thing.number, "x"), items, on_error="return", **OPTIONS))
say(sorted((n, type(it).__name__, it.index) for n, it in enumerate(found) if isinstance(it, Exception)))
say(all(it == (n, "x") for n, it in enumerate(found) if n not in bad))
"""


@pytest.mark.parametrize("engine", ["default", "spawn"])
def test_a_name_that_can_not_be_looked_up_is_the_matter_of_its_items_alone(tmp_path: Path, engine: str) -> None:
    program = run(tmp_path, f"FOLDER = {str(tmp_path)!r}\n" + MODULES, engine)
    failed = [(n, "SerializationError" if n % 10 == 0 else "WorkerDied", n) for n in (40, 41, 500, 501)]
    assert program.stdout == f"{failed}\nTrue\n"


@pytest.mark.parametrize("method", METHODS)
def test_what_runs_code_of_its_own_is_opened_when_its_turn_comes(method: str) -> None:
    """As a file, say, that is opened with it: there may be more of them than a process can have."""
    found = list(IMap(record_items.open_now, map(record_items.Opens, range(2000)), start_method=method))
    assert found == [1] * 2000


def test_a_worker_that_dies_among_records_gives_the_others_back_as_they_were() -> None:
    items = [[n, [n] * 3] for n in range(2000)]
    found = list(IMap(record_items.append_and_die_at, items, ({77, 1500},), on_error="return"))
    assert [n for n, it in enumerate(found) if isinstance(it, WorkerDied)] == [77, 1500]
    assert all(it == [n, [n] * 3, "seen"] for n, it in enumerate(found) if n not in (77, 1500))


def test_a_record_whose_own_code_ends_the_program_fails_alone() -> None:
    """In the thread that reads the input, and in the worker."""
    items = [record_items.Ends(n, here=n == 70) for n in range(500)]
    found = list(IMap(record_items.ends_at, items, (99,), on_error="return"))
    assert [n for n, it in enumerate(found) if isinstance(it, SerializationError)] == [70, 99]
    assert all(it.number == n for n, it in enumerate(found) if n not in (70, 99))
