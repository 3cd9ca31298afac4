"""join and tee: failures stay at their places, lengths are compared, nobody waits for one who does not read."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from random import Random
from typing import Any

import pytest

from numap import IMap, NextTimeout, SourceError, StateError, join, tee
from numap._base.checks import counted
from numap.testing import Gate
from tests.numap import work
from tests.numap.tools import each_seed, says

Make = Callable[..., IMap[Any]]


@pytest.fixture(params=["serial", "thread", "process"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes maps of one kind, and stops them in the end."""
    made: list[IMap[Any]] = []

    def make(**options: Any) -> IMap[Any]:
        made.append(IMap(**{"worker_type": request.param, "worker_num": 2, **options}))
        return made[-1]

    yield make
    for imap in made:
        imap.stop()


def outcomes(items: Iterable[Any]) -> list[Any]:
    """All values, and the texts of the exceptions between them."""
    found: list[Any] = []
    iterator = iter(items)
    while True:
        try:
            found.append(next(iterator))
        except StopIteration:
            return found
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
            if isinstance(error, StateError):
                return found


def bad(x: Any) -> str:
    return f"ValueError: {x} is bad"


# ---------------------------------------------------------------------- join of plain iterables


def test_join_pairs_by_place() -> None:
    assert list(join([1, 2], "ab", iter((3.0, 4.0)))) == [(1, "a", 3.0), (2, "b", 4.0)]
    assert list(join([1, 2])) == [(1,), (2,)]
    assert list(join([], ())) == []


def test_joins_may_be_joined() -> None:
    assert list(join(join([1], [2]), [3])) == [((1, 2), 3)]


def test_join_is_lazy() -> None:
    joined = join(count(), count(10))
    assert [next(joined) for _ in range(3)] == [(0, 10), (1, 11), (2, 12)]


@pytest.mark.parametrize(
    ("lengths", "first", "after"),
    [((2, 3), 0, 2), ((3, 2), 1, 2), ((0, 1), 0, 0), ((4, 4, 1), 2, 1), ((5, 2, 2), 1, 2)],
)
def test_join_of_unequal_lengths(lengths: tuple[int, ...], first: int, after: int) -> None:
    joined = join(*map(range, lengths))
    assert list(islice(joined, after)) == [(n,) * len(lengths) for n in range(after)]
    with pytest.raises(SourceError) as error:
        next(joined)
    assert says(error, f"input {first} ended first", f"after {counted(after, 'item')}")
    assert list(joined) == [], "that was its end"


def test_an_interrupt_between_the_members_loses_nothing() -> None:
    interrupts = iter([False, True, False])

    def second() -> Iterator[int]:
        yield 10
        yield 11

    class Interrupted:
        def __init__(self) -> None:
            self.items = second()

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            if next(interrupts, False):
                raise KeyboardInterrupt
            return next(self.items)

    joined = join([0, 1], Interrupted())
    assert next(joined) == (0, 10)
    with pytest.raises(KeyboardInterrupt):
        next(joined)
    assert list(joined) == [(1, 11)]


# ---------------------------------------------------------------------- join of tasks


def two_tasks(
    make: Make,
    across: bool,
    lengths: tuple[int, int],
    bad_left: tuple[int, ...],
    bad_right: tuple[int, ...],
    **options: Any,
) -> tuple[Any, list[IMap[Any]]]:
    """A join of two tasks, of one map or of two; the maps are to be started."""
    one = make(**options)
    two = make(**options) if across else one
    left = one.add_task(work.picky, range(lengths[0]), bad_left)
    right = two.add_task(work.picky, range(lengths[1]), bad_right)
    return join(left, right), [one, two] if across else [one]


@pytest.mark.parametrize("across", [False, True])
def test_join_of_tasks_read_directly(make: Make, across: bool) -> None:
    joined, maps = two_tasks(make, across, (5, 5), (1, 3), (3,))
    for imap in maps:
        imap.start()
    assert outcomes(joined) == [(0, 0), bad(1), (2, 2), bad(3), (4, 4)]


