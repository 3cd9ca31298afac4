"""Guarantees 25, 26, 28 and 30 to 33: nothing is pulled too early, and nothing that is ready is held back."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from numap import IMap, join, tee
from tests.numap import work
from tests.numap.programs import ENGINES, SOON, STARTS, until

WORKERS = (*STARTS, "thread")


class Counted:
    """An iterator that counts what is pulled from it, and the most that ever was ahead of what was yielded."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.pulled = self.yielded = self.most = 0
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.threads.add(threading.get_ident())
        item = next(self._items)
        self.pulled += 1
        self.most = max(self.most, self.pulled - self.yielded)
        return item


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("buffer", [1, 2, 7, 100])
@pytest.mark.parametrize("ordered", [True, False])
def test_25_pulled_minus_yielded(engine: str, buffer: int, ordered: bool) -> None:
    source = Counted(count())
    imap: IMap[Any] = IMap(buffer=buffer, ordered=ordered, **ENGINES[engine])
    imap.add_task(work.identity, source)
    assert source.pulled == 0
    with imap:
        assert imap.statistics().bound == buffer
        for _ in range(300):
            # The item before is the caller's until the next call.
            next(imap)
            assert source.pulled - source.yielded <= buffer
            source.yielded += 1
        assert source.most <= buffer
        figures = imap.statistics()
        assert figures.pulled - figures.yielded <= buffer
    assert source.pulled <= 299 + buffer


@pytest.mark.parametrize("engine", WORKERS)
def test_25_the_bound_is_reached_and_kept_while_nobody_reads(engine: str) -> None:
    source = Counted(count())
    with IMap(work.identity, source, buffer=5, **ENGINES[engine]) as imap:
        assert until(lambda: source.pulled == 5)
        assert next(imap) == 0
        # What was handed over counts until the following next.
        assert until(lambda: imap.statistics().tasks[0].done == 5)
        assert source.pulled == 5
        assert next(imap) == 1
        assert until(lambda: source.pulled == 6)


@pytest.mark.parametrize("engine", ENGINES)
def test_25_the_automatic_bound_holds(engine: str) -> None:
    source = Counted(count())
    with IMap(work.identity, source, **ENGINES[engine]) as imap:
        for _ in range(5000):
            next(imap)
            figures = imap.statistics()
            # The bound grows only: read after the difference it is at least what was in force.
            assert source.pulled - source.yielded <= imap.statistics().bound, figures
            source.yielded += 1


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_pulled_before_the_start(engine: str) -> None:
    source = Counted(range(3))
    imap: IMap[Any] = IMap(**ENGINES[engine])
    imap.add_task(work.identity, source)
    imap.add_task(work.increment, (x for x in source))
    assert imap.statistics().state == "idle" and source.pulled == 0
    imap.stop()
    del imap
    gc.collect()
    assert source.pulled == 0


@pytest.mark.parametrize("engine", WORKERS)
def test_26_a_chain_of_five(engine: str) -> None:
    source = Counted(range(500))
    imap: IMap[Any] = IMap(buffer=3, **ENGINES[engine])
    task: Iterable[Any] = source
    for _ in range(5):
        task = imap.add_task(work.increment, task)
    with imap:
        for x, y in enumerate(task):
            assert y == x + 5
            assert source.pulled - source.yielded <= 3
            assert sum(figures.waiting + figures.inside for figures in imap.statistics().tasks) <= 3
            source.yielded += 1
    assert source.yielded == 500


@pytest.mark.parametrize("engine", ENGINES)
def test_32_the_first_is_saved_before_too_many_are_loaded(engine: str, tmp_path: Path) -> None:
    loaded = Counted(range(1000))
    imap: IMap[Any] = IMap(buffer=10, **ENGINES[engine])
    load = imap.add_task(work.identity, loaded)
    rotate = imap.add_task(work.increment, load)
    save = imap.add_task(work.mark, rotate, (str(tmp_path),))
    with imap:
        assert next(save) == 1
        assert loaded.pulled <= 10
        assert (tmp_path / "1").exists()
        assert sum(1 for _ in save) == 999