@pytest.mark.parametrize("across", [False, True])
def test_failures_fail_their_place_and_shift_nothing(make: Make, across: bool) -> None:
    joined, maps = two_tasks(make, across, (6, 6), (1, 3), (3, 4))
    end = maps[0] if not across else make()
    task = end.add_task(work.tagged, joined, ("t",))
    for imap in [*maps, end]:
        imap.start()
    assert outcomes(task) == [("t", (0, 0)), bad(1), ("t", (2, 2)), bad(3), bad(4), ("t", (5, 5))]


@pytest.mark.parametrize("across", [False, True])
def test_skipped_places_fall_out(make: Make, across: bool) -> None:
    joined, maps = two_tasks(make, across, (6, 6), (1, 3), (3, 4), on_error="skip")
    end = maps[0] if not across else make()
    task = end.add_task(work.tagged, joined, ("t",))
    for imap in [*maps, end]:
        imap.start()
    assert outcomes(task) == [("t", (0, 0)), ("t", (2, 2)), ("t", (5, 5))]


def test_skipped_places_fall_out_of_a_join_that_is_read_directly(make: Make) -> None:
    joined, (imap,) = two_tasks(make, False, (6, 6), (1, 3), (3, 4), on_error="skip")
    imap.start()
    assert outcomes(joined) == [(0, 0), (2, 2), (5, 5)]


def test_results_of_unordered_maps_are_joined_by_place(make: Make) -> None:
    imap = make(ordered=False)
    fast = imap.add_task(work.picky, range(50))
    slow = imap.add_task(work.step, range(50), (0, 0, 0, 10))
    joined = join(fast, slow)
    imap.start()
    assert list(joined) == [(x, work.step(x, 0)) for x in range(50)]


@pytest.mark.parametrize("lengths", [(3, 5), (5, 3), (0, 2), (2, 0), (3, 100), (100, 3)])
def test_unequal_tasks_of_one_map(make: Make, lengths: tuple[int, int]) -> None:
    joined, (imap,) = two_tasks(make, False, lengths, (), ())
    task = imap.add_task(work.tagged, joined, ("t",))
    imap.start()
    found = outcomes(task)
    shorter = lengths.index(min(lengths))
    assert found[:-1] == [("t", (x, x)) for x in range(min(lengths))]
    assert found[-1].startswith("SourceError: ")
    assert f"task {shorter} (picky) ended first, after {counted(min(lengths), 'item')}" in found[-1]


@pytest.mark.parametrize("endless", [0, 1])
def test_an_endless_task_next_to_one_that_ends(make: Make, endless: int) -> None:
    imap = make()
    inputs: list[Any] = [range(3), range(3)]
    inputs[endless] = count()
    members = [imap.add_task(work.picky, items) for items in inputs]
    task = imap.add_task(work.tagged, join(*members), ("t",))
    imap.start()
    found = outcomes(task)
    assert found[:-1] == [("t", (x, x)) for x in range(3)]
    assert f"task {1 - endless} (picky) ended first, after 3 items" in found[-1]
    assert imap.statistics().state == "finished"


@pytest.mark.parametrize("lengths", [(3, 5), (5, 3), (0, 2)])
@pytest.mark.parametrize("direct", [True, False])
def test_unequal_tasks_of_two_maps(make: Make, lengths: tuple[int, int], direct: bool) -> None:
    joined, maps = two_tasks(make, True, lengths, (), ())
    reader: Any = joined
    if not direct:
        maps.append(make())
        reader = maps[-1].add_task(work.picky, joined)
    for imap in maps:
        imap.start()
    found = outcomes(reader)
    shorter = lengths.index(min(lengths))
    assert found[:-1] == [(x, x) for x in range(min(lengths))]
    assert found[-1].startswith("SourceError: ")
    assert f"input {shorter} ended first, after {counted(min(lengths), 'item')}" in found[-1]


@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
def test_a_failed_place_counts_as_a_place(make: Make, on_error: str) -> None:
    """Equal lengths stay equal, whatever failed."""
    joined, (imap,) = two_tasks(make, False, (4, 4), (3,), (0,), on_error=on_error)
    task = imap.add_task(work.tagged, joined, ("t",))
    imap.start()
    found = [f"{type(it).__name__}: {it}" if isinstance(it, Exception) else it for it in outcomes(task)]
    good = [("t", (1, 1)), ("t", (2, 2))]
    assert found == (good if on_error == "skip" else [bad(0), *good, bad(3)])


def test_an_input_that_raises_ends_the_join_at_its_place(make: Make) -> None:
    imap = make()
    left, right = imap.add_task(work.picky, broken_after_three()), imap.add_task(work.picky, count())
    task = imap.add_task(work.tagged, join(left, right), ("t",))
    imap.start()
    for x in range(3):
        assert next(task) == ("t", (x, x))
    with pytest.raises(SourceError, match="disk on fire") as error:
        next(task)
    assert isinstance(error.value.__cause__, OSError)
    with pytest.raises(StopIteration):
        next(task)


def broken_after_three() -> Iterator[int]:
    yield from range(3)
    raise OSError("disk on fire")


@pytest.mark.parametrize(("others", "kind"), [([broken_after_three], OSError), ([lambda: range(3), count], None)])
@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_the_slow_member_of_a_join_is_waited_for(worker_type: str, others: Any, kind: type[Exception] | None) -> None:
    """That the join will end after three places is known before its last member has given anything."""
    with Gate() as gate:

        def slow() -> Iterator[int]:
            gate.arrive()
            yield from count()

        imap: IMap[Any] = IMap(worker_type=worker_type, worker_num=2)
        members = [imap.add_task(work.picky, make()) for make in [*others, slow]]
        imap.add_task(work.picky, join(*members))
        imap.start()
        last = len(members)
        with pytest.raises(NextTimeout):
            imap.next(timeout=0.05, task=last)
        gate.open()
        try:
            assert [imap.next(timeout=10, task=last) for _ in range(3)] == [(x,) * last for x in range(3)]
            with pytest.raises(SourceError) as error:
                imap.next(timeout=10, task=last)
            assert isinstance(error.value.__cause__, kind or type(None))
        finally:
            imap.stop()


def test_nested_joins_in_one_map(make: Make) -> None:
    imap = make(buffer=4)
    a, b, c = (imap.add_task(work.picky, range(20), (n,)) for n in (3, 5, 7))
    inner = imap.add_task(work.picky, join(a, b))
    outer = imap.add_task(work.picky, join(inner, c))
    imap.start()
    assert outcomes(outer) == [bad(x) if x in (3, 5, 7) else ((x, x), x) for x in range(20)]


def test_a_join_of_chains_of_different_depths(make: Make) -> None:
    imap = make(buffer=2, stride=1)
    a = imap.add_task(work.increment, imap.add_task(work.increment, imap.add_task(work.picky, range(30))))
    b = imap.add_task(work.picky, range(30))
    task = imap.add_task(work.picky, join(a, b))
    imap.start()
    assert list(task) == [(x + 2, x) for x in range(30)]


# ---------------------------------------------------------------------- tee


def test_tee_gives_all_to_all() -> None:
    for n in (1, 2, 5):
        branches = tee(range(10), n)
        assert len(branches) == n
        assert [list(branch) for branch in branches] == [list(range(10))] * n


def test_the_end_is_an_end_for_good() -> None:
    a, b = tee([1])
    assert (list(a), list(a), list(b), list(b)) == ([1], [], [1], [])


def test_tee_is_lazy() -> None:
    source = iter(range(10))
    a, b = tee(source)
    assert next(source) == 0
    assert (next(a), next(b), next(source)) == (1, 1, 2)


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_beyond_its_limit_is_an_error_and_never_a_hang(limit: int) -> None:
    ahead, behind = tee(count(), limit=limit)
    assert list(islice(ahead, limit)) == list(range(limit))
    for _ in range(2):
        with pytest.raises(StateError) as error:
            next(ahead)
        assert says(error, "tee", f"limit={limit}", f"{counted(limit, 'item')} ahead")
    assert next(behind) == 0
    assert next(ahead) == limit, "nothing was lost"
    with pytest.raises(StateError):
        next(ahead)


def test_in_step_a_limit_of_one_is_enough() -> None:
    a, b, c = tee(range(100), 3, limit=1)
    assert list(zip(a, b, c, strict=True)) == [(x, x, x) for x in range(100)]