@pytest.mark.parametrize("engine", WORKERS)
def test_28_the_first_item_holds_back_nobody_who_is_unordered(engine: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    with IMap(
        work.wait_from, range(100), (0, 0, str(tmp_path), str(gate)), ordered=False, buffer=100, **ENGINES[engine]
    ) as imap:
        assert sorted(islice(imap, 99)) == list(range(1, 100))
        gate.touch()
        assert list(imap) == [0]


@pytest.mark.parametrize("engine", WORKERS)
def test_28_others_go_on_behind_a_slow_item_that_is_ordered(engine: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    with IMap(work.wait_from, range(100), (0, 0, str(tmp_path), str(gate)), buffer=100, **ENGINES[engine]) as imap:
        assert until(lambda: imap.statistics().tasks[0].done == 99)
        gate.touch()
        assert list(imap) == list(range(100))


@pytest.mark.parametrize("engine", WORKERS)
@pytest.mark.parametrize("ordered", [True, False])
def test_30_slow_items_after_many_no_ops_do_not_wait_behind_one_another(
    engine: str, ordered: bool, tmp_path: Path
) -> None:
    """1,000 no-ops, then slow items: both workers must be in one, whatever they were given in one batch."""
    folder, gate = tmp_path / "marks", tmp_path / "gate"
    folder.mkdir()

    with IMap(
        work.wait_from, range(1100), (1000, 1100, str(folder), str(gate)), ordered=ordered, **ENGINES[engine]
    ) as imap:
        fast = list(islice(imap, 1000))
        assert until(lambda: len(list(folder.iterdir())) >= 2)
        gate.touch()
        assert sorted(fast + list(imap)) == list(range(1100))


@pytest.mark.parametrize("engine", WORKERS)
def test_30_no_ops_behind_a_slow_item_go_elsewhere(engine: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    with IMap(
        work.wait_from,
        range(5000),
        (3000, 3000, str(tmp_path), str(gate)),
        ordered=False,
        buffer=1000,
        **ENGINES[engine],
    ) as imap:
        found = set(islice(imap, 4999))
        assert found == set(range(5000)) - {3000}
        gate.touch()
        assert list(imap) == [3000]


@pytest.mark.parametrize("engine", ENGINES)
def test_31_ten_tasks_and_a_consumer_that_stops(engine: str) -> None:
    imap: IMap[Any] = IMap(buffer=40, **ENGINES[engine])
    tasks = [imap.add_task(work.increment, count(1000 * number)) for number in range(10)]
    with imap:
        assert next(tasks[0]) == 1
        for x in range(200):
            for number in range(1, 10):
                assert next(tasks[number]) == 1000 * number + x + 1
        assert next(tasks[0]) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_31_tasks_read_one_after_the_other(engine: str) -> None:
    imap: IMap[Any] = IMap(**ENGINES[engine])
    tasks = [imap.add_task(work.increment, range(500)) for _ in range(5)]
    with imap:
        for task in tasks[::-1]:
            assert list(task) == list(range(1, 501))


@pytest.mark.parametrize("engine", WORKERS)
@pytest.mark.parametrize("ordered", [True, False])
def test_33_a_live_input(engine: str, ordered: bool) -> None:
    """Each item is put in only after the result of the one before was handed over."""
    live: queue.Queue[int] = queue.Queue()
    with IMap(work.increment, iter(live.get, -1), ordered=ordered, **ENGINES[engine]) as imap:
        for x in range(300):
            live.put(x)
            assert imap.next(timeout=20) == x + 1
        live.put(-1)
        assert list(imap) == []


@pytest.mark.parametrize("engine", WORKERS)
def test_33_an_input_that_blocks_holds_back_no_other_task(engine: str) -> None:
    live: queue.Queue[int] = queue.Queue()
    imap: IMap[Any] = IMap(**ENGINES[engine])
    blocked = imap.add_task(work.increment, iter(live.get, -1))
    free = imap.add_task(work.increment, range(1000))
    with imap:
        assert list(free) == list(range(1, 1001))
        live.put(5)
        assert next(blocked) == 6
        live.put(-1)
        assert list(blocked) == []


@pytest.mark.parametrize("engine", WORKERS)
def test_33_a_burst_then_silence(engine: str) -> None:
    """What came before the silence comes out, though it was sent in batches."""
    live: queue.Queue[int] = queue.Queue()
    with IMap(work.identity, iter(live.get, -1), buffer=1000, **ENGINES[engine]) as imap:
        for burst in (1, 1000, 500, 1000, 3):
            for x in range(burst):
                live.put(x)
            assert [imap.next(timeout=20) for _ in range(burst)] == list(range(burst))
        live.put(-1)


# ---------------------------------------------------------------------- inputs: who reads them, and when they go


@pytest.mark.parametrize("engine", ENGINES)
def test_each_input_is_read_in_one_thread_of_its_own(engine: str) -> None:
    first, second = Counted(range(200)), Counted(range(200))
    imap: IMap[Any] = IMap(**ENGINES[engine])
    a = imap.add_task(work.identity, first)
    b = imap.add_task(work.identity, second)
    with imap:
        assert list(zip(a, b, strict=True)) == [(x, x) for x in range(200)]
    own = threading.get_ident()
    if engine == "serial":  # what runs there is read there
        assert first.threads == second.threads == {own}
    else:
        assert len(first.threads) == len(second.threads) == 1
        assert len(first.threads | second.threads | {own}) == 3


@pytest.mark.parametrize("engine", WORKERS)
def test_two_branches_of_an_iterator_are_read_by_two_threads(engine: str) -> None:
    source = Counted(range(1000))
    imap: IMap[Any] = IMap(**ENGINES[engine])
    one, other = tee(source)
    a = imap.add_task(work.identity, one)
    b = imap.add_task(work.identity, other)
    with imap:
        found: list[int] = []
        readers = [threading.Thread(target=found.extend, args=(task,)) for task in (a, b)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(20)
    assert sorted(found) == sorted([*range(1000)] * 2)
    assert threading.get_ident() not in source.threads


def test_serial_items_run_in_the_callers_thread() -> None:
    own = threading.get_ident()
    assert set(IMap(work.call, iter(range(5)), (threading.get_ident,), worker_type="serial")) == {own}


@pytest.mark.parametrize("engine", ENGINES)
def test_10_break_drops_the_generator(engine: str) -> None:
    gone = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from count()
        finally:
            gone.set()

    for y in IMap(work.identity, source(), **ENGINES[engine]):
        if y == 3:
            break
    assert gone.wait(SOON)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["stop", "with", "drop", "end"])
def test_10_our_reference_to_an_input_is_dropped_and_nothing_is_closed(engine: str, how: str) -> None:
    closed = []

    class Source(Counted):
        def close(self) -> None:
            closed.append(self)

    source = Source(range(5) if how == "end" else count())
    reference = weakref.ref(source)
    imap = IMap(work.identity, source, **ENGINES[engine])
    assert next(imap) == 0
    del source
    if how == "stop":
        imap.stop()
    elif how == "with":
        with imap:
            pass
    elif how == "end":
        assert list(imap) == [1, 2, 3, 4]
    else:
        del imap
    assert until(lambda: gc.collect() * 0 + (reference() is None), SOON)
    assert not closed


@pytest.mark.parametrize("engine", STARTS)
def test_an_item_is_pickled_before_the_next_is_pulled(engine: str) -> None:
    """A generator that re-uses one list gives each state of it, in other processes."""

    def source() -> Iterator[list[int]]:
        row = [0]
        for x in range(100):
            row[0] = x
            yield row

    with IMap(work.identity, source(), **ENGINES[engine]) as imap:
        assert list(imap) == [[x] for x in range(100)]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_input(engine: str) -> None:
    for empty in ([], iter([]), range(0), {}, ""):
        assert list(IMap(work.identity, empty, **ENGINES[engine])) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_named_map_goes_on_after_a_break(engine: str) -> None:
    imap = IMap(work.identity, range(10), **ENGINES[engine])
    for y in imap:
        if y == 3:
            break
    assert list(imap) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("engine", ENGINES)
def test_statistics(engine: str) -> None:
    imap: IMap[Any] = IMap(buffer=6, on_error="return", **ENGINES[engine])
    first = imap.add_task(work.fail_at, Counted(range(20)), (7, ValueError, "seven"))
    second = imap.add_task(work.identity, join(first, imap.add_task(work.increment, range(20))))
    before = imap.statistics()
    assert (before.state, before.pulled, before.yielded) == ("idle", 0, 0)
    with imap:
        for _ in range(5):
            next(second)
        during = imap.statistics()
        assert during.state == "running" and during.yielded == 5 and during.bound == 6
        assert 10 <= during.pulled <= 5 * 2 + 6
        list(second)
        after = imap.statistics()
    assert during.yielded == 5  # a snapshot does not change
    assert after.state == "finished"
    assert [figures.label for figures in after.tasks] == ["fail_at", "increment", "identity"]
    assert [figures.pulled for figures in after.tasks] == [20, 20, 0]
    assert [figures.done for figures in after.tasks] == [19, 20, 19]
    assert [figures.failed for figures in after.tasks] == [1, 0, 0]
    assert [figures.yielded for figures in after.tasks] == [0, 0, 20]
    assert [(figures.waiting, figures.inside) for figures in after.tasks] == 3 * [(0, 0)]
    assert (after.pulled, after.failed, after.replaced) == (40, 1, 0)
    with pytest.raises(AttributeError):
        after.pulled = 0  # type: ignore[misc]
    assert imap.statistics().state == "stopped"


@pytest.mark.parametrize(
    ("options", "most"), [({"worker_type": "serial"}, 8), ({"worker_type": "thread", "worker_num": 2}, 1100)]
)
def test_the_automatic_bound_of_large_items(options: dict[str, Any], most: int) -> None:
    """A consumer that was quick for a while makes the bound grow, as far as 64 MB go; a serial map gains nothing by that."""
    pulled = 0

    def large() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield bytes(100_000)

    ahead = []
    with IMap(len, large(), **options) as imap:
        for taken, _ in enumerate(imap):
            ahead.append(pulled - taken)
            if taken == 3000:
                break
        time.sleep(0.3)
        ahead.append(pulled - taken)
    assert max(ahead) <= most