def test_the_end_can_be_seen_at_the_limit() -> None:
    """Who has taken as many as the limit and all there are gets the end, not an error, once the others go on."""
    a, b = tee([1, 2], limit=2)
    assert [next(a), next(a)] == [1, 2]
    assert list(b) == [1, 2]
    assert list(a) == []


def test_a_dropped_branch_holds_nobody_back() -> None:
    a, b = tee(range(100), limit=5)
    assert next(b) == 0
    del b
    assert list(a) == list(range(100))


def test_a_dropped_branch_that_has_seen_an_error_holds_nobody_back(make: Make) -> None:
    imap = make()
    a, b = tee(imap.add_task(work.picky, range(30), (2,)), limit=5)
    imap.start()
    assert outcomes(islice(a, 2)) == [0, 1]
    with pytest.raises(ValueError, match="2 is bad"):
        next(a)
    del a
    assert outcomes(b) == [bad(x) if x == 2 else x for x in range(30)]


def test_what_all_have_taken_is_let_go() -> None:
    class Item:
        pass

    made: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        while True:
            item = Item()
            made.append(weakref.ref(item))
            yield item
            del item

    a, b = tee(items())
    for _ in range(5):
        next(a)
    assert [ref() is not None for ref in made] == [True] * 5
    for _ in range(4):
        next(b)
    next(a)
    gc.collect()
    assert [ref() is None for ref in made[:3]] == [True] * 3
    assert made[4]() is not None


def test_a_source_that_raises_ends_every_branch() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk on fire")

    for branch in tee(broken()):
        assert next(branch) == 1
        for _ in range(2):
            with pytest.raises(SourceError, match="disk on fire") as error:
                next(branch)
            assert isinstance(error.value.__cause__, OSError)


def test_an_interrupt_loses_nothing() -> None:
    class Interrupted:
        def __init__(self) -> None:
            self.items = iter([1, KeyboardInterrupt(), 2])

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            item = next(self.items)
            if isinstance(item, BaseException):
                raise item
            return item

    a, b = tee(Interrupted())
    assert next(a) == 1
    with pytest.raises(KeyboardInterrupt):
        next(a)
    assert (list(a), list(b)) == ([2], [1, 2])


def test_failures_come_out_of_every_branch_at_their_place(make: Make) -> None:
    imap = make()
    branches = tee(imap.add_task(work.picky, range(5), (1, 3)), 3)
    imap.start()
    assert [outcomes(branch) for branch in branches] == [[0, bad(1), 2, bad(3), 4]] * 3


def test_skipped_places_fall_out_of_every_branch(make: Make) -> None:
    imap = make(on_error="skip")
    branches = tee(imap.add_task(work.picky, range(5), (1, 3)), 2)
    imap.start()
    assert [outcomes(branch) for branch in branches] == [[0, 2, 4]] * 2


def test_branches_that_are_joined_again_do_not_shift(make: Make) -> None:
    """A diamond over three maps: the failures of each part are at their places."""
    first, second, third = make(), make(), make()
    left, right = tee(first.add_task(work.picky, range(8), (1,)))
    left = second.add_task(work.picky, left, (2, 4))
    right = third.add_task(work.tagged, right, ("r",))
    for imap in (first, second, third):
        imap.start()
    found = outcomes(join(left, right))
    assert found == [bad(x) if x in (1, 2, 4) else (x, ("r", x)) for x in range(8)]


def test_a_diamond_in_one_map(make: Make) -> None:
    imap = make()
    left, right = tee(imap.add_task(work.picky, range(8), (1,)), limit=1000)
    left = imap.add_task(work.picky, left, (2, 4))
    right = imap.add_task(work.tagged, right, ("r",))
    end = imap.add_task(work.picky, join(left, right))
    imap.start()
    assert outcomes(end) == [bad(x) if x in (1, 2, 4) else (x, ("r", x)) for x in range(8)]


def test_branches_of_one_map_read_unevenly(make: Make) -> None:
    imap = make()
    left, right = tee(imap.add_task(work.picky, range(200)), limit=1000)
    left, right = imap.add_task(work.picky, left), imap.add_task(work.tagged, right, ("r",))
    imap.start()
    assert list(left) == list(range(200))
    assert list(right) == [("r", x) for x in range(200)]


def test_the_limit_reaches_a_map_behind_as_an_error(make: Make) -> None:
    """Who reads one branch of a fork far ahead of the other gets an error from the map behind it, never a hang."""
    first, second = make(), make()
    ahead, behind = tee(first.add_task(work.picky, count()), limit=20)
    task = second.add_task(work.picky, ahead)
    first.start()
    second.start()
    found = outcomes(task)
    assert found[:-1] == list(range(20))
    assert found[-1].startswith("StateError: tee: ")
    assert next(behind) == 0


def test_tee_of_a_map_that_is_stopped(make: Make) -> None:
    imap = make()
    a, b = tee(imap.add_task(work.picky, count()))
    imap.start()
    assert [next(a), next(a), next(b)] == [0, 1, 0]
    imap.stop()
    assert next(b) == 1
    for branch in (a, b):
        with pytest.raises(StateError):
            next(branch)


def test_two_threads_read_two_branches(make: Make) -> None:
    imap = make()
    branches = tee(imap.add_task(work.picky, range(2000), (77,)), limit=10_000)
    imap.start()
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(outcomes, branches))
    assert found == [[bad(x) if x == 77 else x for x in range(2000)]] * 2


def test_two_threads_read_one_task(make: Make) -> None:
    imap = make()
    task = imap.add_task(work.picky, range(2000))
    imap.start()
    with ThreadPoolExecutor(2) as threads:
        one, two = threads.map(list, [task, imap.get_task(0)])
    assert sorted(one + two) == list(range(2000))
    assert one == sorted(one) and two == sorted(two)


def test_two_threads_read_one_branch() -> None:
    """Each item goes to one of them; the other branch still gets all."""
    a, b = tee(range(3000), limit=10_000)
    with ThreadPoolExecutor(3) as threads:
        shares = list(threads.map(list, [a, a, a]))
    assert sorted(x for share in shares for x in share) == list(range(3000))
    assert list(b) == list(range(3000))


def test_two_threads_read_one_join() -> None:
    joined = join(range(3000), range(3000))
    with ThreadPoolExecutor(3) as threads:
        shares = list(threads.map(list, [joined, joined, joined]))
    assert sorted(x for share in shares for x in share) == [(x, x) for x in range(3000)]


def test_who_waits_for_the_source_holds_up_nobody_who_does_not() -> None:
    with Gate() as gate:

        def live() -> Iterator[int]:
            yield from range(3)
            gate.arrive()
            yield 3

        ahead, behind = tee(live())
        reader = threading.Thread(target=lambda: found.extend(ahead))
        found: list[int] = []
        reader.start()
        gate.wait()
        assert [next(behind) for _ in range(3)] == [0, 1, 2], "while the other one waits"
        gate.open()
        reader.join()
        assert found == [0, 1, 2, 3]
        assert list(behind) == [3]


def lead(branches: dict[int, Any], number: int) -> int:
    """How many items a branch is ahead of the slowest one."""
    return int(branches[number].place - min(branch.place for branch in branches.values()))


@each_seed(150)
def test_branches_in_random_order(random: Random) -> None:
    length, n, limit = random.randint(0, 30), random.randint(1, 4), random.randint(1, 10)
    fails = random.choice([0, 4])
    imap = IMap(work.step, range(length), (0, fails), worker_type="serial", on_error=random.choice(["raise", "skip"]))
    expected = outcomes(
        IMap(work.step, range(length), (0, fails), worker_type="serial", on_error=imap._options.on_error)
    )
    branches = dict(enumerate(tee(imap, n, limit)))
    found: dict[int, list[Any]] = {number: [] for number in branches}
    while branches:
        number = random.choice(list(branches))
        if random.random() < 0.02 and len(branches) > 1:
            del branches[number], found[number]
            continue
        try:
            found[number].append(next(branches[number]))
        except StopIteration:
            del branches[number]
            continue
        except StateError:
            assert lead(branches, number) == limit, "not before its time"
        except ValueError as error:
            found[number].append(f"ValueError: {error}")
        assert lead(branches, number) <= limit
    assert all(outcomes == expected for outcomes in found.values())
    imap.stop()
